package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

func init() {
	children["full"] = childFull
}

// errNoMount: this process may not mount anything.
const noMount = 77

// childFull mounts a small file system where the journal is to be, and fills
// it.
func childFull(ctx context.Context, j *Journal, _ []string) error {
	dir := filepath.Dir(j.Path)
	if err := syscall.Mount("multiput-test", dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		fmt.Fprintln(os.Stderr, "mount:", err)
		os.Exit(noMount)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 256<<10), 0o600); err != nil {
		return err
	}
	e, err := j.Open(ctx, target, "/data/a.bin")
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Begin(ctx, sample()); err != nil {
		return err
	}
	stored, err := untilFull(ctx, e)
	if !errors.Is(err, upload.ErrJournal) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		return fmt.Errorf("full after %d: %w", stored, err)
	}
	fmt.Println(stored, err)
	other, err := j.Open(ctx, target, "/data/b.bin") // no room for its lock file either, or just that
	if err == nil {
		err = other.Begin(ctx, sample())
		_ = other.Close()
	}
	if err != nil && !errors.Is(err, upload.ErrJournal) {
		return fmt.Errorf("another upload: %w", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	return afterFull(ctx, j, e, stored)
}

// A disk that is full: nothing stored is lost, and it goes on when there is
// room. The disk is a small tmpfs in a mount namespace of the child's own.
func TestFullDisk(t *testing.T) {
	j := newJournal(t)
	must(t, os.MkdirAll(filepath.Dir(j.Path), 0o700))
	cmd := child(t, "full", j)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	t.Logf("%s", out)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() == noMount {
		t.Skipf("NO FULL DISK WAS TRIED: this process may make no mount namespace (%v); TestNoRoom covers a part", err)
	}
	must(t, err)
}
