package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/zalando/go-keyring"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/upload"
)

// killEnv names the journal write at which the program under test is killed:
// "receipt=2" is the second receipt, "write=7" the seventh write of any kind,
// "step=9" the ninth step on the disk, head and history included,
// a + behind it means after the write is durable instead of before it.
const killEnv = "SCRIPT_KILL_AT"

// saidEnv names a file that gets a copy of everything that is printed, for the
// search for secrets.
const saidEnv = "SCRIPT_SAID"

// receiptsEnv names a file to which the number of each part is appended whose
// receipt is durable.
const receiptsEnv = "SCRIPT_RECEIPTS"

// keyringEnv, if it is set, gives the program a keyring of its own, empty and in
// memory; the machine's is not touched.
const keyringEnv = "SCRIPT_KEYRING"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"multiput": multiputUnderTest})
}

// multiputUnderTest is main, with a journal that may kill the process.
func multiputUnderTest() {
	a := newApp()
	ctx, stop := signals(context.Background(), a.quit)
	defer stop()
	if os.Getenv(keyringEnv) != "" {
		keyring.MockInit()
	}
	if at := os.Getenv(killEnv); at != "" {
		a.journal = func(dir string, warn func(string)) upload.Journal {
			d := newKillPoint(at)
			return &killingJournal{&journal.Journal{Dir: dir, Warn: warn, Trace: d.step}, d}
		}
	}
	if path := os.Getenv(saidEnv); path != "" {
		said, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		a.stdout, a.stderr = io.MultiWriter(a.stdout, said), io.MultiWriter(os.Stderr, said)
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// death kills the process at a chosen journal write.
type killPoint struct {
	kind  string
	left  atomic.Int64
	after bool
}

func newKillPoint(at string) *killPoint {
	kind, n, _ := strings.Cut(at, "=")
	after := strings.HasSuffix(n, "+")
	left, err := strconv.Atoi(strings.TrimSuffix(n, "+"))
	if err != nil {
		panic(err)
	}
	d := &killPoint{kind: kind, after: after}
	d.left.Store(int64(left))
	return d
}

// around makes a write of some kind, and dies before or after it if it is the
// one.
func (d *killPoint) around(kind string, write func() error) error {
	mine := false
	if d.kind == kind || d.kind == "write" {
		mine = d.left.Add(-1) == 0
	}
	if mine && !d.after {
		die()
	}
	err := write()
	if mine && err == nil {
		die()
	}
	return err
}

// step dies before a step on the disk, if it is the one.
func (d *killPoint) step(journal.Step) {
	if d.kind == "step" && d.left.Add(-1) == 0 {
		die()
	}
}

// note tells the test, in the file that receiptsEnv names, that a receipt is
// durable.
func note(part int) {
	path := os.Getenv(receiptsEnv)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, part)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic(err)
	}
}

func die() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Signal(syscall.SIGKILL)
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}

// killingJournal is a journal that kills the process at a chosen write.
type killingJournal struct {
	upload.Journal
	*killPoint
}

func (j *killingJournal) Open(ctx context.Context, t upload.Target, path string) (upload.Entry, error) {
	e, err := j.Journal.Open(ctx, t, path)
	if err != nil {
		return nil, err
	}
	return &killingEntry{e, j.killPoint}, nil
}

type killingEntry struct {
	upload.Entry
	*killPoint
}

func (e *killingEntry) Begin(ctx context.Context, r upload.Record) error {
	return e.around("begin", func() error { return e.Entry.Begin(ctx, r) })
}

func (e *killingEntry) Receive(ctx context.Context, rs ...upload.Receipt) error {
	kind := "receipt"
	if !slices.ContainsFunc(rs, func(r upload.Receipt) bool { return !r.Checkpointed }) {
		kind = "checkpoint"
	}
	return e.around(kind, func() error {
		err := e.Entry.Receive(ctx, rs...)
		if err == nil && kind == "receipt" {
			note(rs[slices.IndexFunc(rs, func(r upload.Receipt) bool { return !r.Checkpointed })].Part)
		}
		return err
	})
}

func (e *killingEntry) Refresh(ctx context.Context, f upload.File, drop ...int) error {
	return e.around("refresh", func() error { return e.Entry.Refresh(ctx, f, drop...) })
}

func (e *killingEntry) Advance(ctx context.Context, s upload.State, o *upload.Outcome) error {
	return e.around(string(s), func() error { return e.Entry.Advance(ctx, s, o) })
}
