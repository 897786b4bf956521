package e2e

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

// said runs multiput to its end and gives all that it wrote, and its exit code.
func (r *rig) said(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := r.command(t, args...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

// command is a multiput that is still to be started.
func (r *rig) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "multiput", args...)
	cmd.Env = append([]string{}, r.env...)
	return cmd
}

// watched puts another server in the place of the first, one that tells of each
// request when it begins.
func (r *rig) watched(t *testing.T, faults ...string) <-chan sandbox.Request {
	t.Helper()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	old := r.server
	began := make(chan sandbox.Request, 1000)
	fs, err := sandbox.ParseFaults(faults...)
	if err != nil {
		t.Fatal(err)
	}
	r.server = &sandbox.Server{
		API: old.API, Dir: old.Dir, Key: old.Key, StoreListen: strings.TrimPrefix(old.StoreURL, "http://"),
		PartSize: old.PartSize, Faults: fs,
		Before: func(q sandbox.Request) {
			select {
			case began <- q:
			default: // the waiter is gone
			}
		},
	}
	r.startAgain(t)
	return began
}

// await waits until a request of a step, and of a part if that is not 0, begins.
func await(t *testing.T, began <-chan sandbox.Request, step string, part int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case q := <-began:
			if q.Step == step && (part == 0 || q.Part == part) {
				return
			}
		case <-late:
			t.Fatalf("no %s of part %d came", step, part)
		}
	}
}

// objects are those that were completed.
func (r *rig) objects(t *testing.T) [][]byte {
	t.Helper()
	os, err := (&stage{dir: r.dir, served: "served", store: r.store}).objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return os
}

// running is a multiput that was started.
type running struct {
	*exec.Cmd
	out, messages heard
	done          chan error
}

// heard is what a process wrote so far.
type heard struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{} // holds one when there is more; made when a goroutine waits
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case h.more <- struct{}{}:
	default: // no waiter
	}
	return h.b.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.String()
}

// await waits until a text was written.
func (h *heard) await(t *testing.T, text string) {
	t.Helper()
	h.mu.Lock()
	h.more = make(chan struct{}, 1)
	h.mu.Unlock()
	late := time.After(30 * time.Second)
	for !strings.Contains(h.String(), text) {
		select {
		case <-h.more:
		case <-late:
			t.Fatalf("it did not say %q: %s", text, h)
		}
	}
}

// start starts multiput.
func (r *rig) start(t *testing.T, args ...string) *running {
	t.Helper()
	p := &running{Cmd: r.command(t, args...), done: make(chan error, 1)}
	p.Stdout, p.Stderr = &p.out, &p.messages
	p.begin(t)
	return p
}

func (p *running) begin(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait() }()
}

// ends waits for its end and gives the exit code. Later than within is a
// failure.
func (p *running) ends(t *testing.T, within time.Duration) int {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.done: //nolint:errcheck // its code says it
	case <-late.C:
		p.Process.Kill() //nolint:errcheck // it may have ended by now
		<-p.done         //nolint:errcheck // killed, as its code says
		t.Errorf("it did not end within %s: %s", within, &p.messages)
	}
	return p.ProcessState.ExitCode()
}
