package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/multiput/multiput/pkg/upload"
)

// recorder records what a journal does to the disk, in order: its own steps, and
// within a Commit the writes and syncs of bbolt.
type recorder struct {
	steps []Step
	kill  func(n int) // told before each step
}

func (r *recorder) step(s Step) {
	if r.kill != nil {
		r.kill(len(r.steps))
	}
	s.Data = slices.Clone(s.Data)
	r.steps = append(r.steps, s)
}

// opened puts the recorder in front of the function by which bbolt writes. bbolt
// syncs before and after it writes a meta page, which are the first two, and
// that it does so is all that this relies on.
func (r *recorder) opened(d *file) {
	ops := reflect.ValueOf(d.db).Elem().FieldByName("ops").FieldByName("writeAt")
	writeAt := (*func([]byte, int64) (int, error))(unsafe.Pointer(ops.UnsafeAddr()))
	before := *writeAt
	path, page := d.f.Name(), int64(d.db.Info().PageSize)
	*writeAt = func(b []byte, off int64) (int, error) {
		meta := off < 2*page && !d.db.NoSync
		if meta {
			r.step(Step{Kind: Sync, Path: path})
		}
		r.step(Step{Kind: Write, Path: path, Offset: off, Data: b})
		n, err := before(b, off)
		if meta {
			r.step(Step{Kind: Sync, Path: path})
		}
		return n, err
	}
}

// simDisk is a disk: what is on it, and what is only in the memory of the system.
type simDisk struct {
	names, durable map[string]int // path: inode
	changes        []map[string]int
	inodes         []inode
}

type inode struct {
	durable []byte
	pending []Step
}

func write(b []byte, s Step) []byte {
	if need := int(s.Offset) + len(s.Data); need > len(b) {
		b = append(b, make([]byte, need-len(b))...)
	}
	copy(b[s.Offset:], s.Data)
	return b
}

func (p *simDisk) apply(s Step) {
	renamed := func(change func()) {
		change()
		p.changes = append(p.changes, maps.Clone(p.names))
	}
	at, found := p.names[s.Path]
	if !found && (s.Kind == Create || s.Kind == Write || s.Kind == Append) {
		at = len(p.inodes)
		p.inodes = append(p.inodes, inode{})
		renamed(func() { p.names[s.Path] = at })
	}
	switch s.Kind {
	case Append:
		for _, earlier := range append(p.inodes[at].pending, Step{Data: p.inodes[at].durable}) {
			s.Offset = max(s.Offset, earlier.Offset+int64(len(earlier.Data)))
		}
		p.inodes[at].pending = append(p.inodes[at].pending, s)
	case Write:
		p.inodes[at].pending = append(p.inodes[at].pending, s)
	case Sync:
		for _, w := range p.inodes[at].pending {
			p.inodes[at].durable = write(p.inodes[at].durable, w)
		}
		p.inodes[at].pending = nil
	case SyncDir:
		p.durable, p.changes = maps.Clone(p.names), nil
	case Rename:
		renamed(func() { p.names[s.To] = at; delete(p.names, s.Path) })
	case Remove:
		renamed(func() { delete(p.names, s.Path) })
	}
}

// cut is the disk after a power cut, in a directory: of what was not synced, keep
// says what arrived all the same.
func (p *simDisk) cut(t *testing.T, keep func() bool) string {
	dir := t.TempDir()
	names := p.durable
	for _, later := range p.changes { // the names change in order
		if !keep() {
			break
		}
		names = later
	}
	for path, at := range names {
		b := slices.Clone(p.inodes[at].durable)
		for _, w := range p.inodes[at].pending {
			if keep() {
				b = write(b, w)
			}
		}
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), b, 0o600))
	}
	return dir
}

// promise is what an upload was told is durable, and when.
type promise struct {
	after int // steps
	what  string
	part  int
}

