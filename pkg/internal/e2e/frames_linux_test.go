package e2e

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// control are the sequences that a frame is drawn with, and colors.
var control = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\x1b\\][^\x07]*\x07")

// frame is one line of a bar, as a reader of the screen has it.
type frame struct {
	text    string
	percent int
	stored  int // cells
	sending int // cells
	rest    int // cells
	parts   int // stored; below 0: not said
}

var framed = regexp.MustCompile(`^file\.bin +([0-9]+)% (?:\|(█*)(▓*)(░*)\|)?(?:.* ([0-9]+)/[0-9]+ parts)?`)

// frames reads every bar that was drawn.
func frames(t *testing.T, all string) (fs []frame) {
	t.Helper()
	for _, line := range regexp.MustCompile("\r\x1b\\[\\?7l([^\r\n]*)\x1b\\[J\x1b\\[\\?7h\r").FindAllStringSubmatch(strings.ReplaceAll(all, "\r\r", "\r"), -1) {
		text := control.ReplaceAllString(line[1], "")
		m := framed.FindStringSubmatch(text)
		if m == nil {
			fs = append(fs, frame{text: text, percent: -1, parts: -1})
			continue
		}
		f := frame{text: text, stored: strings.Count(m[2], "█"), sending: strings.Count(m[3], "▓"), rest: strings.Count(m[4], "░"), parts: -1}
		var err error
		f.percent, err = strconv.Atoi(m[1])
		must(t, err)
		if m[5] != "" {
			f.parts, err = strconv.Atoi(m[5])
			must(t, err)
		}
		fs = append(fs, f)
	}
	return fs
}

// Every frame of an upload with a stall, 503s and an outage is true: what is
// stored never goes back, nothing is above 100 %, what was sent goes back by no more than
// the parts that are sent again, and the waits are told with their reasons.
func TestEveryFrame(t *testing.T) {
	t.Parallel()
	const part, parts, atOnce = 256 << 10, 24, 2
	r := newRig(t, "archetype", part)
	for _, fault := range []string{
		"create@times=2:status=503,retry-after=2",
		"put@part=5@times=2:status=503,retry-after=3", "put@part=6@times=2:status=503,retry-after=3",
		"put@part=12:stall=1000", "put@part=13:stall=1000",
		"put@times=all:slow=400k",
	} {
		must(t, r.server.Faults.Add(fault))
	}
	p := r.onTerminal(t, 160, nil, "upload", r.file(t, parts*part), "-p", "archetype", "-j", strconv.Itoa(atOnce), "--stall-timeout", "4s", "--retries", "9")
	p.says(` 1[5-9]/24 parts`)
	must(t, r.stop())
	p.says(`\(connection refused\), retrying for 1`) // 15 or 14 min
	r.restart(t)
	code, all := p.end()
	if code != 0 {
		t.Fatalf("exit code %d: %q", code, all)
	}
	fs := frames(t, all)
	again, sent, stored := 0, 0, 0
	for _, f := range fs {
		if f.percent < 0 {
			if !strings.HasPrefix(f.text, "file.bin  ") {
				t.Errorf("what is this: %q", f.text)
			}
			continue
		}
		if f.percent > 100 || f.percent < sent-atOnce*100/parts-1 {
			t.Errorf("after %d%%: %q", sent, f.text)
		}
		if f.percent < sent {
			again++
		}
		if f.parts >= 0 && f.parts < stored {
			t.Errorf("after %d parts: %q", stored, f.text)
		}
		if f.parts >= 0 {
			stored = f.parts
			if f.percent < stored*100/parts {
				t.Errorf("%d parts are stored: %q", stored, f.text)
			}
		}
		if width := f.stored + f.sending + f.rest; width > 0 && (abs(f.stored*parts-stored*width) > parts || abs((f.stored+f.sending)*100-f.percent*width) > 100+width) {
			t.Errorf("the picture is not what it says: %q", f.text)
		}
		sent = f.percent
	}
	if len(fs) < 20 || sent != 100 || stored != parts || again > 12 {
		t.Errorf("%d frames end at %d%% with %d parts, and go back %d times", len(fs), sent, stored, again)
	}
	for _, wait := range []string{
		`waiting [0-9]+ s: the provider is busy \(503\), attempt [23] of 10`,
		`waiting [0-9]+ s: the store is busy \(503\), attempt [23] of 10`,
		`waiting [0-9]+ s: the store (does not answer|stopped receiving data)`,
		`\ncontinuing after [0-9]+ s\r`,
	} {
		if !regexp.MustCompile(wait).MatchString(strings.ReplaceAll(control.ReplaceAllString(all, ""), "\rcontinuing", "\ncontinuing")) {
			t.Errorf("nothing says %s: %q", wait, all[max(0, len(all)-3000):])
		}
	}
}

// says waits until what an expression matches was written.
func (p *pty) says(text string) {
	p.t.Helper()
	for deadline := time.After(time.Minute); !regexp.MustCompile(text).Match(p.all); {
		select {
		case b, more := <-p.came:
			if !more {
				p.t.Fatalf("it ended without %q: %q", text, p.all[max(0, len(p.all)-1000):])
			}
			p.all = append(p.all, b...)
		case <-deadline:
			p.t.Fatalf("it does not say %q: %q", text, p.all[max(0, len(p.all)-1000):])
		}
	}
}

func abs(n int) int { return max(n, -n) }

// Ctrl-Z leaves nothing of the bar, and SIGCONT brings it back. A second Ctrl-C
// leaves a clean line.
func TestJobControl(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	must(t, r.server.Faults.Add("put@times=all:slow=60k"))
	p := r.onTerminal(t, 100, []string{"NO_COLOR=1"}, "upload", r.file(t, 80*64<<10), "-p", "archetype", "-j", "2")
	p.drawn(3)
	// As Ctrl-Z does in a shell: a session leader without one is not stopped by the
	// terminal.
	must(t, p.cmd.Process.Signal(syscall.SIGTSTP))
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == syscall.EINTR {
			continue
		}
		must(t, err)
		if pid == p.cmd.Process.Pid {
			break
		}
	}
	if !status.Stopped() {
		t.Fatalf("it did not stop: %v", status)
	}
	for drained := false; !drained; {
		select {
		case b := <-p.came:
			p.all = append(p.all, b...)
		default:
			drained = true
		}
	}
	p.seen = len(p.all)
	must(t, p.cmd.Process.Signal(syscall.SIGCONT))
	p.drawn(2)
	_, err := p.master.Write([]byte{3})
	must(t, err)
	p.says("stopping: up to 2 s for parts in flight; Ctrl-C again to stop now\r\n")
	if code, all := p.end(); code != 130 || !strings.HasSuffix(all, "Run the same command again to continue.\r\n") {
		t.Errorf("exit code %d, and it leaves %q", code, all[max(0, len(all)-300):])
	}
}
