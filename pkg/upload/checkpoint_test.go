package upload_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// toldOf counts how often each part was handed over.
func (c *cloud) toldOf() map[int]int {
	m := make(map[int]int)
	for _, call := range c.checkpoints {
		for _, p := range call {
			m[p]++
		}
	}
	return m
}

// Each receipt is handed over once, while the others are still on their way.
func TestCheckpointsComeEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.checkpoints()
		r.concurrency = 1
		r.cloud.takes = time.Second
		r.ok()
		if len(r.cloud.checkpoints) < 9 {
			t.Errorf("handed over %v", r.cloud.checkpoints)
		}
		for p, n := range r.cloud.toldOf() {
			if n != 1 {
				t.Errorf("part %d was handed over %d times", p, n)
			}
		}
		if rec := r.journal.of("u1"); !rec.Receipts[1].Checkpointed || !rec.Receipts[9].Checkpointed {
			t.Error("the journal does not know")
		}
	})
}

// A receipt that may yet turn out to be of damaged bytes is not handed over:
// with ETags that look like MD5s and are none, not before four of them.
func TestOnlySettledReceiptsAreCheckpointed(t *testing.T) {
	for name, test := range map[string]struct {
		etag  func(int, []byte) string
		early int // receipts that are durable when the first are handed over
	}{
		"opaque":   {opaqueETag, 4},
		"part ids": {tokenETag, 1},
		"MD5":      {plainETag, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.checkpoints()
				r.concurrency = 1
				r.cloud.etag, r.cloud.takes = test.etag, time.Second
				r.cloud.onCheckpoint = func(n int, rs []upload.Receipt) error {
					if n == 1 && len(r.journal.of("u1").Receipts) != test.early {
						t.Errorf("handed over with %d receipts", len(r.journal.of("u1").Receipts))
					}
					return nil
				}
				r.ok()
			})
		})
	}
	t.Run("too few to know", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 3000)
			r.checkpoints()
			r.cloud.etag = opaqueETag
			r.ok()
			if len(r.cloud.checkpoints) != 0 {
				t.Errorf("handed over %v", r.cloud.checkpoints)
			}
		})
	})
}

// The provider knows, and we died or the answer was lost before we knew that:
// it is told again, and complete does not list it.
func TestCheckpointInDoubtIsRepeated(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 5000)
			r.checkpoints()
			r.concurrency = 1
			r.cloud.takes = time.Second
			r.cloud.loseCheckpoint = func(n int) error {
				if n == 3 {
					r.journal.killed.Store(true)
					return errKilled
				}
				return nil
			}
			if _, err := r.run(t.Context()); err == nil {
				t.Fatal("it was killed")
			}
			r.journal.restart()
			r.ok()
			if got := r.cloud.toldOf(); got[3] != 2 || got[1] != 1 || got[2] != 1 {
				t.Errorf("handed over %v", r.cloud.checkpoints)
			}
		})
	})
	t.Run("killed at the last", func(t *testing.T) {
		for range 30 { // the telling and the end come in either order
			bubble(t, func(t *testing.T) {
				r := newRig(t, 5000)
				r.checkpoints()
				r.concurrency = 1
				r.cloud.takes = time.Second
				r.cloud.loseCheckpoint = func(n int) error {
					if n == 5 {
						r.journal.killed.Store(true)
						return errKilled
					}
					return nil
				}
				if _, err := r.run(t.Context()); err == nil {
					t.Fatal("it was killed")
				}
				r.journal.restart()
				if rec := r.journal.of("u1"); len(rec.Receipts) != 5 || rec.Receipts[5].Checkpointed {
					t.Fatalf("the journal has %+v", rec.Receipts)
				}
				r.ok()
			})
		}
	})
	t.Run("answer lost", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 5000)
			r.checkpoints()
			r.cloud.loseCheckpoint = func(n int) error {
				if n%2 == 1 {
					return silence()
				}
				return nil
			}
			r.ok()
		})
	})
	t.Run("stopped, and sent again at the end", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 5000)
			r.checkpoints()
			r.concurrency = 1
			r.cloud.takes = time.Hour // nothing comes between the tries
			r.cloud.loseCheckpoint = func(n int) error {
				if n <= 6 {
					return silence() // the policy is used up
				}
				return nil
			}
			r.ok()
			if n := len(told[upload.Warning](r)); n != 1 {
				t.Errorf("warned %d times", n)
			}
		})
	})
}

func TestCheckpointsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		err        error
		calls      int   // 0: any number
		want       error // of the upload
		startsOver bool  // it starts over
	}{
		"refused":  {err: upload.ErrRefused, calls: 1},
		"denied":   {err: upload.ErrDenied, calls: 1},
		"nonsense": {err: upload.ErrReply, calls: 1},
		"trouble":  {err: trouble(500), want: upload.ErrUnfinished},
		"silence":  {err: silence(), want: upload.ErrUnfinished},
		"gone":     {err: upload.ErrGone, calls: 1, startsOver: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.checkpoints()
				r.concurrency = 1
				r.cloud.takes = time.Second
				r.cloud.onCheckpoint = func(int, []upload.Receipt) error {
					if r.cloud.ids > 1 {
						return nil
					}
					return test.err
				}
				rep, err := r.run(t.Context())
				if !errors.Is(err, test.want) {
					t.Fatalf("error %v, want %v", err, test.want)
				}
				if n := len(r.cloud.checkpoints); test.calls > 0 && !test.startsOver && n != test.calls {
					t.Errorf("handed over %v", r.cloud.checkpoints)
				}
				if err == nil {
					r.check(rep)
					if len(told[upload.Warning](r)) == 0 {
						t.Error("no warning")
					}
				} else {
					// All is stored; only the last word is missing.
					if rep.PartsStored != 10 || r.cloud.completes != 0 {
						t.Errorf("%+v, %d completes", rep, r.cloud.completes)
					}
					r.cloud.onCheckpoint = nil
					r.ok()
					r.once("u1")
				}
				if test.startsOver {
					if rep.Upload != "u2" || len(r.cloud.aborted) != 0 {
						t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
					}
					if n := len(r.cloud.counts("u1")); n > 3 {
						t.Errorf("%d parts were sent to an upload that was gone", n)
					}
				}
			})
		})
	}
}

// A goroutine that waits for something that does not come would be found here: a
// bubble in which all wait is an error.
func TestCheckpointsEnd(t *testing.T) {
	why := errors.New("ctrl-c")
	for name, test := range map[string]struct {
		set func(r *rig, cancel func(error))
	}{
		"cancelled while it is idle": {func(r *rig, cancel func(error)) {
			r.cloud.onPut = func(_ int, p upload.Part) error {
				if p.Number == 3 {
					r.cloud.mu.Unlock()
					synctest.Wait()
					cancel(why)
					r.cloud.mu.Lock()
				}
				return nil
			}
		}},
		"cancelled while it tells": {func(r *rig, cancel func(error)) { r.provider = silentCheckpoints{r.cloud, func() { cancel(why) }} }},
		"cancelled in its retries": {func(r *rig, cancel func(error)) {
			r.cloud.onCheckpoint = func(n int, _ []upload.Receipt) error {
				if n == 3 {
					time.AfterFunc(time.Millisecond, func() { cancel(why) })
				}
				return trouble(503)
			}
		}},
		"cancelled after it failed": {func(r *rig, cancel func(error)) {
			r.cloud.takes = time.Minute
			r.cloud.onCheckpoint = func(n int, _ []upload.Receipt) error {
				if n == 7 {
					time.AfterFunc(30*time.Second, func() { cancel(why) })
				}
				return trouble(503)
			}
		}},
		"cancelled as it ends": {func(r *rig, cancel func(error)) {
			r.observe = func(e upload.Event) {
				if s, ok := e.(upload.Stored); ok && s.Part.Number == 10 {
					cancel(why)
				}
			}
		}},
		"a part fails": {func(r *rig, _ func(error)) {
			r.cloud.onPut = func(_ int, p upload.Part) error {
				if p.Number == 5 {
					return fmt.Errorf("%w: %w", why, upload.ErrRefused)
				}
				return nil
			}
		}},
		"the journal fails": {func(r *rig, _ func(error)) {
			r.journal.fail = func(kind string) error {
				if kind == "checkpoint" {
					return why
				}
				return nil
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.checkpoints()
				r.concurrency = 1
				r.cloud.takes = time.Second
				ctx, cancel := context.WithCancelCause(t.Context())
				test.set(r, cancel)
				_, err := r.run(ctx)
				if !errors.Is(err, why) {
					t.Errorf("error %v, want %v", err, why)
				}
				r.provider, r.cloud.onCheckpoint, r.cloud.onPut, r.observe, r.journal.fail = checkpointing{r.cloud}, nil, nil, nil, nil
				r.ok()
				r.once("u1")
			})
		})
	}
}

