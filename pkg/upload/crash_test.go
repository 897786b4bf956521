package upload_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// killed runs a process that is killed at its n-th journal write, and reports
// whether it came to that.
func (r *rig) killed(n int, after bool) bool {
	r.t.Helper()
	r.journal.restart()
	r.journal.killAt, r.journal.killAfter = n, after
	_, err := r.run(r.t.Context())
	if !r.journal.killed.Load() {
		if err != nil {
			r.t.Fatalf("not killed, and failed: %v", err)
		}
		return false
	}
	if err == nil {
		r.t.Fatalf("killed at write %d (%v), and nothing is wrong", n, r.journal.writes)
	}
	r.journal.restart()
	return true
}

// TestKillAtEveryWrite: whenever a process dies, the next one finishes. The rig
// watches that no part is sent whose receipt was durable.
func TestKillAtEveryWrite(t *testing.T) {
	for kind, set := range kinds {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after %t", kind, after), func(t *testing.T) {
				for n := 1; ; n++ {
					done := false
					bubble(t, func(t *testing.T) {
						r := newRig(t, 5500)
						set(r)
						// An API that answers a second complete as it did the first.
						r.cloud.already = true
						done = !r.killed(n, after)
						if done {
							if n < 6 {
								t.Errorf("only %d writes to be killed at: %v", n-1, r.journal.writes)
							}
							return
						}
						first := r.cloud.counts("u1")
						durable := r.journal.of("u1")
						rep := r.ok()
						if durable == nil && n > 1 {
							t.Fatalf("killed at write %d, and there is no record", n)
						}
						if durable == nil || durable.State == upload.Delivered {
							if rep.Upload != "u2" {
								t.Errorf("killed at write %d: resumed %s", n, rep.Upload)
							}
							return
						}
						if rep.Upload != "u1" || rep.PartsReused != len(durable.Receipts) {
							t.Errorf("killed at write %d with %d receipts: %+v", n, len(durable.Receipts), rep)
						}
						resent := 0
						for part, n := range r.cloud.counts("u1") {
							if _, ok := durable.Receipts[part]; ok && n != first[part] {
								t.Errorf("part %d had a durable receipt and was stored %d times more", part, n-first[part])
							}
							resent += n - 1
						}
						if resent > r.concurrency {
							t.Errorf("killed at write %d: %d parts were stored twice", n, resent)
						}
						if len(r.cloud.objects) != 1 {
							t.Errorf("killed at write %d: %d objects", n, len(r.cloud.objects))
						}
					})
					if done || t.Failed() {
						break
					}
				}
			})
		}
	}
}

// TestKilledAgainAndAgain: each process comes one write further.
func TestKilledAgainAndAgain(t *testing.T) {
	for kind, set := range kinds {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				set(r)
				r.cloud.already = true
				r.concurrency = 2
				runs := 1
				for ; r.killed(2, true) && r.journal.state("u1") != upload.Delivered; runs++ {
					if runs > 100 {
						t.Fatal("it does not end")
					}
				}
				if runs < 4 || r.cloud.creates != 1 {
					t.Errorf("%d runs, %d uploads", runs, r.cloud.creates)
				}
				r.check(r.delivered[len(r.delivered)-1])
				// One part may be under way at several kills in a row; each costs
				// at most what was under way.
				again := 0
				for _, n := range r.cloud.counts("u1") {
					again += n - 1
				}
				if again > (runs-1)*r.concurrency {
					t.Errorf("%d parts were sent again in %d runs", again, runs)
				}
			})
		})
	}
}

// TestDoneButNotDelivered: the result is stored before it is printed, so it can
// be printed again, and nothing is asked of the provider.
func TestDoneButNotDelivered(t *testing.T) {
	for _, how := range []string{"killed before delivery", "killed after delivery", "not delivered"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.cloud.digest = upload.DigestMD5
				switch how {
				case "killed before delivery":
					r.deliver = func(upload.Report) error { r.journal.killed.Store(true); return errKilled }
				case "killed after delivery":
					r.deliver = func(upload.Report) error { r.journal.killed.Store(true); return nil }
				case "not delivered":
					r.deliver = func(upload.Report) error { return errors.New("broken pipe") }
				}
				first, err := r.run(t.Context())
				if err == nil || how != "killed after delivery" && !errors.Is(err, upload.ErrUndelivered) {
					t.Fatalf("error %v", err)
				}
				r.journal.restart()
				r.cloud.killed.Store(true) // nothing may be asked
				r.journal.process = new(process)
				r.deliver, r.delivered = nil, nil
				r.journal.restart()
				rep := r.ok()
				if len(r.delivered) != 1 || rep.Result.Value != "object-u1" || string(rep.Result.Reply) != `{"ok":true}` ||
					rep.Verification != upload.VerifiedMD5 || rep.BytesSent != 0 || rep.PartsReused != 3 || rep.Upload != first.Upload {
					t.Errorf("delivered %d times, report %+v", len(r.delivered), rep)
				}
				if len(told[upload.Planned](r)) != 0 || len(told[upload.Finished](r)) != 1 {
					t.Errorf("events %+v", r.events)
				}
			})
		})
	}
}

