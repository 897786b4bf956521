package upload_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

var errCtrlC = errors.New("ctrl-c")

// interrupted runs an upload that is interrupted after some time, and gives how
// long it took to stop.
func (r *rig) interrupted(after time.Duration) (upload.Report, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	var at time.Time
	time.AfterFunc(after, func() {
		at = time.Now()
		cancel(errCtrlC)
	})
	rep, err := r.run(ctx)
	return rep, time.Since(at), err
}

// TestInterrupt: no part is begun any more; those on their way may still bring
// their receipts home, for a moment.
func TestInterrupt(t *testing.T) {
	for name, test := range map[string]struct {
		set    func(r *rig)
		takes  time.Duration
		after  time.Duration
		stored int
		stops  time.Duration // within
	}{
		"parts arrive":          {takes: time.Second, after: 500 * time.Millisecond, stored: 3, stops: 500 * time.Millisecond},
		"parts arrive, later":   {takes: time.Second, after: 2500 * time.Millisecond, stored: 9, stops: 500 * time.Millisecond},
		"parts do not arrive":   {takes: 10 * time.Second, after: 500 * time.Millisecond, stored: 0, stops: 2 * time.Second},
		"with checkpoints":      {set: (*rig).checkpoints, takes: time.Second, after: 2500 * time.Millisecond, stored: 9, stops: 500 * time.Millisecond},
		"in the waits":          {set: alwaysTrouble, after: 500 * time.Millisecond, stored: 0, stops: 0},
		"with create under way": {set: func(r *rig) { r.cloud.onCreate = func(int) error { return trouble(503) } }, after: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 30_000)
				r.cloud.takes = test.takes
				r.retry.Base = time.Minute
				r.retry.Cap = time.Minute
				if test.set != nil {
					test.set(r)
				}
				rep, took, err := r.interrupted(test.after)
				if !errors.Is(err, errCtrlC) || took > test.stops {
					t.Errorf("error %v, after %s", err, took)
				}
				if rep.PartsStored != test.stored || rep.PartsReused != 0 || rep.Result.Value != "" {
					t.Errorf("%+v", rep)
				}
				if rec := r.journal.of("u1"); rec != nil && len(rec.Receipts) != test.stored {
					t.Errorf("%d receipts in the journal", len(rec.Receipts))
				}
				r.cloud.takes, r.cloud.onPut, r.cloud.onCreate = 0, nil, nil
				again := r.ok()
				if again.PartsReused != test.stored {
					t.Errorf("the next run: %+v", again)
				}
				r.once("u1")
			})
		})
	}
}

func alwaysTrouble(r *rig) { r.cloud.onPut = func(int, upload.Part) error { return trouble(503) } }

// Before anything is begun, nothing is begun.
func TestInterruptedBefore(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errCtrlC)
		if _, err := r.run(ctx); !errors.Is(err, errCtrlC) || r.cloud.creates != 0 {
			t.Errorf("error %v, %d uploads", err, r.cloud.creates)
		}
	})
}

// All parts are stored when the interrupt comes: complete is not begun.
func TestInterruptedBeforeComplete(t *testing.T) {
	for _, digest := range []string{"", upload.DigestMD5} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 3000)
			r.cloud.digest = digest
			r.concurrency = 1
			ctx, cancel := context.WithCancelCause(t.Context())
			r.observe = func(e upload.Event) {
				if s, ok := e.(upload.Stored); ok && s.Part.Number == 3 {
					cancel(errCtrlC)
				}
			}
			rep, err := r.run(ctx)
			if !errors.Is(err, errCtrlC) || r.cloud.completes != 0 || rep.PartsStored != 3 || r.journal.state("u1") != upload.Sending {
				t.Errorf("error %v, %d completes, %+v, state %s", err, r.cloud.completes, rep, r.journal.state("u1"))
			}
			r.observe = nil
			if rep := r.ok(); rep.BytesSent != 0 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// Complete is on its way: its answer may still come. If it does, the upload is
