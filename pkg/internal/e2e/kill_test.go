package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// TestKillAtEveryWrite kills multiput before and after every write to the
// journal, runs the same command again, and looks at what the store received:
// a part whose receipt was durable is not sent again, and the object is the
// file.
func TestKillAtEveryWrite(t *testing.T) {
	t.Parallel()
	for api, args := range map[string][]string{
		"archetype": nil,
		"fileai":    nil,
		"upscayl":   nil,
		"openai":    {"--set", "purpose=batch", "--part-size", "64KiB"},
	} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			killed := 0
			for n := 1; ; n++ {
				before := killAt(t, api, fmt.Sprintf("write=%d", n), args)
				after := killAt(t, api, fmt.Sprintf("write=%d+", n), args)
				// How many checkpoints there are depends on how fast the parts come.
				if !before && !after {
					break
				}
				killed++
			}
			// The plan, five receipts in groups, completing, done, delivered.
			if killed < 6 {
				t.Errorf("only %d writes were there to be killed at", killed)
			}
		})
	}
}

// TestKillAtEveryDiskStep kills multiput before every step that the journal takes on
// the disk: files made and removed, heads, transactions, the history. Nothing
// but what belongs there is left at the end.
func TestKillAtEveryDiskStep(t *testing.T) {
	for api, args := range map[string][]string{"archetype": nil, "fileai": nil} {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			n := 1
			for killAt(t, api, fmt.Sprintf("step=%d", n), args) {
				n++
			}
			// Made, its head, the plan and two syncs, its head, five receipts or
			// fewer, completing, its head, done, its head, the history, two removals.
			if n < 15 {
				t.Errorf("only %d steps were there to be killed at", n)
			}
		})
	}
}

const killSize = 5*64<<10 - 100

// killAt runs an upload that is killed at a journal write, and a second one. It
// reports whether the kill came.
func killAt(t *testing.T, api, at string, args []string) bool {
	t.Helper()
	r := newRig(t, api, 64<<10)
	file := r.file(t, killSize)
	command := append([]string{"upload", file, "-p", api, "-j", "3"}, args...)
	receipts := filepath.Join(r.dir, "receipts")
	told, code := r.multiput(t, []string{killEnv + "=" + at, receiptsEnv + "=" + receipts}, command...)
	if code == 0 {
		return false
	}
	if code != -1 {
		t.Fatalf("%s: exit code %d, want to be killed", at, code)
	}
	if strings.HasSuffix(at, "+") && told != "" {
		// The result was printed and that is on disk: the upload is over, and
		// the same command is a new one.
		return true
	}
	durable := lines(t, receipts)
	// What was under way comes to its end before the second run is counted.
	r.restart(t)

	out, code := r.multiput(t, nil, command...)
	if code != 0 {
		t.Fatalf("%s: exit code %d the second time", at, code)
	}
	if len(strings.Fields(out)) != 1 {
		t.Errorf("%s: stdout is %q, want one line", at, out)
	}
	for _, part := range durable {
		if n := r.server.Puts(part); n > 0 && api != "openai" {
			t.Errorf("%s: part %d had a durable receipt and was stored %d times more", at, part, n)
		}
	}
	// OpenAI's parts have no numbers: that none of them is sent twice shows in
	// how many are sent.
	if more := r.puts(); more > 5-len(durable) {
		t.Errorf("%s: %d parts were sent the second time, and %d of 5 had durable receipts", at, more, len(durable))
	}
	if told != "" && told != out {
		t.Errorf("%s: the result was %q and is %q", at, told, out)
	}
	if told != "" && len(r.server.Requests()) > 0 {
		t.Errorf("%s: an upload that was done sent requests", at)
	}
	r.cmpObject(t, file)
	left, err := filepath.Glob(filepath.Join(r.dir, "multiput", "journal", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "history.ndjson" {
		t.Errorf("%s: left are %v, %v: want the history alone", at, left, err)
	}
	return true
}

func lines(t *testing.T, path string) []int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var ns []int
	for _, s := range strings.Fields(string(b)) {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		ns = append(ns, n)
	}
	return ns
}

// rig is multiput as a process of its own against a sandbox in this one.
type rig struct {
	dir    string
	server *sandbox.Server
	listen string // its address
	stop   func() error
	env    []string

	// Of those of rigFor:
	store    *s3store.Store // nil: the sandbox's own
	secret   []string       // what must be nowhere, beside the key
	starting sync.Mutex     // guards now
	now      *life          // what the faults kill and kill-late kill
	onEvent  atomic.Pointer[func(q sandbox.Request, after bool)]
}

// restart ends the server, once it has answered what it has begun, and starts
// another in its place, whose log is empty.
func (r *rig) restart(t *testing.T) {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	old := r.server
	r.server = &sandbox.Server{
		API: old.API, Dir: old.Dir, Key: old.Key, StoreListen: strings.TrimPrefix(old.StoreURL, "http://"),
		PartSize: old.PartSize, Faults: &sandbox.Faults{},
	}
	r.startAgain(t)
}

// startAgain starts the server where another was.
func (r *rig) startAgain(t *testing.T) {
	t.Helper()
	// A process that another test is just starting holds a copy of the old
	// socket until it is a program of its own.
	var err error
	for range 3000 {
		var stop func() error
		if _, stop, err = r.server.Start(t.Context(), r.listen); err == nil {
			r.stop = stop
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal(err)
}

func newRig(t *testing.T, api string, partSize int64) *rig {
	t.Helper()
	takePlace(t)
	dir := t.TempDir()
	var (
		s    *sandbox.Server
		base string
		stop func() error
		err  error
	)
	for range 10 { // another program may take the address in between
		s = &sandbox.Server{
			API: api, Dir: filepath.Join(dir, "served"), Key: "key-of-" + api, StoreListen: realstore.Addr(t),
			PartSize: partSize, Faults: &sandbox.Faults{},
		}
		if base, stop, err = s.Start(t.Context(), realstore.Addr(t)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := provider.Load(api)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{dir: dir, server: s, listen: u.Host, stop: stop, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "NO_PROXY=*",
		"SystemRoot=" + os.Getenv("SystemRoot"), "USERPROFILE=" + dir, "LocalAppData=" + dir, "AppData=" + dir,
		m.KeyEnv() + "=" + s.Key, "MULTIPUT_" + strings.ToUpper(api) + "_BASE_URL=" + base,
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// multiput runs it to its end and gives its stdout and exit code, -1 if it was
// killed.
func (r *rig) multiput(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "multiput", args...)
	cmd.Env = append(append([]string{}, r.env...), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	code := cmd.ProcessState.ExitCode()
	if code > 0 {
		t.Logf("multiput %s: exit code %d\n%s", strings.Join(args, " "), code, &stderr)
	}
	return string(out), code
}

// file makes one of random bytes.
func (r *rig) file(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(r.dir, "file.bin")
	f, err := os.Create(path)
	if err == nil {
		_, err = io.CopyN(f, rand.NewChaCha8(sha256.Sum256([]byte(t.Name()))), size)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *rig) puts() int {
	n := 0
	for _, q := range r.server.Requests() {
		if q.Step == sandbox.StepPut && q.Stored {
			n++
		}
	}
	return n
}

// cmpObject checks that there is one object, and that it is the file.
func (r *rig) cmpObject(t *testing.T, file string) {
	t.Helper()
	objects, err := (&stage{dir: r.dir, served: "served", store: r.store}).objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 || !bytes.Equal(objects[0], want) {
		t.Errorf("%d objects, want one that is the file", len(objects))
	}
}