// TestKilledBeforeTheAnswer: complete was sent, its answer was not recorded.
// What a second complete says is all there is to know.
func TestKilledBeforeTheAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(n int) error // of the second complete, instead of the cloud's own
		happy  bool              // the first complete had not been acted on
		want   error
	}{
		"it had not come":        {happy: true},
		"no such upload":         {want: upload.ErrDoubt},
		"refused":                {answer: func(int) error { return upload.ErrRefused }, want: upload.ErrDoubt},
		"refused, and it was no": {answer: func(int) error { return upload.ErrRefused }, happy: true, want: upload.ErrDoubt},
		"no answer":              {answer: func(int) error { return silence() }, want: upload.ErrDoubt},
		"not authorized":         {answer: func(int) error { return upload.ErrDenied }, want: upload.ErrDenied},
		"nonsense":               {answer: func(int) error { return upload.ErrReply }, want: upload.ErrDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				die := func(int) error { r.journal.killed.Store(true); return errKilled }
				if test.happy {
					r.cloud.onComplete = die
				} else {
					r.cloud.loseComplete = die
				}
				if _, err := r.run(t.Context()); err == nil {
					t.Fatal("it was killed")
				}
				r.journal.restart()
				if s := r.journal.state("u1"); s != upload.Completing {
					t.Fatalf("the journal says %q", s)
				}
				r.cloud.onComplete, r.cloud.loseComplete = test.answer, nil
				for range 2 { // again and again, it stays what it is
					rep, err := r.run(t.Context())
					if !errors.Is(err, test.want) {
						t.Fatalf("error %v, want %v", err, test.want)
					}
					if test.want == nil {
						r.check(rep)
						break
					}
					if errors.Is(err, upload.ErrDoubt) && test.want != upload.ErrDoubt || r.journal.state("u1") != upload.Completing || r.cloud.creates != 1 {
						t.Errorf("error %v, the journal says %q, %d uploads", err, r.journal.state("u1"), r.cloud.creates)
					}
				}
				r.once("u1")
			})
		})
	}
}

// The order of the writes is the order of docs/design/crash-order.md.
func TestOrderOfWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.concurrency = 1
		r.ok()
		want := []string{"begin", "receipt", "receipt", "receipt", "completing", "done", "delivered"}
		if !slices.Equal(r.journal.writes, want) {
			t.Errorf("%v, want %v", r.journal.writes, want)
		}
	})
}

// A journal that fails stops the upload before anything is lost: what is not
// recorded does not count.
func TestJournalFails(t *testing.T) {
	for _, kind := range []string{"begin", "receipt", "checkpoint", "completing", "done", "delivered"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 5000)
				r.checkpoints()
				r.cloud.already = true
				full := true
				r.journal.fail = func(k string) error {
					if full && k == kind {
						return errors.New("no space left on device")
					}
					return nil
				}
				rep, err := r.run(t.Context())
				if !errors.Is(err, upload.ErrJournal) || errors.Is(err, upload.ErrDoubt) {
					t.Fatalf("error %v, want ErrJournal", err)
				}
				if rec := r.journal.of("u1"); rec != nil && rep.PartsStored != len(rec.Receipts) {
					t.Errorf("reported %d parts, recorded %d", rep.PartsStored, len(rec.Receipts))
				}
				if kind == "done" && rep.Upload == "" {
					t.Error("the report does not say which upload it was")
				}
				full = false
				r.ok() // the rig looks on
			})
		})
	}
}

// Two processes do not send the same upload.
func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.cloud.onPut = func(int, upload.Part) error {
			other := &upload.Uploader{Provider: r.cloud, Journal: r.journal, Target: upload.Target{Provider: "cloud", Base: "https://cloud"}}
			_, err := other.Upload(t.Context(), upload.File{Path: r.path})
			if busy := (*upload.BusyError)(nil); !errors.As(err, &busy) || !errors.Is(err, upload.ErrBusy) || busy.Holder != "another test" {
				t.Errorf("the second one: %v", err)
			}
			return nil
		}
		r.ok()
		if r.cloud.creates != 1 {
			t.Errorf("%d uploads", r.cloud.creates)
		}
	})
}
