//go:build unix

package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

// soon is how long a process that was told to end may take: much less than what
// it would wait for otherwise, and enough for a machine that runs other tests.
const soon = 20 * time.Second

// A first signal ends multiput soon, whatever it is at, with the line that says
// how to go on; what arrived until then is not sent again.
func TestFirstSignal(t *testing.T) {
	t.Parallel()
	const part, size = 64 << 10, 5 * 64 << 10
	const unanswered = "create was not answered, and the provider may have an upload that stays unused."
	for what, c := range map[string]struct {
		api    string
		faults []string
		args   []string
		until  func(t *testing.T, p *running, began <-chan sandbox.Request)
		stored string // what list says of it
		again  int    // how many parts the next run sends
		doubt  bool   // the outcome is unknown
	}{
		"a part is on its way": {faults: []string{"put@part=3:slow=128k"}, until: begun(sandbox.StepPut, 3), stored: "3 of 5 parts are stored.", again: 2},
		"a part stands still":  {faults: []string{"put@part=3:stall=1000"}, until: begun(sandbox.StepPut, 3), stored: "2 of 5 parts are stored.", again: 3},
		"its answer does":      {faults: []string{"put@part=3:stall-late"}, until: begun(sandbox.StepPut, 3), stored: "2 of 5 parts are stored.", again: 3},
		"a part waits to be sent again": {faults: []string{"put@part=3:status=503,retry-after=120"}, args: []string{"-v"},
			until: said("retrying in"), stored: "2 of 5 parts are stored.", again: 3},
		"create stands still": {faults: []string{"create:stall"}, until: begun(sandbox.StepCreate, 0), stored: unanswered, again: 5},
		"create waits to be asked again": {faults: []string{"create:status=429,retry-after=120"}, args: []string{"-v"},
			until: said("retrying in"), stored: "nothing was sent yet.", again: 5},
		"new URLs are asked for": {api: "archetype", faults: []string{"put@part=3:expire", "presign:stall"},
			until: begun(sandbox.StepPresign, 0), stored: "2 of 5 parts are stored.", again: 3},
		"a checkpoint stands still": {api: "archetype", faults: []string{"checkpoint@times=all:stall"}, args: []string{"--limit-rate", "100k"},
			until: begun(sandbox.StepCheckpoint, 0), again: -1},
		"complete is under way": {faults: []string{"complete:stall"}, until: begun(sandbox.StepComplete, 0), doubt: true, again: 0},
		"complete waits to be sent again": {faults: []string{"complete:status=429,retry-after=120"}, args: []string{"-v"},
			until: said("retrying in"), stored: "5 of 5 parts are stored.", again: 0},
	} {
		signals := []syscall.Signal{syscall.SIGINT}
		if what == "a part is on its way" {
			signals = append(signals, syscall.SIGTERM, syscall.SIGHUP)
		}
		for _, sig := range signals {
			t.Run(fmt.Sprintf("%s, %s", what, sig), func(t *testing.T) {
				t.Parallel()
				api := c.api
				if api == "" {
					api = "upscayl"
				}
				r := newRig(t, api, part)
				began := r.watched(t, c.faults...)
				file := r.file(t, size)
				args := append([]string{"upload", file, "-p", api, "-j", "1"}, c.args...)
				p := r.start(t, args...)
				c.until(t, p, began)
				must(t, p.Process.Signal(sig))
				want, line := exitSignaled+int(sig), "interrupted: "+c.stored
				if c.doubt {
					want, line = exitDoubt, "outcome unknown"
				}
				if code := p.ends(t, soon); code != want {
					t.Errorf("exit code %d: %s", code, &p.messages)
				}
				if c.stored != "" && c.stored != "nothing was sent yet." && c.stored != unanswered {
					line += " Run the same command again to continue."
				}
				if !strings.Contains(p.messages.String(), line) || p.out.String() != "" {
					t.Errorf("it said %s%s", &p.out, &p.messages)
				}
				if left := r.server.Faults.Unfired(); len(left) > 0 {
					t.Errorf("these did not happen: %v", left)
				}
				r.server.Faults.Clear()
				begunPuts(began) // of the first run, also those that the store is not done with
				if _, messages, code := r.said(t, args...); code != 0 {
					t.Fatalf("the next run: exit code %d: %s", code, messages)
				}
				if n := begunPuts(began); n != c.again && c.again >= 0 {
					t.Errorf("the next run sent %d parts, want %d", n, c.again)
				}
				r.cmpObject(t, file)
			})
		}
	}
}

