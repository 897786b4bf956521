package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// TestScripts runs testdata/script. CONTRIBUTING.md says what a script can do.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "..", "testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, ".home")
			// Nothing of the machine's own configuration or proxies counts.
			e.Vars = append(e.Vars,
				"HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CONFIG_HOME="+filepath.Join(home, "config"),
				"MULTIPUT_JOURNAL="+filepath.Join(e.WorkDir, ".home", "journal"), "NO_PROXY=*", "USERPROFILE="+home, "LocalAppData="+home, "AppData="+home,
				saidEnv+"="+filepath.Join(e.WorkDir, ".home", "said"),
			)
			tb, ok := e.T().(testing.TB)
			if !ok {
				return errors.New("testscript has no testing.TB here")
			}
			if err := looked(); err != nil {
				return err
			}
			s := &stage{t: tb, dir: e.WorkDir, served: filepath.Join(".home", "served")}
			e.Values[stageKey{}] = s
			e.Defer(func() { s.verify() })
			return os.MkdirAll(filepath.Join(home, "journal"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":      cmdServe,
			"fault":      cmdFault,
			"killat":     cmdKillAt,
			"puts":       cmdPuts,
			"requests":   cmdRequests,
			"cmpobject":  cmdCmpObject,
			"mkfile":     cmdMkFile,
			"patchfile":  cmdPatchFile,
			"exits":      cmdExits,
			"waitfor":    cmdWaitFor,
			"stdout2env": cmdStdoutToEnv,
		},
	})
}

// stage is what one script plays on.
type stage struct {
	t      testing.TB
	dir    string
	served string // below dir: where the server keeps its objects
	server *sandbox.Server
	store  *s3store.Store // nil: the sandbox's own
	key    string
	stop   func() error

	mu    sync.Mutex
	began map[string]chan struct{} // by step, and by put and part: holds one when a request begins
}

// begun gives something when a request of a step begins.
func (s *stage) begun(step string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began == nil {
		s.began = make(map[string]chan struct{})
	}
	if s.began[step] == nil {
		s.began[step] = make(chan struct{}, 1)
	}
	return s.began[step]
}

func (s *stage) note(r sandbox.Request) {
	for _, what := range []string{r.Step, fmt.Sprintf("%s %d", r.Step, r.Part)} {
		select {
		case s.begun(what) <- struct{}{}:
		default: // the one before was not waited for
		}
	}
}

type stageKey struct{}

func on(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// serve API [real] [part=SIZE] [life=DURATION] ...: serves an API, with its
// store at another address. real puts a real S3 server behind it.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve API [real|versity] [part=SIZE] [zero] [none]")
	}
	s := on(ts)
	if s.server != nil {
		ts.Fatalf("a script serves once")
	}
	if !slices.Contains(args, "real") && !slices.Contains(args, "versity") {
		takePlace(s.t) // the others have to wait for their store first
	}
	s.key = "key-" + sha(ts.Name())[:24]
	s.server = &sandbox.Server{
		API: args[0], Dir: filepath.Join(s.dir, s.served), Key: s.key,
		StoreListen: "127.0.0.1:0", Faults: &sandbox.Faults{}, Before: s.note,
	}
	for _, a := range args[1:] {
		name, value, _ := strings.Cut(a, "=")
		switch name {
		case "real", "versity":
			start := realstore.MinIO
			if name == "versity" {
				start = realstore.VersityGW
			}
			store, err := s3store.Open(s.t.Context(), start(s.t))
			ts.Check(err)
			s.store = store
			s.server.Store = store
		case "part":
			n, err := config.ParseSize(value)
			ts.Check(err)
			s.server.PartSize = n
		case "megabyte":
			n, err := strconv.ParseInt(value, 10, 64)
			ts.Check(err)
			s.server.Megabyte = n
		case "zero":
			s.server.ZeroBased = true
		case "none":
			s.server.Integrity = "none"
		case "seconds":
			s.server.Seconds = true
		default:
			ts.Fatalf("serve: %s?", a)
		}
	}
	base, stop, err := s.server.Start(s.t.Context(), "")
	ts.Check(err)
	s.stop = stop
	m, err := provider.Load(args[0])
	ts.Check(err)
	ts.Setenv(m.KeyEnv(), s.key)
	ts.Setenv("MULTIPUT_"+strings.ToUpper(args[0])+"_BASE_URL", base)
	ts.Setenv("BASE", base)
	ts.Check(os.MkdirAll(filepath.Join(s.dir, s.served), 0o700))
	ts.Check(os.WriteFile(filepath.Join(s.dir, s.served, "key"), []byte(s.key), 0o600))
	ts.Setenv("MULTIPUT_PROVIDER", args[0])
}

