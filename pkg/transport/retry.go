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
	Cap      time.Duration // the longest such bound; 0: Base
	MaxAfter time.Duration // the longest Retry-After that is honoured; a longer one is cut to it
}

// DefaultPolicy rides out a minute or two of trouble.
var DefaultPolicy = Policy{Retries: 10, Base: 500 * time.Millisecond, Cap: 30 * time.Second, MaxAfter: 2 * time.Minute}

// bound is the most that is waited before a try, the first again being 0.
func (p Policy) bound(try int) time.Duration {
	most := p.Cap
	if most <= 0 {
		most = p.Base
	}
	b := p.Base
	for ; try > 0 && b <= most/2; try-- { // half of it, as doubling may wrap
		b *= 2
	}
	if try > 0 {
		return most
	}
	return min(b, most)
}

// temporary is an error that knows whether it passes.
type temporary interface {
	error
	Temporary() bool
	RetryAfter() time.Duration
}

// Retry calls send until it succeeds, fails for good or the policy is used up,
// and returns its last error. Waits have full jitter and end with ctx, after
// which nothing is sent any more. Before each wait, notify (if not nil) hears
// of the error and of the wait.
func Retry(ctx context.Context, p Policy, notify func(err error, wait time.Duration), send func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	for try := 0; ; try++ {
		err := send(ctx)
		var t temporary
		if err == nil || ctx.Err() != nil || try >= p.Retries || !errors.As(err, &t) || !t.Temporary() {
			return err
		}
		// What the server asked for it asked of everyone: the jitter comes on
		// top, and grows, so that a server that always asks for a second does
		// not shorten our patience.
		wait := jitter(p.bound(try)) + max(0, min(t.RetryAfter(), p.MaxAfter))
		if notify != nil {
			notify(err, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// jitter is any share of bound.
func jitter(bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	return rand.N(bound)
}
