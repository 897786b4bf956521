//go:build unix

package source

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Opening a pipe waits for its other end: it must not be tried.
func TestPipesAndSockets(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, kind := range map[string]string{pipe: "pipe", filepath.Join(dir, "s"): "socket"} {
		if _, err := Open(path); !errors.Is(err, ErrNoInput) || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s: error %v, want ErrNoInput and the word", kind, err)
		}
	}
}
