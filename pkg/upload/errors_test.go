package upload_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// TestErrors: what passes is tried as often as the policy says, and then the
// upload is unfinished, not failed; what does not pass stays what it is.
func TestErrors(t *testing.T) {
	for where, hook := range map[string]func(r *rig, err error) (tries *int){
		"create": func(r *rig, err error) *int {
			tries := 0
			r.cloud.onCreate = func(int) error { tries++; return err }
			return &tries
		},
		"part": func(r *rig, err error) *int {
			tries := 0
			r.cloud.onPut = func(_ int, p upload.Part) error {
				if p.Number == 4 {
					tries++
					return err
				}
				return nil
			}
			return &tries
		},
	} {
		for name, test := range map[string]struct {
			err   error
			tries int
			want  error
		}{
			"500":                 {trouble(500), 6, upload.ErrUnfinished},
			"429":                 {answered(429, "Retry-After", "3"), 6, upload.ErrUnfinished},
			"silence":             {silence(), 6, upload.ErrUnfinished},
			"unreachable":         {unreachable(), 6, upload.ErrUnfinished},
			"refused":             {upload.ErrRefused, 1, upload.ErrRefused},
			"denied":              {upload.ErrDenied, 1, upload.ErrDenied},
			"nonsense":            {upload.ErrReply, 1, upload.ErrReply},
			"limit":               {upload.ErrLimit, 1, upload.ErrLimit},
			"should not be tried": {answered(503, "X-Should-Retry", "false"), 1, nil},
		} {
			t.Run(where+" "+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newRig(t, 10_000)
					r.concurrency = 1
					tries := hook(r, test.err)
					rep, err := r.run(t.Context())
					if err == nil || test.want != nil && !errors.Is(err, test.want) || *tries != test.tries {
						t.Errorf("error %v after %d tries, want %v after %d", err, *tries, test.want, test.tries)
					}
					if errors.Is(err, upload.ErrUnfinished) != (test.tries > 1) {
						t.Errorf("error %v", err)
					}
					if n := len(told[upload.Retrying](r)); n != test.tries-1 {
						t.Errorf("told of %d retries", n)
					}
					if strings.Count(err.Error(), upload.ErrUnfinished.Error()) > 1 {
						t.Errorf("error %v", err)
					}
					if where == "part" && rep.PartsStored != 3 {
						t.Errorf("%+v", rep)
					}
					if len(r.cloud.aborted) != 0 {
						t.Error("aborted")
					}
					r.cloud.onCreate, r.cloud.onPut = nil, nil
					if again := r.ok(); again.PartsReused != rep.PartsStored {
						t.Errorf("%+v", again)
					}
				})
			})
		}
	}
}

// Trouble that ends is not seen from outside, but for the retries.
func TestTroubleThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.checkpoints()
		fails := func(n int) error {
			if n%3 != 0 {
				return trouble(503)
			}
			return nil
		}
		r.cloud.onCreate = fails
		r.cloud.onComplete = fails
		r.cloud.onPut = func(n int, _ upload.Part) error { return fails(n) }
		r.cloud.onCheckpoint = func(n int, _ []upload.Receipt) error { return fails(n) }
		r.cloud.onPresign = func(n int, _ []upload.Part) error { return fails(n) }
		rep := r.ok()
		r.once("u1")
		if rep.BytesSent != 10_000 { // refused before their bytes were read
			t.Errorf("%+v", rep)
		}
	})
}

// A part that was stored, and its receipt lost, is stored again.
func TestLostReceipts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.losePut = func(n int, _ upload.Part) error {
			if n == 1 {
				return silence()
			}
			return nil
		}
		rep := r.ok()
		if rep.BytesSent != 20_000 {
			t.Errorf("%+v", rep)
		}
		var sent int64
		for _, e := range told[upload.Sent](r) {
			sent += e.Bytes
		}
		if sent != 10_000 {
			t.Errorf("%d bytes told of as sent, those taken back taken off", sent)
		}
	})
}

func TestGoneWhileSending(t *testing.T) {
	for n, want := range map[int]error{1: nil, 2: upload.ErrGone} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.cloud.onPut = func(_ int, p upload.Part) error {
				if p.Number == 4 && r.cloud.ids <= n {
					return upload.ErrGone
				}
				return nil
			}
			rep, err := r.run(t.Context())
			if !errors.Is(err, want) || r.cloud.creates != 2 || len(r.cloud.aborted) != 0 {
				t.Fatalf("error %v, %d uploads, aborted %v", err, r.cloud.creates, r.cloud.aborted)
			}
			if err == nil {
				r.check(rep)
			}
			if n := len(told[upload.Planned](r)); n != 2 {
				t.Errorf("planned %d times", n)
			}
		})
	}
}
