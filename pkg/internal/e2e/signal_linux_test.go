package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multiput/multiput/pkg/sandbox"
)

// terminal is a new pseudo terminal: what a person sits at, and what a process
// has.
func terminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { person.Close() })
	c, err := person.SyscallConn()
	must(t, err)
	n := 0
	must(t, c.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, err)
	process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { process.Close() })
	return person, process
}

// startAt starts multiput at a terminal of its own, which is heard.
func (r *rig) startAt(t *testing.T, args ...string) (p *running, person *os.File) {
	t.Helper()
	person, process := terminal(t)
	p = &running{Cmd: r.command(t, args...), done: make(chan error, 1)}
	p.Env = append(p.Env, "TERM=xterm")
	p.Stdin, p.Stdout, p.Stderr = process, &p.out, process
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	p.begin(t)
	must(t, process.Close())
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := person.Read(b)
			p.messages.Write(b[:n]) //nolint:errcheck // it never fails
			if err != nil {
				return // it is closed, on one side or the other
			}
		}
	}()
	return p, person
}

// The user presses Ctrl-C, or closes the window.
func TestAtATerminal(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed %t", closed), func(t *testing.T) {
			r := newRig(t, "upscayl", 64<<10)
			began := r.watched(t, "put@part=3:slow=96k")
			file := r.file(t, 5*64<<10)
			p, person := r.startAt(t, "upload", file, "-p", "upscayl", "-j", "1")
			await(t, began, sandbox.StepPut, 3)
			p.messages.await(t, "/328 kB") // of the bar
			want := exitSignaled + int(syscall.SIGHUP)
			if closed {
				must(t, person.Close())
			} else {
				want = exitSignaled + int(syscall.SIGINT)
				_, err := person.WriteString("\x03")
				must(t, err)
				p.messages.await(t, "interrupted: 3 of 5 parts are stored. Run the same command again to continue.")
			}
			if code := p.ends(t, soon); code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, &p.messages)
			}
			before := r.puts()
			if _, messages, code := r.said(t, "upload", file, "-p", "upscayl", "-j", "1"); code != 0 || r.puts()-before != 2 {
				t.Errorf("the next run: exit code %d, %d parts: %s", code, r.puts()-before, messages)
			}
			r.cmpObject(t, file)
		})
	}
}

// read is how many bytes a process has read so far, from files too.
func read(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0 // it has ended
	}
	_, rest, _ := strings.Cut(string(b), "rchar: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	must(t, err)
	return n
}

// A signal while the file is compared with what is stored: it is caught in the
// middle by being stopped there, sooner or later.
func TestSignalWhileComparing(t *testing.T) {
	t.Parallel()
	for try := 1; !signalWhileComparing(t); try++ {
		if try == 5 {
			t.Fatal("it was never caught in the middle")
		}
	}
}

func signalWhileComparing(t *testing.T) (caught bool) {
	t.Helper()
	const size = 256 << 20
	r := newRig(t, "upscayl", size)
	file := r.file(t, size+1)
	args := []string{"upload", file, "-p", "upscayl", "-j", "1"}
	if _, code := r.multiput(t, []string{killEnv + "=receipt=1+"}, args...); code != -1 {
		t.Fatalf("exit code %d, want to be killed", code)
	}
	at := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	must(t, os.Chtimes(file, at, at))
	p := r.start(t, args...)
	poll := time.NewTicker(time.Millisecond)
	for n := int64(0); n < size/10; n = read(t, p.Process.Pid) {
		<-poll.C
	}
	poll.Stop()
	must(t, p.Process.Signal(syscall.SIGSTOP))
	if read(t, p.Process.Pid) > size {
		must(t, p.Process.Signal(syscall.SIGCONT))
		p.ends(t, time.Minute)
		return false
	}
	must(t, p.Process.Signal(syscall.SIGINT))
	must(t, p.Process.Signal(syscall.SIGCONT))
	if code := p.ends(t, soon); code != 130 || !strings.Contains(p.messages.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, &p.messages)
	}
	before := r.puts()
	if _, messages, code := r.said(t, args...); code != 0 || r.puts()-before != 1 {
		t.Errorf("the next run: exit code %d, %d parts: %s", code, r.puts()-before, messages)
	}
	r.cmpObject(t, file)
	return true
}