// fault SPEC...: lets faults happen from now on. Each must fire.
func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	s := on(ts)
	s.mu.Lock()
	s.began = nil
	s.mu.Unlock()
	ts.Check(s.server.Faults.Add(args...))
}

// killat KIND=N[+]: kills multiput at that journal write; killat never ends it.
func cmdKillAt(ts *testscript.TestScript, _ bool, args []string) {
	at := args[0]
	if at == "never" {
		at = ""
	}
	ts.Setenv(killEnv, at)
}

// puts total|part=P N: how often the store stored a part so far.
func cmdPuts(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := 0
	if p, ok := strings.CutPrefix(args[0], "part="); ok {
		n, err := strconv.Atoi(p)
		ts.Check(err)
		got = on(ts).server.Puts(n)
	} else {
		for _, r := range on(ts).server.Requests() {
			if r.Step == sandbox.StepPut && r.Stored {
				got++
			}
		}
	}
	if (got == want) == neg {
		ts.Fatalf("%s: stored %d times, want %d", args[0], got, want)
	}
}

// requests STEP N: how many requests of a step came so far.
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	got := 0
	for _, r := range on(ts).server.Requests() {
		if r.Step == args[0] {
			got++
		}
	}
	if (got == want) == neg {
		ts.Fatalf("%d requests of %s, want %d", got, args[0], want)
	}
}

// cmpobject FILE [N]: an object that was completed is the file; with N, there
// are N objects. (Which is the latest, a store tells to the second only.)
func cmdCmpObject(ts *testscript.TestScript, neg bool, args []string) {
	s := on(ts)
	objects, err := s.objects(context.Background())
	ts.Check(err)
	if len(args) > 1 {
		if n, err := strconv.Atoi(args[1]); err != nil || n != len(objects) {
			ts.Fatalf("%d objects, want %s", len(objects), args[1])
		}
	}
	if len(objects) == 0 {
		ts.Fatalf("there is no object")
	}
	want, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	if slices.ContainsFunc(objects, func(o []byte) bool { return bytes.Equal(o, want) }) == neg {
		ts.Fatalf("%d objects, and that one of them is %s (%d bytes) is %t", len(objects), args[0], len(want), neg)
	}
}

// mkfile NAME SIZE [SEED]: a file of bytes that compress to nothing less.
func cmdMkFile(ts *testscript.TestScript, _ bool, args []string) {
	size, err := config.ParseSize(args[1])
	ts.Check(err)
	seed := args[0]
	if len(args) > 2 {
		seed = args[2]
	}
	r := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, r, size)
	ts.Check(err)
	ts.Check(f.Close())
}

// patchfile NAME OFFSET TEXT: overwrites some bytes.
func cmdPatchFile(ts *testscript.TestScript, _ bool, args []string) {
	off, err := config.ParseSize(args[1])
	ts.Check(err)
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) != 1 {
		ts.Fatalf("%s is %q, want one file", args[0], paths)
	}
	f, err := os.OpenFile(paths[0], os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt([]byte(args[2]), off)
	ts.Check(err)
	ts.Check(f.Close())
}

// waitfor STEP [PART]: waits until a request of that step, a put of that part,
// has begun since the last fault was declared.
func cmdWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	select {
	case <-on(ts).begun(strings.Join(args, " ")):
	case <-time.After(30 * time.Second):
		ts.Fatalf("no %s came", args[0])
	}
}

// stdout2env NAME: a variable holds from now on what was written last.
func cmdStdoutToEnv(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// exits CODE PROGRAM ARG...: runs a program, which must end with that code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if (got == want) == neg {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// objects are those that were completed, by age.
func (s *stage) objects(ctx context.Context) ([][]byte, error) {
	if s.store != nil {
		return s.store.Objects(ctx)
	}
	type file struct {
		path string
		info fs.FileInfo
	}
	var files []file
	for _, root := range []string{filepath.Join(s.dir, s.served, "objects"), filepath.Join(s.dir, ".home", "state", "multiput", "sandbox", "objects")} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreMissing(err)
			}
			info, err := d.Info()
			files = append(files, file{path, info})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	var objects [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		objects = append(objects, b)
	}
	return objects, nil
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// verify checks what every script must keep to: each declared fault fired, the
// key reached the API alone, and neither it nor a signature was written
// anywhere.
func (s *stage) verify() {
	t := s.t
	if s.stop == nil { // it served nothing, or skipped where the store was to start
		return
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop the server: %v", err)
	}
	if left := s.server.Faults.Unfired(); len(left) > 0 {
		t.Errorf("these faults did not fire: %s", strings.Join(left, ", "))
	}
	secrets{t: t, dir: s.dir, served: s.served, words: []string{s.key}, api: s.server.API}.check(s.server.Requests())
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