// Between the last part and complete, doubtful receipts are told again. What
// happens meanwhile is not overlooked.
func TestWhileDoubtIsSettled(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(r *rig, cancel func(error))
		want    error
	}{
		"the file changes": {func(r *rig, _ func(error)) { r.write(r.content, 1) }, upload.ErrChanged},
		"an interrupt":     {func(_ *rig, cancel func(error)) { cancel(errCtrlC) }, errCtrlC},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 5000)
				r.checkpoints()
				ctx, cancel := context.WithCancelCause(t.Context())
				happened := false
				r.cloud.onCheckpoint = func(_ int, rs []upload.Receipt) error {
					if !happened && len(told[upload.Warning](r)) == 0 {
						return silence() // until it times out; the next checkpoint is at the end
					}
					if !happened {
						happened = true
						r.cloud.mu.Unlock()
						test.happens(r, cancel)
						r.cloud.mu.Lock()
					}
					return nil
				}
				r.cloud.takes = time.Hour // and that of all parts at once
				r.concurrency = 5
				_, err := r.run(ctx)
				if !happened || !errors.Is(err, test.want) || errors.Is(err, upload.ErrJournal) || r.cloud.completes != 0 || r.journal.state("u1") != upload.Sending {
					t.Errorf("error %v, %d completes, state %q", err, r.cloud.completes, r.journal.state("u1"))
				}
				r.ok()
				r.once("u1")
			})
		})
	}
}

// silentCheckpoints answers only when its caller has gone.
type silentCheckpoints struct {
	*cloud
	asked func()
}

func (s silentCheckpoints) Checkpoint(ctx context.Context, _ upload.Upload, _ []upload.Receipt) error {
	s.asked()
	<-ctx.Done()
	return context.Cause(ctx)
}

// The receipts of a failed telling wait for the next one, which comes with the
// next receipt, also with one that came while it failed.
func TestCheckpointAfterAFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.checkpoints()
		r.concurrency = 1
		r.cloud.takes = time.Hour
		failed := 0
		r.cloud.onCheckpoint = func(n int, rs []upload.Receipt) error {
			if failed < 12 && len(rs) >= 1 && rs[0].Part == 1 {
				failed++
				return trouble(503)
			}
			return nil
		}
		r.ok()
		// Twice six tries with the first receipt, alone and with the second;
		// then all three of them.
		last := slices.IndexFunc(r.cloud.checkpoints, func(ps []int) bool { return len(ps) == 3 })
		if last != 12 {
			t.Errorf("handed over %v", r.cloud.checkpoints)
		}
	})
}

// Many receipts at once are handed over in batches.
func TestCheckpointsInBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 25_000)
		r.cloud.partSize = 10
		r.checksum = upload.ChecksumOff
		r.concurrency = 1 // a write for each receipt
		if !r.killed(2501, true) {
			t.Fatal("it was not killed")
		}
		r.checkpoints()
		r.ok()
		most := 0
		for _, call := range r.cloud.checkpoints {
			most = max(most, len(call))
		}
		if most > 1000 || len(r.cloud.checkpoints) > 5 {
			t.Errorf("%d calls with up to %d receipts", len(r.cloud.checkpoints), most)
		}
	})
}
