package upload_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

// warnings are what a run warned of, in one text.
func warnings(r *rig) string {
	var all []string
	for _, w := range told[upload.Warning](r) {
		all = append(all, progress.Text(w))
	}
	return strings.Join(all, "\n")
}

// onceOnly makes the cloud one like file.ai: addresses for a while and no others,
// and a plan that respects the requested part size.
func onceOnly(t *testing.T, size int, life time.Duration) *rig {
	r := newRig(t, size)
	r.cloud.renewable, r.cloud.wants = false, true
	r.cloud.partSize, r.cloud.life = mib, life
	return r
}

// Where the rate is known before the first byte, the first plan is one that
// ends in time: parts so large that all of them begin while their addresses are
// good.
func TestPlansForTheRateThatIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.limits.URLLife = 15 * time.Minute
		r.limitRate = 20 << 10 // 30 MiB take 25 min
		r.cloud.rate = 20 << 10 / 3
		rep := r.ok()
		if rep.Upload != "u1" || r.cloud.creates != 1 {
			t.Errorf("%d uploads: %+v", r.cloud.creates, rep)
		}
		// In two waves, the second would begin at 750 s, and 720 are counted on.
		if got := r.cloud.wanted[0]; got != 10*mib {
			t.Errorf("parts of %d bytes, want 10 MiB", got)
		}
		if w := warnings(r); !strings.Contains(w, "requesting parts of 10 MiB") {
			t.Errorf("warnings %q", w)
		}
	})
}

// How long the addresses are good shows only in the answer: then another upload
// is opened before the first byte, and the first one given back.
func TestPlansAgainBeforeTheFirstByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.limitRate = 20 << 10
		r.cloud.rate = 20 << 10 / 3
		rep := r.ok()
		if rep.Upload != "u2" || len(r.cloud.aborted) != 1 || len(r.cloud.counts("u1")) != 0 {
			t.Errorf("%+v, aborted %v, %v", rep, r.cloud.aborted, r.cloud.counts("u1"))
		}
	})
}

// A rate that shows only while it runs is found out long before the addresses
// end, and the upload starts over with the plan that does it.
func TestPlansAgainForTheRateThatIsSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.rate = 20 << 10 / 3
		start := time.Now()
		rep := r.ok()
		if rep.Upload != "u2" || r.cloud.creates != 2 || len(r.cloud.aborted) != 1 {
			t.Errorf("%d uploads, %d aborted: %+v", r.cloud.creates, len(r.cloud.aborted), rep)
		}
		if took := time.Since(start); took > 30*time.Minute {
			t.Errorf("it took %s", took)
		}
		if n := len(r.cloud.counts("u1")); n > 6 {
			t.Errorf("%d parts were sent before it was seen", n)
		}
	})
}

// If the provider plans as it likes, starting over is useless: it is said
// early, and the end says why.
func TestSaysWhyItCannotEndInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.wants = false
		r.cloud.rate = 20 << 10 / 3
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrTooSlow) || errors.Is(err, upload.ErrUnfinished) {
			t.Errorf("error %v", err)
		}
		if r.cloud.creates != 1 {
			t.Errorf("%d uploads", r.cloud.creates)
		}
		if text := err.Error(); !strings.Contains(text, "at 20 kB/s only") || !strings.Contains(text, "15m0s") {
			t.Errorf("error %q", text)
		}
		if w := warnings(r); !strings.Contains(w, "the last parts begin in") {
			t.Errorf("warnings %q", w)
		}
	})
}

// A size of parts that the user asked for is not ours to change.
func TestKeepsTheSizeThatWasAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.partSize = 2 * mib
		r.cloud.rate = 20 << 10 / 3
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrTooSlow) || r.cloud.creates != 1 {
			t.Errorf("%d uploads, error %v", r.cloud.creates, err)
		}
	})
}

// The second upload that comes to the end of its time is the last.
func TestStartsOverOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.rate = 20 << 10 / 3
		r.cloud.losePut = func(n int, _ upload.Part) error {
			if r.cloud.creates == 2 && n == 1 {
				return silence() // and there is no time for another try
			}
			return nil
		}
		_, err := r.run(t.Context())
		if err == nil || errors.Is(err, upload.ErrUnfinished) || r.cloud.creates != 2 {
			t.Errorf("%d uploads, error %v", r.cloud.creates, err)
		}
	})
}