// An interrupted pipe is not told to be continued by the command that cannot; a
// file that a shell opened is.
func TestFirstSignalOfStandardInput(t *testing.T) {
	t.Parallel()
	const part, size = 64 << 10, 5 * 64 << 10
	for what, want := range map[string]string{
		"pipe": "interrupted: 2 of 5 parts are stored. A pipe cannot be read again: upload the same data as a file, with --name in.bin, to continue.\n",
		"file": "interrupted: 2 of 5 parts are stored. Run the same command again to continue.\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "archetype", part)
			began := r.watched(t, "put@part=3:stall=1000")
			path := r.file(t, size)
			in, err := os.Open(path)
			must(t, err)
			defer in.Close()
			p := &running{Cmd: r.command(t, "upload", "-", "--name", "in.bin", "-p", "archetype", "-j", "1"), done: make(chan error, 1)}
			p.Stdin, p.Stdout, p.Stderr = in, &p.out, &p.messages
			if what == "pipe" {
				p.Stdin = io.LimitReader(in, size) // no *os.File
			}
			p.begin(t)
			await(t, began, sandbox.StepPut, 3)
			must(t, p.Process.Signal(syscall.SIGINT))
			if code := p.ends(t, soon); code != 130 || !strings.HasSuffix(p.messages.String(), want) {
				t.Errorf("exit code %d: %s", code, &p.messages)
			}
			r.server.Faults.Clear()
			if _, messages, code := r.said(t, "upload", path, "--name", "in.bin", "-p", "archetype", "-j", "1"); code != 0 || !strings.Contains(messages, "2 already stored") && what == "pipe" {
				t.Errorf("the same data as a file: exit code %d: %s", code, messages)
			}
		})
	}
}

// begunPuts is how many PUTs began since it was called before.
func begunPuts(began <-chan sandbox.Request) (n int) {
	for {
		select {
		case q := <-began:
			if q.Step == sandbox.StepPut {
				n++
			}
		default:
			return n
		}
	}
}

func begun(step string, part int) func(*testing.T, *running, <-chan sandbox.Request) {
	return func(t *testing.T, _ *running, began <-chan sandbox.Request) {
		t.Helper()
		await(t, began, step, part)
	}
}

func said(text string) func(*testing.T, *running, <-chan sandbox.Request) {
	return func(t *testing.T, p *running, _ <-chan sandbox.Request) {
		t.Helper()
		p.messages.await(t, text)
	}
}

// journal is where the journal of a rig is.
func (r *rig) journal() string { return filepath.Join(r.dir, "multiput", "journal") }

// A second signal, half a second after the first or later, ends it at once: in
// less than what is under way gets after the first. A machine that runs other tests may be too slow for that at times.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	for _, second := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(second.String(), func(t *testing.T) {
			t.Parallel()
			for try := 1; ; try++ {
				took := secondSignal(t, second)
				if took < 1300*time.Millisecond {
					return
				}
				if try == 5 {
					t.Fatalf("it took %s, %d times", took, try)
				}
			}
		})
	}
}

// secondSignal reports how long multiput took to end.
func secondSignal(t *testing.T, second syscall.Signal) time.Duration {
	t.Helper()
	r := newRig(t, "upscayl", 64<<10)
	began := r.watched(t, "put@part=3:stall")
	file := r.file(t, 5*64<<10)
	p := r.start(t, "upload", file, "-p", "upscayl", "-j", "1")
	await(t, began, sandbox.StepPut, 3)
	must(t, p.Process.Signal(syscall.SIGINT))
	must(t, p.Process.Signal(second)) // with the first it is one signal, as of GNU timeout
	select {
	case err := <-p.done:
		t.Fatalf("two signals at once ended it at once: %v: %s", err, &p.messages)
	case <-time.After(600 * time.Millisecond):
	}
	start := time.Now()
	must(t, p.Process.Signal(second))
	code := p.ends(t, soon)
	took := time.Since(start)
	if code != exitSignaled+int(second) && code != exitSignaled+int(syscall.SIGINT) {
		t.Errorf("exit code %d: %s", code, &p.messages)
	}
	before := r.puts()
	if _, messages, code := r.said(t, "upload", file, "-p", "upscayl", "-j", "1"); code != 0 || r.puts()-before != 3 {
		t.Errorf("the next run: exit code %d, %d parts: %s", code, r.puts()-before, messages)
	}
	r.cmpObject(t, file)
	return took
}

