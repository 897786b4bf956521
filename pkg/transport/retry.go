package transport

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// Policy says how often and how patiently an operation is tried again.
type Policy struct {
	Retries  int           // tries after the first
	Base     time.Duration // the first wait is a random share of this, each next one's bound is twice the last
	Cap      time.Duration // the longest such bound; 0: Base
	MaxAfter time.Duration // the longest Retry-After that is honoured; a longer one is cut to it
	// Patience is how long an operation goes on trying while the server cannot
	// be reached at all, which costs nobody anything: such tries do not count.
	// Zero: they do.
	Patience time.Duration
	// Budget is shared with other operations. Nil: none.
	Budget *Budget
}

// Budget is what many operations together may spend on tries that fail: what
// is hopeless for each of them alone ends sooner than all their tries added up.
// Each try after the first costs one, and a success earns some back. It may be
// used by several goroutines.
type Budget struct {
	Most int // tries; not changed after the first use

	mu    sync.Mutex
	spent int
}

// earned is what a success earns: three tries out of four may fail for ever.
const earned = 3

func (b *Budget) spend() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spent >= b.Most {
		return false
	}
	b.spent++
	return true
}

func (b *Budget) earn() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(0, b.spent-earned)
}

// DefaultPolicy rides out a minute or two of trouble, and a quarter of an hour
// without a network.
var DefaultPolicy = Policy{
	Retries: 10, Base: 500 * time.Millisecond, Cap: 30 * time.Second, MaxAfter: 2 * time.Minute, Patience: 15 * time.Minute,
}

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

// Unreached reports whether err says that the server was not reached: there is
// no network, or nobody listens.
func Unreached(err error) bool {
	var e *Error
	// Without a descriptor for it, no connection was even tried.
	return errors.As(err, &e) && e.Unsent && e.Retry && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE)
}

// Retry calls send until it succeeds, fails for good or the policy or its
// budget is used up, and returns its last error. Waits have full jitter and end
// with ctx, after which nothing is sent any more. Before each wait, notify (if
// not nil) hears of the error and of the wait.
func Retry(ctx context.Context, p Policy, notify func(err error, wait time.Duration), send func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var gone time.Time // since when the server was not reached
	for try, failed := 0, 0; ; failed++ {
		err := send(ctx)
		var t temporary
		if err == nil {
			p.Budget.earn()
			return nil
		}
		if ctx.Err() != nil || !errors.As(err, &t) || !t.Temporary() {
			return err
		}
		switch unreached := Unreached(err); {
		case unreached && p.Patience > 0:
			if gone.IsZero() {
				gone = time.Now()
			}
			if time.Since(gone) >= p.Patience {
				return err
			}
		case try >= p.Retries || !p.Budget.spend():
			return err
		default:
			gone = time.Time{}
			try++
		}
		// What the server asked for it asked of everyone: the jitter comes on
		// top, and grows, so that a server that always asks for a second does
		// not shorten our patience.
		wait := jitter(p.bound(failed)) + max(0, min(t.RetryAfter(), p.MaxAfter))
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
