//go:build linux || darwin

// Windows has no signal that stops a process.

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/sandbox"
)

// freeze stops a process with its connections open, until thaw.
func freeze(t *testing.T, pid int) (thaw func()) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw = func() {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	return thaw
}

// TestFrozenStore stops a real store in the middle of a part. Its connections
// stay open and new ones are taken by the kernel, but nothing moves: each try
// ends after the stall timeout, and when the store wakes up, the upload ends
// well.
func TestFrozenStore(t *testing.T) {
	t.Parallel()
	for name, start := range realStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			r := onReal(t, server, &sandbox.Server{API: "archetype", PartSize: realPart, StoreURL: server.Endpoint})
			file := r.file(t, 3*realPart)
			p := r.launch(t, nil, "multiput", "upload", file, "-p", "archetype", "-j", "2", "-v", "--stall-timeout", "1s", "--limit-rate", "8MiB")
			p.says(t, `\([12] of 3 parts stored`, 1)
			thaw := freeze(t, server.PID)
			p.says(t, "part [123]: retrying.*no data was transferred", 2)
			thaw()
			if code := p.wait(t); code != 0 {
				t.Fatalf("exit code %d\n%s", code, p.stderr.String())
			}
			r.cmpObject(t, file)
		})
	}
}

// TestFrozenServer stops the whole server, API and store, in the middle of a
// part.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	r := rigFor(t, &sandbox.Server{API: "archetype", PartSize: 0}) // for its directory
	dir := filepath.Join("served", "own")
	server := r.launch(t, nil, "multiput", "sandbox", "--api", "archetype", "--dir", filepath.Join(r.dir, dir), "--part-size", "2MiB", "--listen", realstore.Addr(t))
	defer server.kill()
	server.says(t, "export .*\n", 1)
	env := strings.Fields(regexp.MustCompile("export (.*)").FindStringSubmatch(server.stderr.String())[1])
	file := r.file(t, 6<<20)
	p := r.launch(t, env, "multiput", "upload", file, "-p", "archetype", "-j", "2", "-v", "--stall-timeout", "1s", "--limit-rate", "4MiB")
	p.says(t, `\([12] of 3 parts stored`, 1)
	thaw := freeze(t, server.cmd.Process.Pid)
	p.says(t, "part [123]: retrying.*no data was transferred", 1)
	thaw()
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.stderr.String())
	}
	objects, err := (&stage{dir: r.dir, served: dir}).objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 || !sameBytes(t, objects, file) {
		t.Errorf("%d objects, want one that is the file", len(objects))
	}
}
