package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rivo/uniseg"
	"golang.org/x/sys/unix"
)

// pty is multiput on a terminal of its own.
type pty struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	came   chan []byte // what it writes, as it comes
	all    []byte      // of that, what was looked at
	seen   int         // bytes of all that drawn looked at
}

// onTerminal starts multiput with a terminal of so many columns.
func (r *rig) onTerminal(t *testing.T, columns int, env []string, args ...string) *pty {
	t.Helper()
	master, tty := terminal(t)
	p := &pty{t: t, master: master, came: make(chan []byte, 1000)}
	p.resize(columns)
	p.cmd = r.command(t, args...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.cmd.Env = append(append(p.cmd.Env, "TERM=xterm", "LANG=C.UTF-8"), env...)
	must(t, p.cmd.Start())
	must(t, tty.Close())
	go func() {
		defer close(p.came)
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			if n > 0 {
				p.came <- b[:n]
			}
			if err != nil {
				return // the other end is closed
			}
		}
	}()
	return p
}

func (p *pty) resize(columns int) {
	p.t.Helper()
	size := unix.Winsize{Row: 24, Col: uint16(columns)}
	c, err := p.master.SyscallConn()
	must(p.t, err)
	must(p.t, c.Control(func(fd uintptr) { err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size) }))
	must(p.t, err)
}

// A bar as it is drawn: over what stood there, cut off instead of broken in two,
// and with the cursor back at its beginning.
var drawing = regexp.MustCompile("\r\x1b\\[\\?7l([^\r\n\x1b]*)\x1b\\[J\x1b\\[\\?7h\r")

// drawn waits until the bar was drawn n times more, and gives those bars.
func (p *pty) drawn(n int) []string {
	p.t.Helper()
	for deadline := time.After(time.Minute); ; {
		if found := drawing.FindAllSubmatchIndex(p.all[p.seen:], n); len(found) == n {
			var bars []string
			for _, f := range found {
				bars = append(bars, string(p.all[p.seen+f[2]:p.seen+f[3]]))
			}
			p.seen += found[n-1][1] - 1 // the last \r may begin the next
			return bars
		}
		select {
		case b, more := <-p.came:
			if !more {
				p.t.Fatalf("it ended, and the bar was not drawn %d times more:\n%q", n, p.all)
			}
			p.all = append(p.all, b...)
		case <-deadline:
			p.t.Fatalf("the bar was not drawn %d times more:\n%q", n, p.all)
		}
	}
}

// end waits until it has ended, and gives its exit code and all that it wrote.
func (p *pty) end() (int, string) {
	p.t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case b, more := <-p.came:
			if more {
				p.all = append(p.all, b...)
				continue
			}
			_ = p.cmd.Wait() // the exit code says it
			return p.cmd.ProcessState.ExitCode(), string(p.all)
		case <-deadline:
			p.t.Fatalf("it does not end:\n%q", p.all)
		}
	}
}

