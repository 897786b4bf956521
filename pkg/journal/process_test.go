package journal

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// children are what the test binary does when it is started as a process of
// its own: see child.
var children = map[string]func(ctx context.Context, j *Journal, args []string) error{
	"receive": childReceive,
	"hold":    childHold,
	"stream":  childStream,
}

// times makes the tests that are left to chance longer: go test -times 100.
var times = flag.Int("times", 1, "how many times as long to go on with random kills and damage")

const childVar = "MULTIPUT_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVar); name != "" {
		args := os.Args[1:]
		if err := children[name](context.Background(), &Journal{Path: args[0]}, args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares a process that does one of children to a journal.
func child(t testing.TB, name string, j *Journal, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, append([]string{j.Path}, args...)...)
	cmd.Env = append(os.Environ(), childVar+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// childReceive begins an upload and stores receipts one by one. Its arguments
// are the path of the file and their number.
func childReceive(ctx context.Context, j *Journal, args []string) error {
	e, err := j.Open(ctx, target, args[0])
	if err != nil {
		return err
	}
	defer e.Close()
	// All begin at once.
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	if err := e.Begin(ctx, sample()); err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for i := range n {
		if err := e.Receive(ctx, upload.Receipt{Part: i, Value: fmt.Sprint(i)}); err != nil {
			return err
		}
	}
	return nil
}

func TestManyProcesses(t *testing.T) {
	const processes, receipts = 20, 20
	j := newJournal(t)
	must(t, os.MkdirAll(filepath.Dir(j.Path), 0o700))
	var (
		wg    sync.WaitGroup
		start []io.WriteCloser
	)
	for i := range processes {
		cmd := child(t, "receive", j, fmt.Sprintf("/data/%d", i), fmt.Sprint(receipts))
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		start = append(start, in)
		wg.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("process %d: %v", i, err)
			}
		})
	}
	began := time.Now()
	for _, in := range start {
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	t.Logf("%d processes stored %d receipts each in %v", processes, receipts, time.Since(began).Round(time.Millisecond))
	for i := range processes {
		if r := loadRecord(t, openEntry(t, j, fmt.Sprintf("/data/%d", i))); r == nil || len(r.Receipts) != receipts {
			t.Errorf("process %d: %+v", i, r)
		}
	}
}

// childHold holds an upload until it is killed or its input ends.
func childHold(ctx context.Context, j *Journal, args []string) error {
	e, err := j.Open(ctx, target, args[0])
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Println("held")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestBusyProcess(t *testing.T) {
	j := newJournal(t)
	for _, end := range []string{"killed", "ended"} {
		cmd := child(t, "hold", j, "/data/a.bin")
		in, err := cmd.StdinPipe()
		must(t, err)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		_, err = j.Open(t.Context(), target, "/data/a.bin")
		var busy *upload.BusyError
		if !errors.As(err, &busy) || !strings.HasPrefix(busy.Holder, fmt.Sprintf("process %d on ", cmd.Process.Pid)) {
			t.Errorf("held by process %d: %v", cmd.Process.Pid, err)
		}
		if end == "killed" {
			must(t, cmd.Process.Kill())
			_ = cmd.Wait() // says that it was killed
		} else {
			must(t, in.Close())
			must(t, cmd.Wait())
		}
		e, err := j.Open(t.Context(), target, "/data/a.bin")
		if err != nil {
			t.Fatalf("after the holder was %s: %v", end, err)
		}
		must(t, e.Close())
	}
}

// childStream stores receipts from four goroutines without end, and says each
// when it is stored.
func childStream(ctx context.Context, j *Journal, args []string) error {
	e, err := j.Open(ctx, target, args[0])
	if err != nil {
		return err
	}
	r, err := e.Load(ctx)
	if err != nil {
		return err
	}
	if r == nil {
		if err := e.Begin(ctx, sample()); err != nil {
			return err
		}
		r = &upload.Record{}
	}
	var (
		mu   sync.Mutex
		next = len(r.Receipts)
		wg   sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if e.Receive(ctx, upload.Receipt{Part: n, Value: fmt.Sprint(n)}) != nil {
					return
				}
				mu.Lock()
				_, err := fmt.Println(n)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.New("the stream ended")
}

// What was acknowledged before a SIGKILL is there after it, however often.
func TestKilledWhileReceiving(t *testing.T) {
	kills := 20 * *times
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	j := newJournal(t)
	acked := make(map[int]bool)
	for kill := range kills {
		cmd := child(t, "stream", j, "/data/a.bin")
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewReader(out)
		ack := func() bool {
			line, err := lines.ReadString('\n')
			if err != nil {
				return false
			}
			n, err := strconv.Atoi(strings.TrimSpace(line))
			must(t, err)
			acked[n] = true
			return true
		}
		for range 1 + rng.IntN(30) {
			if !ack() {
				t.Fatal("the child ended by itself")
			}
		}
		must(t, cmd.Process.Kill())
		for ack() { // said before it died
		}
		_ = cmd.Wait() // says that it was killed

		fresh := &Journal{Path: j.Path}
		e := openEntry(t, fresh, "/data/a.bin")
		r := loadRecord(t, e)
		for n := range acked {
			if r.Receipts[n].Value != fmt.Sprint(n) {
				t.Fatalf("kill %d: receipt %d was acknowledged and is %+v", kill, n, r.Receipts[n])
			}
		}
		must(t, e.Close())
		must(t, fresh.inspect())
	}
	t.Logf("%d kills, %d receipts acknowledged, none lost", kills, len(acked))
}
