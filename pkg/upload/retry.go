package upload

import (
	"context"
	"errors"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// retry tries an operation under the policy. What the policy could not bring
// to an end is unfinished, not failed.
func (r *run) retry(ctx context.Context, op string, send func(context.Context) error) error {
	return unfinished(r.attempts(ctx, op, send))
}

// attempts is retry with the last error as it is.
func (r *run) attempts(ctx context.Context, op string, send func(context.Context) error) error {
	policy := r.Retry
	policy.Budget = r.budget
	switch gone := r.gone.Load(); {
	case policy.Retries == 0 || !r.reached.Load():
		// Perhaps there is nothing at that address: to wait for it helps nobody.
		policy.Patience = 0
	case gone != nil:
		// Others have been waiting for it: what waits now has what is left.
		policy.Patience = max(1, policy.Patience-time.Since(*gone))
	}
	return transport.Retry(ctx, policy, func(err error, wait time.Duration) {
		r.observe(Retrying{Op: op, Err: err, Wait: wait})
		if now := time.Now().Unix(); transport.Unreached(err) && policy.Patience > 0 && now-r.outage.Load() > int64(r.Retry.Patience.Seconds()) {
			r.outage.Store(now)
			r.warn("the provider cannot be reached (%v): trying on for up to %s", err, inTime(policy.Patience))
		}
	}, func(ctx context.Context) error {
		err := send(ctx)
		if transport.Unreached(err) {
			now := time.Now()
			r.gone.CompareAndSwap(nil, &now)
		}
		if !transport.Unreached(err) && ctx.Err() == nil {
			r.reached.Store(true)
			r.gone.Store(nil)
		}
		return err
	})
}

// exhausted is an error that passes, but not within our patience. It wraps
// ErrUnfinished, and does not count as temporary any more: one operation may
// wait for another, and trying both again multiplies.
type exhausted struct{ err error }

func (e *exhausted) Error() string             { return ErrUnfinished.Error() + ": " + e.err.Error() }
func (e *exhausted) Unwrap() []error           { return []error{ErrUnfinished, e.err} }
func (e *exhausted) Temporary() bool           { return false }
func (e *exhausted) RetryAfter() time.Duration { return 0 }

// passes reports whether the same attempt may succeed later.
func passes(err error) bool {
	var t Temporary
	return errors.As(err, &t) && t.Temporary()
}

// unfinished marks an error that passes as one after which to run again.
func unfinished(err error) error {
	// An answer that cannot be used, however often it is asked for, is no matter
	// of time.
	if passes(err) && !errors.Is(err, ErrReply) {
		return &exhausted{err}
	}
	return err
}