// life takes an upload through its whole life, and says what it was promised.
func (r *recorder) life(t *testing.T, j *Journal) (promises []promise) {
	promised := func(what string, part int) { promises = append(promises, promise{len(r.steps), what, part}) }
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	promised("begun", 0)
	for _, n := range []int{0, 5, 7} {
		must(t, e.Receive(t.Context(), upload.Receipt{Part: n, Value: fmt.Sprint("part ", n)}))
		promised("receipt", n)
	}
	for _, s := range []upload.State{upload.Completing, upload.Done, upload.Delivered} {
		if s == upload.Delivered {
			promised("delivering", 0)
		}
		must(t, e.Advance(t.Context(), s, &upload.Outcome{Result: upload.Result{Value: "result"}, Verification: "etag"}))
		promised(string(s), 0)
	}
	must(t, e.Close())
	return promises
}

// record gives what a life does to the disk.
func record(t *testing.T) (steps []Step, promises []promise) {
	t.Helper()
	j := newJournal(t)
	must(t, openEntry(t, j, "/data/first").Close()) // by which bbolt makes its image
	r := &recorder{}
	j.Trace, j.opened = r.step, r.opened
	promises = r.life(t, j)
	return r.steps, promises
}

// The power is cut after every step, with nothing of what was not synced on the
// disk, all of it, or some. What was promised is there; what is resumed ends well.
func TestPowerCut(t *testing.T) {
	steps, promises := record(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d; %d steps", seed, len(steps))
	kept := map[string]func() bool{"nothing": func() bool { return false }, "all": func() bool { return true }}
	for i := range 3 * *times {
		kept[fmt.Sprint("some ", i)] = func() bool { return rng.IntN(2) == 0 }
	}
	again := 0
	for n := range len(steps) + 1 {
		for what, keep := range kept {
			p := &simDisk{names: map[string]int{}, durable: map[string]int{}}
			for _, s := range steps[:n] {
				p.apply(s)
			}
			j := &Journal{Dir: p.cut(t, keep)}
			begun, delivering, states := false, false, []upload.State{upload.Sending}
			var parts []int
			for _, pr := range promises {
				if pr.after > n {
					break
				}
				switch pr.what {
				case "begun":
					begun = true
					j.Warn = func(text string) { t.Errorf("step %d, %s: %s", n, what, text) }
				case "receipt":
					parts = append(parts, pr.part)
				case "delivering":
					delivering = true
				default:
					states = append(states, upload.State(pr.what))
				}
			}
			e := openEntry(t, j, "/data/a.bin")
			r := loadRecord(t, e)
			switch {
			case r == nil && begun && !delivering:
				t.Fatalf("step %d, %s: the upload is lost", n, what)
			case r == nil:
				must(t, e.Close())
				continue
			case delivering && r.State != upload.Done:
				t.Fatalf("step %d, %s: delivered, and %q", n, what, r.State)
			}
			for _, part := range parts {
				if r.Receipts[part].Value != fmt.Sprint("part ", part) {
					t.Fatalf("step %d, %s: receipt %d is %+v", n, what, part, r.Receipts[part])
				}
			}
			order := []upload.State{upload.Sending, upload.Completing, upload.Done}
			if want := states[len(states)-1]; want != upload.Delivered && slices.Index(order, r.State) < slices.Index(order, want) {
				t.Fatalf("step %d, %s: %q was promised, and it is %q", n, what, want, r.State)
			}
			if r.State == upload.Done && r.Outcome.Result.Value != "result" {
				t.Fatalf("step %d, %s: the result is %+v", n, what, r.Outcome)
			}
			must(t, e.Receive(t.Context(), upload.Receipt{Part: 0, Value: "again"}))
			must(t, e.Advance(t.Context(), upload.Done, &upload.Outcome{}))
			must(t, e.Advance(t.Context(), upload.Delivered, nil))
			must(t, e.Close())
			again++
			if left := files(t, j); len(slices.DeleteFunc(left, func(name string) bool { return name == nameHistory })) > 0 {
				t.Fatalf("step %d, %s: left are %q", n, what, left)
			}
		}
	}
	t.Logf("%d of %d cuts were resumed", again, (len(steps)+1)*len(kept))
}