// done, and that is said.
func TestInterruptedInComplete(t *testing.T) {
	for takes, done := range map[time.Duration]bool{time.Second: true, time.Minute: false} {
		t.Run(fmt.Sprint(takes), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.cloud.already = true
				r.provider = slowComplete{r.cloud, takes}
				rep, took, err := r.interrupted(500 * time.Millisecond)
				if done {
					if err != nil || len(r.delivered) != 1 {
						t.Fatalf("error %v, delivered %d times", err, len(r.delivered))
					}
					r.check(rep)
					return
				}
				if !errors.Is(err, errCtrlC) || !errors.Is(err, upload.ErrDoubt) || took > 2*time.Second || r.journal.state("u1") != upload.Completing {
					t.Errorf("error %v after %s, state %q", err, took, r.journal.state("u1"))
				}
				r.provider = r.cloud
				r.ok()
				r.once("u1")
			})
		})
	}
}

// A clear answer that comes after the interruption leaves no doubt, also if it cannot
// be recorded.
func TestInterruptedInAnsweredComplete(t *testing.T) {
	for kind, answer := range map[string]error{"corrupt": errMismatch, "sending": upload.ErrRefused} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.cloud.already = true
				r.cloud.completesWith(answer)
				r.journal.fail = func(k string) error {
					if k == kind {
						return errors.New("no space left on device")
					}
					return nil
				}
				r.provider = slowComplete{r.cloud, time.Second}
				_, _, err := r.interrupted(500 * time.Millisecond)
				if !errors.Is(err, errCtrlC) || !errors.Is(err, upload.ErrJournal) || !errors.Is(err, answer) || errors.Is(err, upload.ErrDoubt) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

type slowComplete struct {
	*cloud
	takes time.Duration
}

func (s slowComplete) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Result, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return upload.Result{}, silence()
	}
	return s.cloud.Complete(ctx, u, rs, d)
}

// A part that fails for good does not take the others' receipts with it.
func TestFailureWaitsForTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 30_000)
		r.cloud.takes = time.Second
		r.cloud.onPut = func(_ int, p upload.Part) error {
			if p.Number != 5 {
				return nil
			}
			r.cloud.mu.Unlock()
			defer r.cloud.mu.Lock()
			pass(time.Second / 2)
			return upload.ErrRefused
		}
		rep, err := r.run(t.Context())
		// Parts 1 to 3 and then 4 and 6, which were on their way.
		if !errors.Is(err, upload.ErrRefused) || rep.PartsStored != 5 {
			t.Errorf("error %v, %+v", err, rep)
		}
		r.cloud.onPut = nil
		r.ok()
		r.once("u1")
	})
}

// lateCreate is a cloud whose create is acted on at once and answered later.
type lateCreate struct {
	*cloud
	takes time.Duration
}

func (c lateCreate) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	up, urls, err := c.cloud.Create(ctx, f, w)
	select {
	case <-time.After(c.takes):
		return up, urls, err
	case <-ctx.Done():
		return upload.Upload{}, nil, context.Cause(ctx)
	}
}

// TestInterruptedInCreate: an upload that create opens after the signal is in the
// journal, and the next run takes it, if the answer comes in time.
func TestInterruptedInCreate(t *testing.T) {
	for takes, creates := range map[time.Duration]int{time.Second: 1, 2 * time.Second: 1, 5 * time.Second: 2} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 30_000)
			r.provider = lateCreate{r.cloud, takes}
			_, took, err := r.interrupted(500 * time.Millisecond)
			if !errors.Is(err, errCtrlC) || took > 2*time.Second {
				t.Errorf("create takes %s: %v after %s", takes, err, took)
			}
			r.provider = r.cloud
			if r.ok(); r.cloud.creates != creates {
				t.Errorf("create takes %s: %d uploads were opened, want %d", takes, r.cloud.creates, creates)
			}
		})
	}
}