// An upload that outlives its provider's limit: it is said while there is
// time to do something about it.
func TestWarnsOfTheEndOfTheUpload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 30*mib)
		r.cloud.partSize, r.cloud.ends = mib, true
		r.cloud.expires = time.Now().Add(15 * time.Minute)
		r.cloud.rate = 20 << 10 / 3
		_, err := r.run(t.Context())
		if err == nil || r.cloud.creates != 1 {
			t.Errorf("%d uploads, error %v", r.cloud.creates, err)
		}
		if w := warnings(r); !strings.Contains(w, "and the upload expires in") || strings.Count(w, "\n") > 0 {
			t.Errorf("warnings %q", w)
		}
	})
}

// Where nothing is known of the network, what is needed of it is said, if it is
// much; and nothing if it is little.
func TestSaysWhatRateIsNeeded(t *testing.T) {
	for name, test := range map[string]struct {
		life time.Duration
		want string
	}{
		"much":   {time.Second * 20, "takes 1.6 MB/s (13 Mbit/s) or more"},
		"little": {time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 30*mib)
				r.cloud.partSize = mib
				r.cloud.expires = time.Now().Add(test.life)
				r.ok()
				if w := warnings(r); !strings.Contains(w, test.want) || (w == "") != (test.want == "") {
					t.Errorf("warnings %q", w)
				}
			})
		})
	}
}

// A network that is gone for an hour says nothing about how fast the network is.
func TestPauseIsNotSlowness(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.wants = false
		r.cloud.rate = 100 << 10 // 30 MiB take less than two minutes
		r.retry.RetryFor = 2 * time.Hour
		start := time.Now()
		gone := func() error {
			if d := time.Since(start); d > time.Minute && d < time.Hour {
				return unreachable()
			}
			return nil
		}
		r.cloud.onPut = func(int, upload.Part) error { return gone() }
		r.cloud.onCreate = func(int) error { return gone() }
		if rep := r.ok(); rep.Upload != "u2" {
			t.Errorf("%+v", rep)
		}
	})
}

// What an earlier run got to is known before the first byte of the next.
func TestRemembersTheRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.limits.URLLife = 15 * time.Minute
		r.cloud.rate = 20 << 10 / 3
		// Killed before there was evidence enough to plan again.
		if !r.killed(3, true) {
			t.Fatal("it was not killed")
		}
		pass(time.Hour)
		r.ok()
		if n := len(r.cloud.wanted); n != 2 || r.cloud.wanted[0] != 0 || r.cloud.wanted[1] < 5*mib {
			t.Errorf("asked for parts of %v", r.cloud.wanted)
		}
	})
}

// A clock that is wrong is named, once.
func TestNamesAClockThatIsWrong(t *testing.T) {
	for skew, want := range map[time.Duration]string{
		-7 * time.Minute: "this machine's clock is 7m0s behind the provider's",
		2 * time.Hour:    "this machine's clock is 2h0m0s ahead of the provider's",
		20 * time.Second: "",
	} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.cloud.skew = skew
			r.ok()
			if w := warnings(r); !strings.HasPrefix(w, want) || (w == "") != (want == "") || strings.Count(w, "\n") > 0 {
				t.Errorf("skew %s: warnings %q", skew, w)
			}
		})
	}
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.skew = time.Hour
		r.cloud.refuseURL = func(upload.Part, int) bool { return true }
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrUnfinished) || !strings.Contains(err.Error(), "clock is 1h0m0s ahead") {
			t.Errorf("error %v", err)
		}
	})
}

// ahead is a cloud whose clock is ahead of this machine's.
type ahead struct{ *cloud }

func (a ahead) Create(ctx context.Context, f upload.File, h upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, urls, err := a.cloud.Create(ctx, f, h)
	u.Expires = u.Expires.Add(-a.skew)
	return u, urls, err
}

// An upload that has ended by the provider's clock, which is known to be ahead,
// is replaced though it has not by this machine's.
func TestEndsByTheProvidersClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 5000)
		r.provider, r.cloud.ends, r.cloud.skew = ahead{r.cloud}, true, -3*time.Hour
		r.cloud.expires = time.Now().Add(time.Hour)
		if !r.killed(3, true) {
			t.Fatal("it was not killed")
		}
		pass(2 * time.Hour)
		if rep := r.ok(); rep.Upload != "u2" {
			t.Errorf("continued with %s", rep.Upload)
		}
	})
}
