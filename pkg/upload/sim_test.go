package upload_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

var (
	simSeeds = flag.Int("seeds", 1000, "how many seeds TestSimulation plays")
	simFirst = flag.Uint64("first", 0, "the first of them")
	simSeed  = flag.Int64("seed", -1, "the only seed that TestSimulation plays, and prints the history of")
)

// TestSimulation plays an upload to its end for each of many seeds, in the time
// of a bubble and against the real journal. A seed drives the network, the store,
// the disk, the clocks, the file, signals and kills, through as many processes as
// it takes. It asserts:
//
//   - an object is the file, as it was at some moment;
//   - a part whose receipt is durable is not sent again;
//   - what is durable is found by the next process;
//   - nothing is called done that the provider did not confirm;
//   - while it is not known what came of an upload, no second object is made of
//     the file, but for a restart that was asked for;
//   - every process ends, and without errors one ends well.
//
// A seed that fails is played again by itself:
//
//	go test ./pkg/upload -run TestSimulation -v -args -seed N
//
// Nothing is drawn in the order in which goroutines ask: each draw depends on the
// seed and on what it is for.
func TestSimulation(t *testing.T) {
	seeds := *simSeeds
	if testing.Short() {
		seeds = min(seeds, 200)
	}
	began := time.Now()
	if *simSeed >= 0 {
		newSimulation(uint64(*simSeed), t.TempDir()).play(t)
		return
	}
	total := make(counts)
	var mu sync.Mutex
	var next atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
				t.Parallel()
				dir := memoryDir(t)
				own := make(counts)
				for {
					n := int(next.Add(1)) - 1
					if n >= seeds || t.Failed() {
						break
					}
					s := newSimulation(*simFirst+uint64(n), filepath.Join(dir, fmt.Sprint(n)))
					s.play(t)
					own.add(s.counts)
				}
				mu.Lock()
				defer mu.Unlock()
				total.add(own)
			})
		}
	})
	t.Logf("%d seeds in %s:", seeds, time.Since(began).Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%10d  %s", total[what], what)
	}
	for _, what := range slices.Concat(networkFaults, diskFaults, fileFaults, otherFaults) {
		if seeds >= 1000 && total[what] == 0 && !t.Failed() {
			t.Errorf("the fault %q never came", what)
		}
	}
}

// memoryDir is a directory that is not on a disk, where there is such a thing: a
// sync costs nothing there, and nothing of a simulation outlives this machine.
func memoryDir(t *testing.T) string {
	if dir, err := os.MkdirTemp("/dev/shm", "multiput-simulation-"); err == nil { //nolint:usetesting // that may be on a disk
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	return t.TempDir()
}

// counts says how often what happened.
type counts map[string]int

func (c counts) add(more counts) {
	for what, n := range more {
		c[what] += n
	}
}

// simulation is one seed: a file, a journal and a provider, and the processes
// that follow each other.
type simulation struct {
	seed  uint64
	dir   string
	t     *testing.T
	began time.Time
	cloud *cloud
	kind  simKind
	disk  sync.Mutex // held while a process changes the journal
	files sync.Mutex // held while the file changes; guards path
	path  string     // of the file

	mu       sync.Mutex // guards what follows
	history  []string
	counts   counts
	calls    map[string]int // of one kind, in this life
	failed   bool
	life     *life
	runs     int
	skew     time.Duration // how far the provider's clock is ahead of this machine's
	calm     bool          // nothing goes wrong any more
	versions [][]byte      // all that the file ever held
	renewed  map[string]bool
	journal  mirror
	complete map[string]bool // uploads of which an object was made
	excused  map[string]bool // uploads that may be followed by another of the same file
	stuck    int             // calm runs in a row that ended so that a user restarts
}

// simKind is what kind of provider and of command it is.
type simKind struct {
	size                              int
	partSize                          int64
	ours, probes, checkpoints, whole  bool
	confirms, steps, readies, damages bool
	concurrency                       int
	checksum                          upload.Checksum
	retry                             transport.Policy
	errorRate, kills, signals, edits  int // of a thousand
	urlLife, uploadLife               time.Duration
	provider                          upload.Provider
	asked                             int // how often a file is asked for before it is ready
}

func newSimulation(seed uint64, dir string) *simulation {
	return &simulation{
		seed: seed, dir: dir, counts: make(counts), calls: make(map[string]int), renewed: make(map[string]bool),
		complete: make(map[string]bool), excused: make(map[string]bool), journal: newMirror(),
	}
}

// draw gives the dice for something.
func (s *simulation) draw(what string, key ...int) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	for _, k := range key {
		_, _ = h.Write([]byte{byte(k), byte(k >> 8), byte(k >> 16)})
	}
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// say adds a line to the history.
func (s *simulation) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, fmt.Sprintf("%12s  life %d: ", time.Since(s.began).Round(time.Microsecond), s.runs)+fmt.Sprintf(format, args...))
}

