package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// reach is what is known about the connection to the provider.
type reach struct {
	reached bool      // the provider answered, in this call
	gone    time.Time // since when it cannot be reached; zero: it can
	told    time.Time // when Outage told of that
}

// policy is the one for a request as things stand.
func (s *session) policy() transport.Policy {
	p := s.Retry.OrDefault()
	p.Budget, p.Since = nil, s.reach.gone
	if p.Retries > 0 {
		p.Budget = s.budget
	}
	if !s.reach.reached {
		p = p.Unreached(s.reach.gone, time.Now())
	}
	return p
}

// signs reports whether the provider answered op without sending anything.
func (s *session) signs(op Op, up Upload) bool {
	p, is := s.Provider.(Signer)
	return is && p.Signs(op, up)
}

// heard records the outcome of a request.
func (s *session) heard(err error) {
	switch {
	case !transport.Unreached(err):
		s.reach.reached, s.reach.gone = true, time.Time{}
	case s.reach.gone.IsZero():
		s.reach.gone = time.Now()
	}
	if err == nil {
		s.budget.Earn()
		s.changed(s.Slots.answered())
	}
}

// again decides whether a request that failed with err is retried, and reports it.
func (s *session) again(tries *transport.Tries, op Op, part int, err error) (wait time.Duration, again bool) {
	p := s.policy()
	wait, again = tries.Next(p, err, time.Now())
	if !again {
		return 0, false
	}
	if patience := s.Retry.OrDefault().RetryFor; !s.reach.reached && patience > 0 && !s.reach.gone.IsZero() {
		wait = min(wait, patience-time.Since(s.reach.gone))
	}
	most := 0
	if p.Retries > 0 && (p.RetryFor == 0 || !transport.Unreached(err)) {
		most = p.Retries + 1
	}
	if few := transport.MostTries(err); few > 0 && (most == 0 || few < most) {
		most = few
	}
	s.observe(Retrying{Op: op, Part: part, Err: err, Try: tries.Failed, Most: most, Wait: wait})
	if now := time.Now(); transport.Unreached(err) && p.RetryFor > 0 && now.Sub(s.reach.told) > p.RetryFor {
		s.reach.told = now
		s.observe(Outage{Err: err, For: p.RetryFor - now.Sub(s.reach.gone)})
	}
	return wait, true
}

// call makes a request that the upload waits for, and retries it. What the
// policy could not bring to an end is unfinished, not failed.
func (s *session) call(ctx context.Context, op Op, send func(context.Context) error) error {
	return unfinished(s.attempts(ctx, op, send))
}

// attempts is call with the last error as it is.
func (s *session) attempts(ctx context.Context, op Op, send func(context.Context) error) error {
	var tries transport.Tries
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.observe(Requesting{Op: op})
		err := send(ctx)
		switch {
		case s.unsent:
			s.unsent = false
		case err == nil || ctx.Err() == nil:
			s.heard(err)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		wait, again := s.again(&tries, op, 0, err)
		if !again {
			return triedOften(err, tries)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// exhausted is an error that is temporary, but outlived the policy. It wraps
// ErrUnfinished, and does not count as temporary: one request may wait for
// another, and retrying both multiplies.
type exhausted struct{ err error }

func (e *exhausted) Error() string             { return ErrUnfinished.Error() + ": " + e.err.Error() }
func (e *exhausted) Unwrap() []error           { return []error{ErrUnfinished, e.err} }
func (e *exhausted) Temporary() bool           { return false }
func (e *exhausted) RetryAfter() time.Duration { return 0 }

// temporary reports whether the same attempt may succeed later.
func temporary(err error) bool {
	var t Temporary
	return errors.As(err, &t) && t.Temporary()
}

// triedOften says of an error for which a few tries are enough how many there were.
func triedOften(err error, t transport.Tries) error {
	if transport.MostTries(err) == 0 || t.Failed == 0 {
		return err
	}
	return fmt.Errorf("%w (tried %d times)", err, t.Failed+1)
}

// unfinished marks a temporary error as one after which to run again.
func unfinished(err error) error {
	// An answer that cannot be used, however often it is asked for, is not a
	// matter of time.
	if temporary(err) && !errors.Is(err, ErrReply) {
		return &exhausted{err}
	}
	return err
}

// grace is how long what is in flight may still arrive after the upload was told
// to stop.
const grace = 2 * time.Second

// afterGrace gives a context that ends so long after ctx does, so that what is in
// flight may still be answered.
func afterGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel(context.Cause(ctx))
		case <-later.Done():
		}
	})
	return later, func() {
		unhook()
		cancel(nil)
	}
}
