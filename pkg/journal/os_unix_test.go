//go:build unix

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

func init() {
	children["limited"] = childLimited
	children["descriptors"] = childDescriptors
}

func umask(mask int) int { return syscall.Umask(mask) }

// freeze stops a process until thaw.
func freeze(t *testing.T, p *os.Process) (thaw func()) {
	t.Helper()
	must(t, p.Signal(syscall.SIGSTOP))
	return func() { must(t, p.Signal(syscall.SIGCONT)) }
}

// limit sets a limit of this process, and gives what takes it back.
func limit(t *testing.T, resource int, n uint64) (back func()) {
	t.Helper()
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(resource, &old))
	set := old
	set.Cur = n
	must(t, syscall.Setrlimit(resource, &set))
	return func() { must(t, syscall.Setrlimit(resource, &old)) }
}

// childLimited may write files up to some size, as if the disk were full.
func childLimited(t *testing.T, j *Journal, _ []string) {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := t.Context()
	j.Warn = func(text string) { t.Error(text) }

	// No room for even an empty file.
	back := limit(t, syscall.RLIMIT_FSIZE, 4096)
	_, err := j.Open(ctx, target, "/data/a.bin")
	var e *Error
	if !errors.Is(err, upload.ErrJournal) || !errors.Is(err, syscall.EFBIG) || !errors.As(err, &e) || !strings.Contains(e.Advice, "free some space") {
		t.Errorf("open without room: %v", err)
	}
	if left := files(t, j); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	back()
	back = limit(t, syscall.RLIMIT_FSIZE, 256<<10)
	entry := openEntry(t, j, "/data/a.bin")
	must(t, entry.Begin(ctx, sample()))
	stored := 0
	for ; ; stored++ {
		if err = entry.Receive(ctx, upload.Receipt{Part: stored, Value: strings.Repeat("t", 1000)}); err != nil {
			break
		}
	}
	if !errors.Is(err, upload.ErrJournal) || !errors.Is(err, syscall.EFBIG) || stored < 50 {
		t.Errorf("full after %d: %v", stored, err)
	}
	check := func(e upload.Entry) {
		t.Helper()
		r := loadRecord(t, e)
		for n := range stored {
			if _, ok := r.Receipts[n]; !ok {
				t.Fatalf("receipt %d of %d is lost", n, stored)
			}
		}
	}
	check(entry)
	must(t, entry.Close())
	// What was delivered stays so without a line of the history.
	var warned []string
	j.Warn = func(text string) { warned = append(warned, text) }
	other := openEntry(t, j, "/data/b.bin")
	must(t, other.Begin(ctx, sample()))
	must(t, other.Advance(ctx, upload.Done, &upload.Outcome{}))
	must(t, os.WriteFile(j.history(), bytes.Repeat([]byte{'\n'}, 256<<10), 0o600))
	must(t, other.Advance(ctx, upload.Delivered, nil))
	if !slices.ContainsFunc(warned, func(s string) bool { return strings.Contains(s, "/data/b.bin is not in the history") }) {
		t.Errorf("warned %q", warned)
	}
	must(t, other.Close())
	back()
	entry = openEntry(t, j, "/data/a.bin")
	check(entry)
	must(t, entry.Receive(ctx, upload.Receipt{Part: 1_000_000}))
	must(t, entry.Close())
	fmt.Println("ended")
}

// childDescriptors may open no more files.
func childDescriptors(t *testing.T, j *Journal, _ []string) {
	ctx := t.Context()
	entry := openEntry(t, j, "/data/a.bin")
	must(t, entry.Begin(ctx, sample()))
	back := limit(t, syscall.RLIMIT_NOFILE, 3)
	_, err := j.Open(ctx, target, "/data/b.bin")
	var e *Error
	if !errors.Is(err, syscall.EMFILE) || !errors.As(err, &e) || !strings.Contains(e.Advice, "is kept") {
		t.Errorf("opened: %v", err)
	}
	// What is open goes on.
	must(t, entry.Receive(ctx, upload.Receipt{Part: 0}))
	must(t, entry.Advance(ctx, upload.Completing, nil))
	must(t, entry.Advance(ctx, upload.Done, &upload.Outcome{}))
	if err := entry.Advance(ctx, upload.Delivered, nil); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("delivered: %v", err)
	}
	back()
	must(t, entry.Close())
	if r := loadRecord(t, openEntry(t, j, "/data/a.bin")); r.State != upload.Done || len(r.Receipts) != 1 {
		t.Errorf("it is %+v", r)
	}
	fmt.Println("ended")
}

// A disk without room and a process without descriptors: an error that says so,
// and nothing that was durable is lost.
func TestLimits(t *testing.T) {
	for _, name := range []string{"limited", "descriptors"} {
		t.Run(name, func(t *testing.T) {
			if out, err := child(t, name, newJournal(t)).Output(); err != nil || !strings.Contains(string(out), "ended") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
