package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Policy says how often and how patiently an operation is tried again.
type Policy struct {
	Retries  int           // tries after the first
	Base     time.Duration // the first wait is a random share of this, each next one's bound is twice the last
	Cap      time.Duration // the longest such bound
	MaxAfter time.Duration // the longest Retry-After that is honoured; a longer one is cut to it
}

// DefaultPolicy rides out a minute or two of trouble.
var DefaultPolicy = Policy{Retries: 10, Base: 500 * time.Millisecond, Cap: 30 * time.Second, MaxAfter: 2 * time.Minute}

// temporary is an error that knows whether it passes.
type temporary interface {
	error
	Temporary() bool
	RetryAfter() time.Duration
}

// Retry calls send until it succeeds, fails for good or the policy is used up,
// and returns its last error. Waits have full jitter and end with ctx. Before
// each wait, notify (if not nil) hears of the error and of the wait.
func Retry(ctx context.Context, p Policy, notify func(err error, wait time.Duration), send func(context.Context) error) error {
	bound := p.Base
	for try := 0; ; try++ {
		err := send(ctx)
		var t temporary
		if err == nil || ctx.Err() != nil || try >= p.Retries || !errors.As(err, &t) || !t.Temporary() {
			return err
		}
		wait := jitter(bound)
		if after := min(t.RetryAfter(), p.MaxAfter); after > 0 {
			// Spread after the moment that the server named to everyone.
			wait = after + jitter(p.Base)
		}
		bound = min(2*bound, p.Cap)
		if notify != nil {
			notify(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func jitter(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}
