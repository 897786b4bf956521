package journal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// children are what the test binary does when it is started as a process of
// its own: see child.
var children = map[string]func(t *testing.T, j *Journal, args []string){
	"life": childLife,
	"hold": childHold,
}

const childVar = "MULTIPUT_JOURNAL_CHILD"

// child prepares a process that does one of children to a journal.
func child(t testing.TB, name string, j *Journal, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestChild$")
	cmd.Env = append(os.Environ(), childVar+"="+strings.Join(append([]string{name, j.Dir}, args...), "\n"))
	cmd.Stderr = os.Stderr
	return cmd
}

// TestChild is what a child runs.
func TestChild(t *testing.T) {
	args := strings.Split(os.Getenv(childVar), "\n")
	if len(args) < 2 {
		return // this is no child
	}
	children[args[0]](t, &Journal{Dir: args[1]}, args[2:])
}

// childLife takes an upload through its life, says what it was promised, and kills
// itself before the step that its argument names.
func childLife(t *testing.T, j *Journal, args []string) {
	at, err := strconv.Atoi(args[0])
	must(t, err)
	path := "/data/a.bin"
	if len(args) > 1 {
		path = args[1]
	}
	must(t, openEntry(t, j, path+".first").Close())
	r := &recorder{}
	r.kill = func(n int) {
		if n == at {
			self, err := os.FindProcess(os.Getpid())
			must(t, err)
			must(t, self.Kill())
			select {}
		}
	}
	j.Trace, j.opened = r.step, r.opened
	e := openEntry(t, j, path)
	say := func(what string) { fmt.Println("promised", what) }
	must(t, e.Begin(t.Context(), sample()))
	say("begun")
	for _, n := range []int{0, 5, 7} {
		must(t, e.Receive(t.Context(), upload.Receipt{Part: n, Value: fmt.Sprint("part ", n)}))
		say("receipt")
	}
	for _, s := range []upload.State{upload.Completing, upload.Done, upload.Delivered} {
		if s == upload.Delivered {
			say("delivering")
		}
		must(t, e.Advance(t.Context(), s, &upload.Outcome{Verification: "etag"}))
		say(string(s))
	}
	must(t, e.Close())
	say("end")
}

// A process is killed before every step that it takes on the disk, those within
// bbolt's transactions included: what it was promised is there.
func TestKilledAtEveryStep(t *testing.T) {
	for n := 0; ; n++ {
		j := newJournal(t)
		out, err := child(t, "life", j, fmt.Sprint(n)).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		said := string(out)
		if strings.Contains(said, "promised end") {
			if n < 30 {
				t.Errorf("only %d steps were there to be killed at", n)
			}
			return
		}
		fresh, texts := warned(j)
		all, err := fresh.List(t.Context(), true)
		must(t, err)
		e := openEntry(t, fresh, "/data/a.bin")
		r := loadRecord(t, e)
		receipts := strings.Count(said, "promised receipt")
		switch {
		case r == nil && strings.Contains(said, "begun") && !strings.Contains(said, "delivering"):
			t.Errorf("step %d: the upload is lost", n)
		case r == nil && strings.Contains(said, "delivering") && len(all) != 1:
			t.Errorf("step %d: delivered, and %d are listed", n, len(all))
		case r == nil:
		case len(r.Receipts) < receipts, strings.Contains(said, "done") && r.State != upload.Done, strings.Contains(said, "completing") && r.State == upload.Sending:
			t.Errorf("step %d: %q was promised, and it is %q with %d receipts", n, said, r.State, len(r.Receipts))
		case len(all) == 0:
			t.Errorf("step %d: it is not listed", n)
		}
		for _, l := range all {
			if r != nil && l.Record.State != upload.Delivered && (l.PartsStored != len(r.Receipts) || l.Holder != nil || l.Record.State != r.State) {
				t.Errorf("step %d: listed is %+v", n, l)
			}
		}
		if len(*texts) > 0 {
			t.Errorf("step %d: %q", n, *texts)
		}
		must(t, e.Close())
		if _, _, err := fresh.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
			t.Error(err)
		}
		want := 0
		if r != nil {
			want = 2
		}
		left := strings.Join(files(t, j), " ")
		if got := strings.Count(left, ".db") + strings.Count(left, ".json"); got != want {
			t.Errorf("step %d: %q is left after prune", n, left)
		}
	}
}

