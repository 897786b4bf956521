package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// Policy says how often and how long an operation is retried after errors that
// are temporary. The zero value is DefaultPolicy.
//
// With Retries alone, every error counts. With RetryFor alone, only time does.
// With both, Retries bounds the tries that were answered, and RetryFor the time
// in which the server cannot be reached at all.
type Policy struct {
	Retries  int           // most retries of one operation; 0: as many as RetryFor allows; below 0: none
	Base     time.Duration // the first wait is a random share of this, and the bound doubles with each try; 0: 500 ms where Cap is 0 too
	Cap      time.Duration // the largest bound of a wait; 0: Base, or 30 s where Base is 0 too
	MaxAfter time.Duration // the longest Retry-After that is respected; a longer one is reduced to it
	RetryFor time.Duration // how long an operation that keeps failing is retried
	Since    time.Time     // when the trouble began that the operation came into; zero: with its own first failure
	Fresh    bool          // whether Retry may be the first to reach the server: see Unreached
	Budget   *Budget       // shared with other operations; nil: none
}

// DefaultPolicy retries for a quarter of an hour.
var DefaultPolicy = Policy{
	Base: 500 * time.Millisecond, Cap: 30 * time.Second, MaxAfter: 2 * time.Minute, RetryFor: 15 * time.Minute,
}

// OrDefault is p with what was left zero filled in.
func (p Policy) OrDefault() Policy {
	if p.Base == 0 && p.Cap == 0 && p.MaxAfter == 0 {
		p.Base, p.Cap, p.MaxAfter = DefaultPolicy.Base, DefaultPolicy.Cap, DefaultPolicy.MaxAfter
	}
	if p.Retries == 0 && p.RetryFor == 0 {
		p.RetryFor = DefaultPolicy.RetryFor
	}
	return p
}

// unreachedRetries bounds the retries before the server was ever reached.
const unreachedRetries = 10

// Unreached is p for a server that was never reached, at now, and since when it
// attempts failed; zero: it was not tried yet. Its URL may be wrong, so multiput does
// not wait until an outage is over.
func (p Policy) Unreached(since, now time.Time) Policy {
	p = p.OrDefault()
	if p.Retries == 0 {
		p.Retries = unreachedRetries
	}
	if p.RetryFor > 0 && !since.IsZero() && now.Sub(since) >= p.RetryFor {
		p.Retries = -1 // it asked for less than these take
	}
	p.RetryFor = 0
	return p
}

// Budget limits the retries of many operations together, so that an upload in which
// everything fails ends before all their retries are added up. It is for
// one goroutine at a time.
type Budget struct {
	Most  int // retries
	spent int
}

// earned is what a success gives back: three tries out of four may fail forever.
const earned = 3

func (b *Budget) spend() bool {
	if b == nil {
		return true
	}
	if b.spent >= b.Most {
		return false
	}
	b.spent++
	return true
}

// Earn gives back what a success is worth. A nil Budget takes it too.
func (b *Budget) Earn() {
	if b != nil {
		b.spent = max(0, b.spent-earned)
	}
}

// bound is the most that is waited before a retry, the first being 0.
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

// temporary is an error that knows whether a retry may help.
type temporary interface {
	error
	Temporary() bool
	RetryAfter() time.Duration
}

// limited is a temporary error for which a few tries are enough, whatever the
// policy has.
type limited interface {
	error
	MostTries() int
}

// MostTries is how often an operation is tried at most that fails with err; 0: as
// often as the policy has it.
func MostTries(err error) int {
	var l limited
	if !errors.As(err, &l) {
		return 0
	}
	return l.MostTries()
}

// Unreached reports whether err says that the server was not reached: there is
// no network, or nothing listens at the address.
func Unreached(err error) bool {
	var e *Error
	// Without a descriptor for it, no connection was even tried.
	return errors.As(err, &e) && e.Unsent && e.Retry && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE)
}

// Tries counts the failures of one operation. The zero value has none. It is for one goroutine at a time.
type Tries struct {
	Failed  int       // failures so far
	counted int       // of those, the ones that Policy.Retries bounds
	limited int       // of those, the ones that MostTries bounds
	since   time.Time // the first failure of those that Policy.RetryFor bounds
}

// Next says after which wait the operation is retried, which failed with err at
// now; false: it is not.
func (t *Tries) Next(p Policy, err error, now time.Time) (wait time.Duration, again bool) {
	var temp temporary
	if p.Retries < 0 || !errors.As(err, &temp) || !temp.Temporary() {
		return 0, false
	}
	if most := MostTries(err); most > 0 {
		if t.limited++; t.limited >= most {
			return 0, false
		}
	}
	p = p.OrDefault()
	wait = jitter(p.bound(t.Failed))
	if p.RetryFor > 0 && (p.Retries == 0 || Unreached(err)) {
		if t.since.IsZero() {
			t.since = now
		}
		since := t.since
		if !p.Since.IsZero() && p.Since.Before(since) {
			since = p.Since
		}
		left := p.RetryFor - now.Sub(since)
		if left <= 0 {
			return 0, false
		}
		wait = min(wait, left) // the last retry is when the time is up, not long after
	} else {
		if t.counted >= p.Retries || !p.Budget.spend() {
			return 0, false
		}
		t.counted++
		t.since = time.Time{}
	}
	// What the server asked for it asked of everyone: the jitter comes on top, and
	// grows, so that a server that always asks for a second does not shorten our
	// patience.
	wait += max(0, min(temp.RetryAfter(), p.MaxAfter))
	t.Failed++
	return wait, true
}

// Retry calls send until it succeeds, fails for good, or the policy is used up,
// and returns its last error. Waits have full jitter and end with ctx, after
// which nothing is sent. Before each wait, notify (if not nil) gets the error and
// the wait.
func Retry(ctx context.Context, p Policy, notify func(err error, wait time.Duration), send func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var (
		tries   Tries
		reached bool
		since   time.Time
	)
	for {
		err := send(ctx)
		if err == nil {
			p.Budget.Earn()
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		now, bound := time.Now(), p
		if reached = reached || !Unreached(err); p.Fresh && !reached {
			if since.IsZero() {
				since = now
			}
			bound = p.Unreached(since, now)
		}
		wait, again := tries.Next(bound, err, now)
		if !again {
			return err
		}
		if notify != nil {
			notify(err, wait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
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
