package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

// said runs multiput to its end and gives all that it wrote, and its exit code.
func (r *rehearsal) said(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := r.command(t, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// command is a multiput that is still to be started.
func (r *rehearsal) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "multiput", args...)
	cmd.Env = append([]string{}, r.env...)
	return cmd
}

// watched puts another server in the place of the first, one that tells of each
// request when it begins.
func (r *rehearsal) watched(t *testing.T, faults ...string) <-chan sandbox.Request {
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
			default: // nobody waits any more
			}
		},
	}
	_, stop, err := r.server.Start(t.Context(), r.listen)
	if err != nil {
		t.Fatal(err)
	}
	r.stop = stop
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
func (r *rehearsal) objects(t *testing.T) [][]byte {
	t.Helper()
	os, err := (&stage{dir: r.dir, served: "served"}).objects()
	if err != nil {
		t.Fatal(err)
	}
	return os
}

// running is a multiput that was started.
type running struct {
	*exec.Cmd
	out, talk bytes.Buffer
	done      chan error
}

// start starts multiput.
func (r *rehearsal) start(t *testing.T, args ...string) *running {
	t.Helper()
	p := &running{Cmd: r.command(t, args...), done: make(chan error, 1)}
	p.Stdout, p.Stderr = &p.out, &p.talk
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
	case <-p.done:
	case <-late.C:
		p.Process.Kill()
		<-p.done
		t.Errorf("it did not end within %s: %s", within, &p.talk)
	}
	return p.ProcessState.ExitCode()
}