func (s *simulation) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

// wrong is an assertion that does not hold.
func (s *simulation) wrong(format string, args ...any) {
	s.say("WRONG: "+format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
}

// play plays the seed.
func (s *simulation) play(t *testing.T) {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			s.failed = true
			s.history = append(s.history, fmt.Sprint("panic: ", v))
		}
		if s.failed {
			t.Errorf("seed %d:\n%s", s.seed, strings.Join(s.history, "\n"))
		} else if *simSeed >= 0 {
			t.Logf("seed %d:\n%s", s.seed, strings.Join(s.history, "\n"))
		}
		_ = os.RemoveAll(s.dir)
	}()
	synctest.Test(t, func(t *testing.T) {
		s.t, s.began = t, time.Now()
		s.set()
		for !s.failed && !s.run() {
		}
		s.count(fmt.Sprintf("runs: %s", bucket(s.runs)))
	})
}

func bucket(n int) string {
	switch {
	case n <= 3:
		return fmt.Sprint(n)
	case n <= 10:
		return "4 to 10"
	}
	return "more than 10"
}

// set draws what kind of provider and file it is.
func (s *simulation) set() {
	d := s.draw("kind")
	s.cloud = newCloud(new(process))
	k := &s.kind
	pick := func(of int) bool { return d.IntN(of) == 0 }
	k.partSize = int64(1 + d.IntN(40))
	k.size = d.IntN(12 * int(k.partSize))
	if pick(30) {
		k.size = 0
	}
	k.ours, k.probes, k.checkpoints, k.whole = pick(4), pick(3), pick(3), pick(8)
	k.confirms, k.steps, k.readies = pick(5), pick(5), pick(5)
	k.concurrency = d.IntN(5)
	k.retry = transport.Policy{Retries: 1 + d.IntN(6), Base: 1, Cap: 1, MaxAfter: time.Minute}
	if pick(2) {
		k.retry = transport.Policy{Base: 1, Cap: 1, MaxAfter: time.Minute, RetryFor: time.Duration(1+d.IntN(20)) * time.Minute}
	}
	k.errorRate = []int{0, 20, 60, 120, 250}[d.IntN(5)]
	k.kills, k.signals, k.edits = []int{0, 400, 900}[d.IntN(3)], []int{0, 100, 300}[d.IntN(3)], []int{0, 0, 200, 500}[d.IntN(4)]
	k.asked = d.IntN(4)
	c := s.cloud
	c.partSize, c.first = k.partSize, d.IntN(2)
	if k.ours {
		c.partSize = 0
	}
	c.renewable, c.signed, c.already = !pick(4) || k.ours, pick(3), pick(2)
	c.strict, c.ends, c.wants = k.checkpoints && pick(2), pick(2), pick(3)
	if pick(2) {
		k.urlLife = time.Duration(1+d.IntN(120)) * time.Second
	}
	if pick(6) {
		k.uploadLife = time.Duration(1+d.IntN(600)) * time.Second
	}
	c.digest = []string{"", "", upload.DigestMD5, upload.DigestCRC32C, upload.DigestSHA1}[d.IntN(5)]
	c.etag = []func(int, []byte) string{nil, nil, opaqueETag, tokenETag}[d.IntN(4)]
	k.checksum = []upload.Checksum{upload.ChecksumAuto, upload.ChecksumAuto, upload.ChecksumOff, upload.ChecksumRequire}[d.IntN(4)]
	if k.whole {
		k.ours, k.checkpoints, k.confirms, c.digest, c.strict, k.steps = false, false, false, "", false, false
		c.partSize, k.partSize, c.etag = 1<<20, 1<<20, nil
		if k.checksum == upload.ChecksumRequire {
			k.checksum = upload.ChecksumAuto
		}
	}
	if c.etag != nil && c.digest == "" && k.checksum == upload.ChecksumRequire {
		k.checksum = upload.ChecksumAuto
	}
	// What nothing can find out is not tried: an ETag is compared where another of
	// the same upload was an MD5.
	k.damages = c.digest != "" || c.etag == nil && k.checksum != upload.ChecksumOff && !k.whole
	k.provider = s.newProvider()
	s.must(os.MkdirAll(filepath.Join(s.dir, "journal 0"), 0o700))
	s.path = filepath.Join(s.dir, "file.bin")
	s.write(s.path, s.content(0, k.size), 0)
	s.say("%+v", *k)
	s.say("provider: parts of %d, first %d, renewable %t, signed %t, already %t, strict %t, ends %t, wants %t, digest %q, opaque %t",
		c.partSize, c.first, c.renewable, c.signed, c.already, c.strict, c.ends, c.wants, c.digest, c.etag != nil)
}