// childHold holds an upload until it is killed or its input ends.
func childHold(t *testing.T, j *Journal, args []string) {
	e := openEntry(t, j, args[0])
	if len(args) > 1 {
		must(t, e.Begin(t.Context(), sample()))
	}
	fmt.Println("held")
	_, err := io.Copy(io.Discard, os.Stdin)
	must(t, err)
	must(t, e.Close())
}

// hold starts a process that holds an upload.
func hold(t *testing.T, j *Journal, args ...string) (cmd *exec.Cmd, in io.WriteCloser) {
	t.Helper()
	cmd = child(t, "hold", j, args...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd, in
}

// An upload that a process has is refused to others, who are told its number,
// until it ends or is killed. Looking at it does not disturb it.
func TestHeld(t *testing.T) {
	j := newJournal(t)
	for _, killed := range []bool{true, false} {
		cmd, in := hold(t, j, "/data/a.bin", "begin")
		_, err := j.Open(t.Context(), target, "/data/a.bin")
		var busy *upload.BusyError
		if !errors.As(err, &busy) || !strings.HasPrefix(busy.Holder, fmt.Sprintf("process %d on ", cmd.Process.Pid)) {
			t.Errorf("held by process %d: %v", cmd.Process.Pid, err)
		}
		all, err := j.List(t.Context(), false)
		if err != nil || len(all) != 1 || all[0].Holder == nil || all[0].Holder.PID != cmd.Process.Pid {
			t.Errorf("listed %+v, %v", all, err)
		}
		if rs, err := j.Moved(t.Context(), target, 30); err != nil || len(rs) != 0 {
			t.Errorf("moved %+v, %v", rs, err)
		}
		if _, err := j.Take(t.Context(), all[0].ID); !errors.Is(err, upload.ErrBusy) {
			t.Errorf("taken: %v", err)
		}
		if killed {
			must(t, cmd.Process.Kill())
			_ = cmd.Wait() // says that it was killed
		} else {
			must(t, in.Close())
			must(t, cmd.Wait())
		}
		if all, err := j.List(t.Context(), false); err != nil || len(all) != 1 || all[0].Holder != nil {
			t.Errorf("killed: %t; listed %+v, %v", killed, all, err)
		}
		must(t, openEntry(t, j, "/data/a.bin").Close())
	}
}

// Twenty processes with an upload each end as if each were alone; a twenty-first,
// which is stopped, keeps none of them.
func TestManyProcesses(t *testing.T) {
	j := newJournal(t)
	stopped, _ := hold(t, j, "/data/stopped", "begin")
	thaw := freeze(t, stopped.Process)
	defer thaw()
	var wg sync.WaitGroup
	for i := range 20 {
		cmd := child(t, "life", j, "-1", fmt.Sprint("/data/", i))
		wg.Go(func() {
			if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "promised end") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if all, err := j.List(t.Context(), true); err != nil || len(all) != 21 {
		t.Errorf("%d of 21 are listed, %v", len(all), err)
	}
	began := time.Now()
	_, err := j.Open(t.Context(), target, "/data/stopped")
	var busy *upload.BusyError
	if took := time.Since(began); !errors.As(err, &busy) || !strings.Contains(busy.Holder, fmt.Sprint(stopped.Process.Pid)) || took > 2*time.Second {
		t.Errorf("the stopped one: %v after %v", err, took)
	}
}

// Many goroutines, each with uploads of its own, and others that look.
func TestManyAtOnce(t *testing.T) {
	j := newJournal(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg, looking sync.WaitGroup
	for range 2 {
		other := &Journal{Dir: j.Dir, Warn: j.Warn}
		looking.Go(func() {
			for ctx.Err() == nil {
				if _, err := other.List(ctx, true); err != nil && ctx.Err() == nil && !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
				if _, _, err := other.Prune(ctx, time.Now().Add(-time.Hour)); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				other := &Journal{Dir: j.Dir, Warn: j.Warn}
				path := fmt.Sprintf("/data/%d-%d", i, n)
				e, err := other.Open(t.Context(), target, path)
				if err != nil {
					t.Error(err)
					return
				}
				err = e.Begin(t.Context(), sample())
				for part := range 5 {
					err = errors.Join(err, e.Receive(t.Context(), upload.Receipt{Part: part}))
				}
				err = errors.Join(err, e.Advance(t.Context(), upload.Done, &upload.Outcome{}), e.Advance(t.Context(), upload.Delivered, nil), e.Close())
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	looking.Wait()
	if all, err := j.List(t.Context(), true); err != nil || len(all) != 80 {
		t.Errorf("%d of 80 are listed, %v", len(all), err)
	}
}
