package upload_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// A part that never ends while all others do is sent again on its own account.
func TestStragglerIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes = time.Second
		r.cloud.straggles = func(n int, p upload.Part) bool { return p.Number == 3 && n == 1 }
		start := time.Now()
		r.ok()
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := r.cloud.counts("u1")[3]; n != 1 {
			t.Errorf("part 3 was stored %d times", n)
		}
		said := false
		for _, e := range told[upload.Retrying](r) {
			said = said || strings.Contains(e.Err.Error(), "part 3 is a straggler")
		}
		if !said {
			t.Error("it was not said")
		}
	})
}

// The last part has no sibling that begins after it.
func TestLastPartStraggles(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes = time.Second
		r.cloud.straggles = func(n int, p upload.Part) bool { return p.Number >= 9 && n == 1 }
		start := time.Now()
		r.ok()
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

// Where all are slow, none is a straggler.
func TestAllAreSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes = 10 * time.Minute
		r.ok()
		r.once("u1")
		if n := len(told[upload.Retrying](r)); n != 0 {
			t.Errorf("%d tries were repeated", n)
		}
	})
}

// A network that becomes a hundred times slower in the middle costs at most
// what was under way then.
func TestAllBecomeSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 30_000)
		r.cloud.takes = time.Second
		r.cloud.onPut = func(_ int, p upload.Part) error {
			if p.Number == 15 {
				r.cloud.takes = 2 * time.Minute
			}
			return nil
		}
		r.ok()
		if n := len(told[upload.Retrying](r)); n > 3*r.concurrency {
			t.Errorf("%d tries were repeated", n)
		}
	})
}

// A link that becomes fifty times slower slows down all parts in flight, the ones that
// have just begun too: none of them is a straggler, and nothing is sent again.
func TestALinkThatBecomesSlow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLink(200, mib)
		l.each, l.all = 3e6, 25e6
		l.changes = func(l *link, since time.Duration) {
			if since > 2*time.Second {
				l.all = 5e5
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		u := &upload.Uploader{Provider: l, Concurrency: 12, Checksum: upload.ChecksumOff, Observe: func(e upload.Event) {
			if e, is := e.(upload.Retrying); is {
				t.Errorf("after %s part %d is sent again: %v", time.Since(l.began), e.Part, e.Err)
			}
		}}
		if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 200*mib)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A part that stays slow on new connections is not re-sent again: the link may be slow.
func TestAPartThatIsAlwaysAStraggler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes = time.Second
		tries := 0
		r.cloud.straggles = func(n int, p upload.Part) bool {
			if p.Number == 3 {
				tries = max(tries, n)
			}
			return p.Number == 3
		}
		start := time.Now()
		r.ok()
		if took := time.Since(start); tries != 3 || took < 100*time.Hour {
			t.Errorf("%d tries, %s", tries, took)
		}
	})
}

// The network is gone for ten minutes, in the middle: it is waited for.
func TestTheNetworkIsGoneForMinutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes = time.Second
		r.retry.RetryFor = 15 * time.Minute
		start := time.Now()
		r.cloud.onPut = func(int, upload.Part) error {
			if d := time.Since(start); d > 2*time.Second && d < 10*time.Minute {
				return unreachable()
			}
			return nil
		}
		r.ok()
		if w := warnings(r); strings.Count(w, "cannot reach the provider") != 1 {
			t.Errorf("warnings %q", w)
		}
	})
	// It does not come back: what waits for what waits has no time of its own.
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.takes, r.cloud.life = time.Second, 10*time.Minute
		r.retry.RetryFor = 15 * time.Minute
		start := time.Now()
		gone := func() error {
			if time.Since(start) > 2*time.Second {
				return unreachable()
			}
			return nil
		}
		r.cloud.onPut = func(int, upload.Part) error { return gone() }
		r.cloud.onPresign = func(int, []upload.Part) error { return gone() }
		_, err := r.run(t.Context())
		if took := time.Since(start); !errors.Is(err, upload.ErrUnfinished) || took > 17*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
	})
	// It was never reached: the URL may be wrong, so there are 10 retries, and none
	// after the limit.
	for limit, most := range map[time.Duration]int{15 * time.Minute: 11, 5 * time.Second: 0, time.Nanosecond: 2} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.retry = transport.Policy{RetryFor: limit}
			tries, start := 0, time.Now()
			r.cloud.onCreate = func(int) error {
				tries++
				return unreachable()
			}
			_, err := r.run(t.Context())
			if !errors.Is(err, upload.ErrUnfinished) || most > 0 && tries != most {
				t.Errorf("a limit of %s: %d tries, want %d: %v", limit, tries, most, err)
			}
			if took := time.Since(start); took > limit {
				t.Errorf("a limit of %s: ended after %s", limit, took)
			}
		})
	}
}

// signs is a provider that sends nothing before the parts.
type signs struct{ *cloud }

func (signs) Signs(op upload.Op, _ upload.Upload) bool {
	return op == upload.OpCreate || op == upload.OpPresign
}

// The first request that is sent is that of a part: what came before tells nothing
// of the way to the provider, so that a wrong address is not waited for.
func TestNothingWasSentBeforeTheParts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.provider = signs{r.cloud}
		r.retry = transport.Policy{RetryFor: time.Hour}
		r.cloud.onPut = func(int, upload.Part) error { return unreachable() }
		start := time.Now()
		_, err := r.run(t.Context())
		if took := time.Since(start); !errors.Is(err, upload.ErrUnfinished) || took > 15*time.Minute || strings.Contains(warnings(r), "cannot reach") {
			t.Errorf("after %s, with warnings %q: %v", took, warnings(r), err)
		}
		if plans := told[upload.PlanMade](r); len(told[upload.Presigning](r)) > 0 || len(plans) != 1 || !plans[0].NoRequest {
			t.Errorf("speaks of requests for URLs: %+v", plans)
		}
	})
	// Once a part is stored, an outage is waited out.
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.provider, r.partSize = signs{r.cloud}, 1000
		r.cloud.takes = time.Second
		r.retry = transport.Policy{RetryFor: time.Hour}
		start := time.Now()
		r.cloud.onPut = func(int, upload.Part) error {
			if d := time.Since(start); d > 2*time.Second && d < 40*time.Minute {
				return unreachable()
			}
			return nil
		}
		r.ok()
	})
}

// What is hopeless ends before every part has used up its own tries.
func TestTheBudgetEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 100_000)
		r.retry.Retries = 9
		tries := 0
		r.cloud.onPut = func(n int, _ upload.Part) error {
			tries++
			if n < 9 { // each part would make it in the end
				return trouble(503)
			}
			return nil
		}
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrUnfinished) || tries > 200 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
}