func (s *simulation) must(err error) {
	if err != nil {
		panic(err)
	}
}

// life is one process.
type life struct {
	*process
	n        int
	cancel   context.CancelCauseFunc
	restart  bool
	journal  string // the directory of its journal
	steps    int    // that the journal took on the disk
	killStep int    // the one before which it is killed
	events   int    // requests that began or were answered
	killAt   int    // the one at which it is killed
	full     bool   // the disk takes nothing any more
	away     int    // the step before which the journal is moved away; 0: it is not
}

var errSignal = errors.New("interrupted")

const (
	mostLives = 60
	stormy    = 15             // runs, after which it is calm
	mostTime  = 24 * time.Hour // that a process may take
)

// run is one process, and reports whether it is the last.
func (s *simulation) run() (last bool) {
	s.runs++
	s.calls = make(map[string]int)
	s.calm = s.runs > stormy
	d := s.draw("life", s.runs)
	in := func(thousand int) bool { return !s.calm && d.IntN(1000) < thousand }
	if s.runs > 1 {
		wait := time.Duration(d.IntN(1000)) * time.Millisecond
		if in(200) {
			wait = time.Duration(d.IntN(5000)) * time.Second
		}
		pass(wait)
		s.between(d, in)
	}
	l := &life{process: new(process), n: s.runs, journal: s.journal.dir(s.dir)}
	s.life = l
	if l.restart = in(30) || s.stuck >= 3; l.restart {
		s.excuse("restart")
		s.stuck = 0
	}
	if in(s.kind.kills) {
		if d.IntN(3) > 0 {
			l.killStep = 1 + d.IntN(70)
		} else {
			l.killAt = 1 + d.IntN(50)
		}
	}
	if in(30) {
		l.away = 1 + d.IntN(60)
	}
	ctx, cancel := context.WithCancelCause(s.t.Context())
	l.cancel = cancel
	defer cancel(nil)
	var timers []*time.Timer
	at := func(most time.Duration, do func()) {
		timers = append(timers, time.AfterFunc(time.Duration(d.Int64N(int64(most))), do))
	}
	if in(s.kind.signals) {
		at(20*time.Second, func() { s.count("signal"); s.say("signal"); cancel(errSignal) })
	}
	for in(s.kind.edits) {
		n := len(timers)
		at(10*time.Second, func() { s.edit(s.draw("edit", l.n, n)) })
	}
	if in(50) {
		at(10*time.Second, func() { s.jump(s.draw("jump", l.n)) })
	}
	over := time.AfterFunc(mostTime, func() { s.wrong("it does not end"); s.kill("the end of time") })
	rep, err := s.upload(ctx, l)
	over.Stop()
	for _, timer := range timers {
		timer.Stop()
	}
	s.count("runs")
	s.journal.settle(s, l)
	return s.checkEnd(l, rep, err)
}

// checkEnd looks at how a process ended.
func (s *simulation) checkEnd(l *life, rep upload.Report, err error) (last bool) {
	if l.killed.Load() {
		s.count("kills")
		return false
	}
	if err == nil {
		s.say("done: %s", rep.Result.Value)
		s.count("ended: done")
		s.confirmed(rep)
		return true
	}
	s.say("ended: %v", err)
	for name, kind := range simEnds {
		if errors.Is(err, kind) {
			s.count("ended: " + name)
		}
	}
	if up := s.journal.of(s.where()); errors.Is(err, upload.ErrDoubt) && up != "" && s.journal.state(up) != upload.Completing && !s.isExcused(up) {
		s.wrong("in doubt, and the journal says %q of %s", s.journal.state(up), up)
	}
	if s.calm && (errors.Is(err, upload.ErrDoubt) || errors.Is(err, upload.ErrRefused)) {
		s.stuck++
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(simEnds)), func(kind error) bool { return errors.Is(err, kind) }) {
		s.wrong("an error of no kind: %v", err)
	}
	if s.runs >= mostLives {
		s.wrong("no process ended well")
		return true
	}
	// Some ends are for good.
	return s.calm && (errors.Is(err, upload.ErrTooSlow) || errors.Is(err, upload.ErrUnverified))
}

