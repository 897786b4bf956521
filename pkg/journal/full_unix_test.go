//go:build unix

package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

func init() {
	children["limited"] = childLimited
}

// untilFull stores receipts with long tokens until there is no room, and says
// how many it stored.
func untilFull(ctx context.Context, e upload.Entry) (stored int, err error) {
	for n := range 100_000 {
		if err := e.Receive(ctx, upload.Receipt{Part: n, Value: strings.Repeat("t", 1000)}); err != nil {
			return n, err
		}
	}
	return 0, errors.New("it never got full")
}

// afterFull checks that nothing that was stored is lost, and that it goes on
// when there is room again.
func afterFull(ctx context.Context, j *Journal, e upload.Entry, stored int) error {
	fresh := &Journal{Path: j.Path}
	if err := fresh.prepare(); err != nil {
		return err
	}
	if err := fresh.inspect(); err != nil {
		return err
	}
	r, err := e.Load(ctx)
	if err != nil {
		return err
	}
	for n := range stored {
		if _, ok := r.Receipts[n]; !ok {
			return fmt.Errorf("receipt %d of %d is lost", n, stored)
		}
	}
	return e.Receive(ctx, upload.Receipt{Part: 1_000_000, Value: strings.Repeat("t", 1000)})
}

// childLimited may write files up to 256 KiB, and then more.
func childLimited(ctx context.Context, j *Journal, _ []string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var unlimited syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &unlimited); err != nil {
		return err
	}
	limit := func(n uint64) error {
		l := unlimited
		if n > 0 {
			l.Cur = n
		}
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
	}
	e, err := j.Open(ctx, target, "/data/a.bin")
	if err != nil {
		return err
	}
	defer e.Close()

	// No room for even an empty journal.
	if err := limit(4096); err != nil {
		return err
	}
	if err := e.Begin(ctx, sample()); !errors.Is(err, upload.ErrJournal) || !errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("begin without room: %w", err)
	}
	if r, err := e.Load(ctx); r != nil || err != nil {
		return fmt.Errorf("left a record (%v) or an error: %w", r, err)
	}
	if err := limit(256 << 10); err != nil {
		return err
	}
	if err := e.Begin(ctx, sample()); err != nil {
		return err
	}
	stored, err := untilFull(ctx, e)
	if !errors.Is(err, upload.ErrJournal) || stored == 0 {
		return fmt.Errorf("full after %d: %w", stored, err)
	}
	fmt.Println(stored, err)
	if _, err := untilFull(ctx, e); err == nil { // again: parts that are stored take room too
		return errors.New("room out of nowhere")
	}
	if err := limit(0); err != nil {
		return err
	}
	return afterFull(ctx, j, e, stored)
}

// A file that may not grow: the write fails as on a full disk.
func TestNoRoom(t *testing.T) {
	j := newJournal(t)
	out, err := child(t, "limited", j).Output()
	t.Logf("%s", out)
	must(t, err)
	if found, _ := os.ReadDir(j.Path + ".new"); found != nil {
		t.Error("a half made journal was left")
	}
}