// The bar fits the window, however that changes. Ctrl-C leaves it whole, what
// follows begins on a line of its own, and the second run tells of the first.
func TestTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	if err := r.server.Faults.Add("put@times=all:slow=200k"); err != nil {
		t.Fatal(err)
	}
	file := r.file(t, 80*64<<10)
	command := []string{"upload", file, "-p", "archetype", "-j", "2"}
	p := r.onTerminal(t, 120, []string{"NO_COLOR=1"}, command...)
	for _, columns := range []int{120, 40, 60, 20, 30, 100} {
		p.resize(columns)
		p.drawn(2) // one may have been under way
		for _, bar := range p.drawn(3) {
			if n := uniseg.StringWidth(bar); n >= columns {
				t.Errorf("in %d columns the bar takes %d: %q", columns, n, bar)
			}
			if !strings.Contains(bar, "%") || columns >= 60 && !strings.Contains(bar, "|") {
				t.Errorf("in %d columns it says %q", columns, bar)
			}
		}
	}
	_, err := p.master.Write([]byte{3})
	must(t, err)
	code, all := p.end()
	if code != 130 {
		t.Errorf("after Ctrl-C the exit code is %d", code)
	}
	left := regexp.MustCompile("file\\.bin +[0-9]+% \\|.*\x1b\\[J\x1b\\[\\?7h\r\r\n" +
		"interrupted: [0-9]+ of 80 parts are stored\\. Run the same command again to continue\\.\r\n$")
	if !left.MatchString(all) {
		t.Errorf("Ctrl-C leaves %q", all[max(0, len(all)-300):])
	}
	if regexp.MustCompile("\x1b\\[[0-9;]*m").MatchString(all) {
		t.Error("with NO_COLOR there are colors")
	}

	r.restart(t)
	code, all = r.onTerminal(t, 130, []string{"NO_COLOR=1"}, command...).end()
	// The result, on stdout, is on this terminal too.
	done := regexp.MustCompile("\r\x1b\\[J(file\\.bin: 5\\.2 MB in .*, 80 parts, [0-9]+ of them stored before(, up to [0-9]+ at once)?, verified by crc32c\r\n)file_[^\r\n]*\r\n$")
	if code != 0 || !done.MatchString(all) {
		t.Errorf("exit code %d, and it leaves %q", code, all[max(0, len(all)-300):])
	}
	if !strings.Contains(all, "B before)  ") {
		t.Errorf("it does not say what was stored before: %q", all)
	}
}

// A result on the same terminal stands on a line of its own, and so does the
// error of a file; the last line is about all of them.
func TestSeveralAtATerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	must(t, r.server.Faults.Add("put@times=all:slow=300k"))
	file := r.file(t, 5*64<<10)
	other := filepath.Join(r.dir, "other.bin")
	// Three times as large, so that there is a time when one of them is done.
	must(t, os.WriteFile(other, make([]byte, 15*64<<10), 0o600))
	code, all := r.onTerminal(t, 80, []string{"NO_COLOR=1"}, "upload", file, "none", other, "-p", "archetype").end()
	if code != exitNoInput {
		t.Errorf("exit code %d", code)
	}
	for _, line := range []string{
		regexp.QuoteMeta(file) + ": 328 kB in .*", regexp.QuoteMeta(other) + ": 983 kB in .*", "multiput: none: .*no such file.*", "2 of 3 files: 1.3 MB in .*",
	} {
		// With the bar the title goes too: it may end right before the line.
		if !regexp.MustCompile("(^|\x1b\\[J|\n)(\x1b\\[23;0t)?" + line + "\r\n").MatchString(all) {
			t.Errorf("there is no line %s: %q", line, all)
		}
	}
	if n := len(regexp.MustCompile("(\x1b\\[J|\n)file_[a-z0-9]+\r").FindAllString(all, -1)); n != 2 {
		t.Errorf("of two results %d have a line of their own: %q", n, all)
	}
	if bar := regexp.MustCompile("\r\x1b\\[\\?7l1 of 3 files +[0-9]+% \\|"); !bar.MatchString(all) {
		t.Errorf("no bar says how many files are done: %q", all)
	}
}

// A terminal that cannot move its cursor gets lines; one whose locale has no
// more than ASCII gets no more.
func TestPoorTerminals(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]string{"dumb": "TERM=dumb", "ascii": "LC_ALL=C", "none": "MULTIPUT_PROGRESS=none"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "archetype", 64<<10)
			file := r.file(t, 5*64<<10)
			code, all := r.onTerminal(t, 80, []string{env, "NO_COLOR=1"}, "upload", file, "-p", "archetype").end()
			if code != 0 {
				t.Fatalf("exit code %d: %q", code, all)
			}
			for _, b := range []byte(all) {
				if b >= 0x80 {
					t.Fatalf("with %s it writes more than ASCII: %q", env, all)
				}
			}
			if drawn := bytes.ContainsRune([]byte(all), 0x1b); drawn != (name == "ascii") {
				t.Errorf("with %s that it draws is %t: %q", env, drawn, all)
			}
			if said := strings.Contains(all, "file.bin: 328 kB in "); said == (name == "none") {
				t.Errorf("with %s: %q", env, all)
			}
		})
	}
}