// simEnds is how a process may end.
var simEnds = map[string]error{
	"signal": errSignal, "in doubt": upload.ErrDoubt, "unfinished": upload.ErrUnfinished, "checksum": upload.ErrChecksum,
	"changed": upload.ErrChanged, "journal": upload.ErrJournal, "denied": upload.ErrDenied, "no input": upload.ErrNoInput,
	"undelivered": upload.ErrUndelivered, "reply": upload.ErrReply, "refused": upload.ErrRefused, "expired": upload.ErrExpired,
	"gone": upload.ErrGone, "too slow": upload.ErrTooSlow, "unverified": upload.ErrUnverified,
}

// confirmed asserts that what a report says is so.
func (s *simulation) confirmed(rep upload.Report) {
	s.mu.Lock()
	done := s.complete[rep.Upload]
	s.mu.Unlock()
	if !done || rep.Result.Value != "object-"+rep.Upload || rep.PartsStored != rep.Parts && !s.kind.whole {
		s.wrong("the report is %+v, and completed: %t", rep, done)
	}
}

// excuse says that another object of the same file may be made.
func (s *simulation) excuse(why string) {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.cloud.uploads {
		s.excused[id] = true
	}
	s.counts["excused: "+why]++
}

func (s *simulation) isExcused(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.excused[id]
}

// upload is what a process does.
func (s *simulation) upload(ctx context.Context, l *life) (upload.Report, error) {
	u := &upload.Uploader{
		Provider: s.kind.provider, Journal: s.newJournal(l), Target: upload.Target{Provider: "cloud", Base: "https://cloud", Name: "file.bin"},
		Concurrency: s.kind.concurrency, Retry: s.kind.retry, Checksum: s.kind.checksum, Restart: l.restart, Wait: s.kind.readies,
		Observe: func(e upload.Event) { s.seen(l, e) },
		Deliver: func(_ context.Context, rep upload.Report) error {
			if l.killed.Load() {
				return errKilled
			}
			s.confirmed(rep)
			if !s.calm && s.draw("deliver", l.n).IntN(10) == 0 {
				s.count("stdout is broken")
				return errors.New("broken pipe")
			}
			return nil
		},
	}
	if s.kind.ours {
		u.PartSize = s.kind.partSize
	}
	return u.Upload(ctx, upload.File{Path: s.where(), Name: "file.bin"})
}

// seen gets the events.
func (s *simulation) seen(l *life, e upload.Event) {
	if l.killed.Load() {
		return
	}
	switch e := e.(type) {
	case upload.Sent:
	case upload.Stored:
		s.say("stored part %d", e.Part.Number)
		if _, ok := s.journal.receipt(e.Part.Number); !ok {
			s.wrong("part %d counts as stored, and its receipt is not durable", e.Part.Number)
		}
	case upload.Finished:
		s.confirmed(e.Report)
	default:
		s.say("%T %+v", e, e)
	}
}

// kill is SIGKILL: what is on the disk of the journal now is what the next
// process finds. The process itself continues without an effect until it ends.
func (s *simulation) kill(why string) {
	l := s.life
	if l.killed.Swap(true) {
		return
	}
	s.say("killed: %s", why)
	s.journal.generation++
	s.must(copyDir(l.journal, s.journal.dir(s.dir)))
	l.cancel(errKilled)
}

func copyDir(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// object gets each object that is made.
func (s *simulation) object(id string, content []byte) {
	s.say("object of %s, %d bytes", id, len(content))
	s.count("objects")
	s.mu.Lock()
	versions := slices.Clone(s.versions)
	s.mu.Unlock()
	if !slices.ContainsFunc(versions, func(v []byte) bool { return bytes.Equal(v, content) }) {
		s.wrong("the object of %s is not the file", id)
	}
	s.mu.Lock()
	var before string
	for other := range s.complete {
		if !s.excused[other] {
			before = cmp.Or(before, other)
		}
	}
	s.complete[id] = true
	s.mu.Unlock()
	if before != "" {
		s.wrong("%s makes a second object: %s made one", id, before)
	}
}
