package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

var update = flag.Bool("update", false, "write the golden files")

// What the program under test reads of its environment, beside what multiput
// does: see cmd/multiput/main_test.go.
const (
	killEnv     = "SCRIPT_KILL_AT"
	saidEnv     = "SCRIPT_SAID"
	receiptsEnv = "SCRIPT_RECEIPTS"
)

// The exit codes, as docs/scripts.md has them.
const (
	exitFailed   = 1
	exitUsage    = 64
	exitData     = 65
	exitNoInput  = 66
	exitJournal  = 73
	exitOutput   = 74
	exitAgain    = 75
	exitDoubt    = 76
	exitDenied   = 77
	exitConfig   = 78
	exitSignaled = 128 // and the signal's number
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds multiput and runs the tests with it first on the PATH.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multiput-e2e")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // the system clears it away too
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	flag.Parse()
	err = errors.Join(
		flag.Set("test.parallel", "1000"), // takePlace limits them
		os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	realstore.Gate = takePlace
	return m.Run()
}

// build builds the test binary of cmd/multiput, which is multiput if it is called
// so, with a journal that can kill it.
func build(dir string) error {
	bin := filepath.Join(dir, "multiput")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	args := []string{"test", "-c", "-vet=off", "-o", bin}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/multiput")...)
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build multiput: %w\n%s", err, out)
	}
	return nil
}

// looked looks at what multiput is made of, once: go test takes a result from
// its cache unless something has changed that a test looked at.
var looked = sync.OnceValue(func() error {
	for _, dir := range []string{"cmd", "pkg"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", dir), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	return nil
})

// Most tests wait most of the time, so that more of them run at once than there
// are cores. Only those that have a place do: a test that waits for a store to
// be built has none yet.
var (
	places = make(chan struct{}, 8)
	placed sync.Map // the names of the tests that have one
)

// takePlace waits until t may run. A part of a test that has a place needs none:
// the test waits for it, and enough of those would leave no place for any part.
func takePlace(t testing.TB) {
	t.Helper()
	if err := looked(); err != nil {
		t.Fatal(err)
	}
	for i, c := range t.Name() + "/" {
		if c != '/' {
			continue
		}
		if _, has := placed.Load(t.Name()[:i]); has {
			return
		}
	}
	placed.Store(t.Name(), true)
	places <- struct{}{}
	t.Cleanup(func() {
		placed.Delete(t.Name())
		<-places
	})
}