// A second signal prints the uploads whose outcome is unknown, at once.
func TestSecondSignalInDoubt(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"lines": nil, "json": {"--json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "upscayl", 64<<10)
			began := r.watched(t, "complete@times=2:stall")
			file := r.file(t, 3*64<<10)
			p := r.start(t, append([]string{"upload", file, "-p", "upscayl"}, args...)...)
			await(t, began, sandbox.StepComplete, 0)
			must(t, p.Process.Signal(syscall.SIGINT))
			select { // before that, two signals are one
			case err := <-p.done:
				t.Fatalf("the first signal ended it: %v: %s", err, &p.messages)
			case <-time.After(600 * time.Millisecond):
			}
			must(t, p.Process.Signal(syscall.SIGTERM))
			if code := p.ends(t, soon); code != exitDoubt {
				t.Errorf("exit code %d: %s", code, &p.messages)
			}
			want := filepath.Base(file) + ": interrupted before the final request was answered: outcome unknown"
			if said := p.messages.String(); !strings.Contains(said, want) || !strings.Contains(said, "run the same command again to ask once more") {
				t.Errorf("it said %s", said)
			}
			_, id, found := strings.Cut(p.messages.String(), "multiput show ")
			id, _, _ = strings.Cut(id, " ")
			if out, messages, code := r.said(t, "show", id); !found || code != 0 || !strings.Contains(out, file) {
				t.Errorf("the hint names %q, and list shows: %s%s", id, out, messages)
			}
			r.server.Faults.Clear()
			before := r.puts()
			if _, messages, code := r.said(t, "upload", file, "-p", "upscayl"); code != 0 || r.puts() != before {
				t.Errorf("the next run: exit code %d, %d parts: %s", code, r.puts()-before, messages)
			}
			r.cmpObject(t, file)
		})
	}
}

// The sandbox in this process goes on until what is on its way has arrived.
func TestSignalInTheSandbox(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	file := r.file(t, 20_000_000)
	p := r.start(t, "upload", file, "-p", "sandbox", "--limit-rate", "8MB", "-j", "1")
	p.messages.await(t, "% (1 of 3 parts stored")
	must(t, p.Process.Signal(syscall.SIGINT))
	if code := p.ends(t, soon); code != 130 || !strings.Contains(p.messages.String(), " of 3 parts are stored. Run the same command again to continue.") {
		t.Errorf("exit code %d: %s", code, &p.messages)
	}
	out, messages, code := r.said(t, "upload", file, "-p", "sandbox", "--jq", ".parts_reused >= 1, .result")
	reused, path, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if code != 0 || reused != "true" {
		t.Fatalf("the next run: exit code %d: %s%s", code, out, messages)
	}
	want, err := os.ReadFile(file)
	must(t, err)
	got, err := os.ReadFile(path)
	must(t, err)
	if string(got) != string(want) {
		t.Error("the object is not the file")
	}
}

// What nohup has ignored stays ignored.
func TestNohup(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	began := r.watched(t, "put@part=3:slow=64k")
	file := r.file(t, 5*64<<10)
	q := &running{Cmd: r.command(t, "upload", file, "-p", "upscayl", "-j", "1"), done: make(chan error, 1)}
	q.Path, q.Args = "/bin/sh", append([]string{"sh", "-c", `trap '' HUP; exec multiput "$@"`, "sh"}, q.Args[1:]...)
	q.Stdout, q.Stderr = &q.out, &q.messages
	q.begin(t)
	await(t, began, sandbox.StepPut, 3)
	must(t, q.Process.Signal(syscall.SIGHUP))
	if code := q.ends(t, time.Minute); code != 0 {
		t.Errorf("exit code %d: %s", code, &q.messages)
	}
}

// The reader of stderr is gone, as after `2>&1 >/dev/null | head -1`: the upload
// continues. The reader of stdout is gone: the result is kept for the next run.
func TestClosedPipes(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"stderr", "stdout", "both"} {
		t.Run(which, func(t *testing.T) {
			r := newRig(t, "upscayl", 64<<10)
			began := r.watched(t, "put@part=3:slow=64k")
			file := r.file(t, 5*64<<10)
			args := []string{"upload", file, "-p", "upscayl", "-j", "1", "-v"}
			p := &running{Cmd: r.command(t, args...), done: make(chan error, 1)}
			p.Stdout, p.Stderr = &p.out, &p.messages
			reader, writer, err := os.Pipe()
			must(t, err)
			if which != "stdout" {
				p.Stderr = writer
			}
			if which != "stderr" {
				p.Stdout = writer
			}
			p.begin(t)
			must(t, writer.Close())
			if which != "stdout" {
				_, err = reader.Read(make([]byte, 1)) // the first of it is read
				must(t, err)
			}
			await(t, began, sandbox.StepPut, 3)
			must(t, reader.Close())
			code := p.ends(t, time.Minute)
			if want := map[bool]int{true: 0, false: exitOutput}[which == "stderr"]; code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, &p.messages)
			}
			before := len(r.server.Requests())
			r.cmpObject(t, file)
			if which == "stderr" {
				return
			}
			if out, messages, code := r.said(t, args...); code != 0 || len(strings.Fields(out)) != 1 || len(r.server.Requests()) != before {
				t.Errorf("the next run: exit code %d, %d requests more: %s%s", code, len(r.server.Requests())-before, out, messages)
			}
		})
	}
}
