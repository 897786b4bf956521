package check

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// step is one method of a provider, ready to be called.
type step struct {
	name string
	call func(ctx context.Context) error
}

// stepsOf are the steps of an upload that send a request; each can be called more
// than once.
func (t *trial) stepsOf(p upload.Provider, u upload.Upload, urls map[int]upload.Presigned, rs []upload.Receipt, body []byte) []step {
	part := u.Parts[0]
	steps := []step{
		{"create", func(ctx context.Context) error {
			_, _, err := p.Create(ctx, u.File, upload.Hint{PartSize: t.PartSize})
			return err
		}},
		{"put", func(ctx context.Context) error {
			_, err := p.Put(ctx, u, urls[part.Number], part, bytes.NewReader(body[part.Offset:][:part.Size]))
			return err
		}},
		{"complete", func(ctx context.Context) error {
			_, err := p.Complete(ctx, u, rs, digests(u, body))
			return err
		}},
	}
	if t.Renewable && urls[part.Number].URL != "" {
		steps = append(steps, step{"presign", func(ctx context.Context) error {
			_, err := p.Presign(ctx, u, u.Parts)
			return err
		}})
	}
	if c, ok := p.(upload.Checkpointer); ok {
		steps = append(steps, step{"checkpoint", func(ctx context.Context) error {
			return c.Checkpoint(ctx, u, rs)
		}})
	}
	if a, ok := p.(upload.Prober); ok {
		steps = append(steps, step{"probe", func(ctx context.Context) error {
			_, _, err := a.Probe(ctx, u)
			return err
		}})
	}
	if t.Aborts {
		steps = append(steps, step{"abort", func(ctx context.Context) error { return p.Abort(ctx, u) }})
	}
	return steps
}

// stored is an upload whose parts are all stored.
func (t *trial) stored(name string) (p upload.Provider, u upload.Upload, urls map[int]upload.Presigned, rs []upload.Receipt, body []byte) {
	t.Helper()
	f, body := file(name, 1000)
	p = t.open()
	u, gs := t.create(p, f)
	urls = t.urls(p, u, gs, u.Parts)
	for _, part := range u.Parts {
		rs = append(rs, t.put(p, u, urls[part.Number], part, body))
	}
	return p, u, urls, rs, body
}

// cancelledBefore calls each method with a context that has ended: it says so,
// and nothing is sent.
func (t *trial) cancelledBefore() {
	p, u, urls, rs, body := t.stored("cancelled before.bin")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range t.stepsOf(p, u, urls, rs, body) {
		t.silent(s.name, func() { t.endsBy(s.name, start(ctx, s)) })
	}
	t.complete(p, u, rs, body)
}

func start(ctx context.Context, s step) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- s.call(ctx) }()
	return ended
}

// endsBy holds that a call whose context was cancelled ends soon, and says so.
func (t *trial) endsBy(name string, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.clean("an error", err)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s when cancelled: %v; want context.Canceled", name, err)
		}
	case <-time.After(answerWithin):
		t.Fatalf("%s goes on %s after it was cancelled", name, answerWithin)
	}
}

// cancelledUnderWay cancels each call when its request is at the server, which
// never answers. The upload goes on afterwards.
func (t *trial) cancelledUnderWay() {
	if t.Wire == nil {
		t.Logf("not tried: no request can be held back here")
		return
	}
	p, u, urls, rs, body := t.stored("cancelled under way.bin")
	for _, s := range t.stepsOf(p, u, urls, rs, body) {
		t.cancelHeld(s)
	}
	t.complete(p, u, rs, body)
}

func (t *trial) cancelHeld(s step) {
	t.Helper()
	came, release := t.Wire.Hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := start(ctx, s)
	select {
	case <-came:
		cancel()
		t.endsBy(s.name, ended)
	case err := <-ended:
		t.Errorf("%s ended before its request came: %v", s.name, err)
	case <-time.After(answerWithin):
		t.Fatalf("%s: no request came within %s", s.name, answerWithin)
	}
}
