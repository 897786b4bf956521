package realstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// buildTimeout is how long the tests of one package wait for builds, all of them
// together. Not in CI, where they wait until they have to end.
const buildTimeout = 4 * time.Minute

// Command builds all servers, however long that takes.
const Command = "go test -timeout 30m ./pkg/internal/realstore -build"

// wait is how long this process waits for builds from the first time on.
type wait struct {
	most  time.Duration
	mu    sync.Mutex
	until time.Time
}

var waiting = wait{most: buildTimeout}

// end is when builds are not waited for any more.
func (w *wait) end() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() {
		w.until = time.Now().Add(w.most)
	}
	return w.until
}

// build returns the path of t's binary, and builds it if no test did before.
// It stops a little before the test's own deadline, so that the test can
// say why; what was compiled until then stays in Go's build cache.
func build(tb testing.TB, t tool) (string, error) {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	modfile := filepath.Join(root, "testdata", "tools", t.name, "go.mod")
	bin, err := cachePath(t, modfile)
	if err != nil {
		return "", err
	}
	if isFile(bin) {
		return bin, nil
	}

	end := time.Now().Add(time.Hour)
	if !inCI() {
		end = waiting.end()
	}
	if d, ok := tb.(interface{ Deadline() (time.Time, bool) }); ok {
		if test, ok := d.Deadline(); ok && test.Add(-10*time.Second).Before(end) {
			end = test.Add(-10 * time.Second)
		}
	}
	ctx, cancel := context.WithDeadline(tb.Context(), end)
	defer cancel()
	err = buildOnce(ctx, tb, t, root, modfile, bin)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("not built in time: %w", err)
	}
	return bin, err
}

// buildOnce builds t unless another test binary does so first.
func buildOnce(ctx context.Context, tb testing.TB, t tool, root, modfile, bin string) error {
	dir := filepath.Dir(bin)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make cache directory: %w", err)
	}
	// One lock for all tools: two such builds at a time only slow each other down.
	// The file stays: unlinking a lock that a process waits for lets two in.
	lock := flock.New(filepath.Join(filepath.Dir(dir), "build.lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another build (%s): %w", lock.Path(), err)
	}
	defer func() { _ = lock.Close() }()
	if isFile(bin) {
		return nil
	}

	began := time.Now()
	tb.Logf("realstore: building %s (%s), once; it takes minutes", t.name, bin)
	part := bin + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-modfile="+modfile,
		"-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", part, t.pkg)
	// Go keeps what it has compiled; one that does not listen is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GO111MODULE=on",
		"CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", t.pkg, err, out)
	}
	if err := os.Rename(part, bin); err != nil {
		return fmt.Errorf("keep %s: %w", t.name, err)
	}
	tb.Logf("realstore: built %s in %s", t.name, time.Since(began).Round(time.Second))
	return nil
}

// cachePath names t's binary after all that it is made of.
func cachePath(t tool, modfile string) (string, error) {
	mod, err := os.ReadFile(modfile)
	if err != nil {
		return "", fmt.Errorf("read pinned version: %w", err)
	}
	sum, err := os.ReadFile(strings.TrimSuffix(modfile, ".mod") + ".sum")
	if err != nil {
		return "", fmt.Errorf("read pinned checksums: %w", err)
	}
	m := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(t.module) + ` (v\S+)`).FindSubmatch(mod)
	if m == nil {
		return "", fmt.Errorf("%s does not require %s", modfile, t.module)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, t.pkg)
	h.Write(mod)
	h.Write(sum)
	name := fmt.Sprintf("%s-%s-%x", t.name, m[1], h.Sum(nil)[:6])
	exe := t.name
	if runtime.GOOS == "windows" {
		exe += ".exe"
	}
	return filepath.Join(cache, "multiput-test", name, exe), nil
}

// moduleRoot finds this repository: go test runs a test in its package's
// directory, unless the test went elsewhere, and then this source file tells.
func moduleRoot() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for {
			if isFile(filepath.Join(dir, "testdata", "tools", minioTool.name, "go.mod")) {
				return dir, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", fmt.Errorf("find testdata/tools above %q: %w", starts, fs.ErrNotExist)
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}
