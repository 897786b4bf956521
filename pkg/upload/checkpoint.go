package upload

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// maxCheckpoint is the most receipts that are reported in one request.
const maxCheckpoint = 1000

// checkpoints reports receipts to the provider as they come, one request at a
// time, so that another machine can continue from there. It belongs to the
// upload's owner; only the request itself runs beside it.
type checkpoints struct {
	*session
	send func([]Receipt) // makes one request; nil: this provider takes none
	end  context.CancelFunc
	told chan checkpointed

	waiting  map[int]Receipt // by part: not known to the provider, as far as we know
	asked    map[int]bool    // of those, the ones that it may have been told
	batch    []Receipt       // of the request that is made or retried
	telling  bool            // it is under way
	settling bool            // it is one that settle made
	came     bool            // a receipt came that was not looked at yet
	refused  bool            // the provider takes none any more
	tries    transport.Tries
	next     time.Time // when its backoff is over
}

// checkpointed is what a request came to.
type checkpointed struct{ err error }

func (s *session) newCheckpoints(ctx context.Context) *checkpoints {
	c := &checkpoints{session: s}
	to, ok := s.Provider.(Checkpointer)
	if !ok || s.shared || len(s.ledger.rec.Upload.Parts) == 1 {
		return c // of a single part complete tells, as who completes a shared upload does
	}
	c.told, c.came = make(chan checkpointed, 1), true
	c.waiting, c.asked = make(map[int]Receipt), make(map[int]bool)
	for n, r := range s.ledger.rec.Receipts {
		if !r.Checkpointed && r.Unconfirmed == nil {
			c.waiting[n] = r
			// The last run may have been killed before it recorded the checkpoint.
			c.asked[n] = true
		}
	}
	ctx, c.end = context.WithCancel(ctx)
	up := s.ledger.rec.Upload
	c.send = func(rs []Receipt) {
		go func() { c.told <- checkpointed{to.Checkpoint(ctx, up, rs)} }()
	}
	return c
}

// stop ends the request that is under way.
func (c *checkpoints) stop() {
	if c.send == nil {
		return
	}
	c.end()
	if c.telling {
		<-c.told
		c.telling = false
	}
}

// add queues a receipt that is on disk.
func (c *checkpoints) add(r Receipt) {
	if c.send != nil {
		c.waiting[r.Part] = r
		c.came = true
	}
}

// forget takes back the receipts of parts that are sent again.
func (c *checkpoints) forget(parts []int) {
	for _, n := range parts {
		delete(c.waiting, n)
		delete(c.asked, n)
	}
}

// start makes a request if there is something to report.
func (c *checkpoints) start() {
	if c.send == nil || c.telling || c.refused || time.Now().Before(c.next) {
		return
	}
	if c.batch == nil {
		if !c.came {
			return
		}
		c.batch = c.first(func(r Receipt) bool { return c.ledger.verifier.settled(r) })
		c.came = len(c.batch) == maxCheckpoint // there may be more
	}
	c.batch = slices.DeleteFunc(c.batch, func(r Receipt) bool { return c.waiting[r.Part].Value != r.Value })
	if len(c.batch) == 0 {
		c.batch = nil
		return
	}
	for _, r := range c.batch {
		c.asked[r.Part] = true
	}
	c.telling = true
	c.send(c.batch)
}

// first are the first of the waiting receipts that are wanted.
func (c *checkpoints) first(want func(Receipt) bool) []Receipt {
	var rs []Receipt
	for _, r := range c.waiting {
		if want(r) {
			rs = append(rs, r)
		}
	}
	slices.SortFunc(rs, func(a, b Receipt) int { return cmp.Compare(a.Part, b.Part) })
	return rs[:min(len(rs), maxCheckpoint)]
}

// answered handles the outcome of a request: the receipts that the provider remembers
// now, which are to be recorded, or why the upload cannot continue.
func (c *checkpoints) answered(ctx context.Context, t checkpointed) (known []Receipt, _ error) {
	c.telling = false
	if t.err != nil && ctx.Err() != nil {
		return nil, nil //nolint:nilerr // it was stopped with the upload
	}
	c.heard(t.err)
	if t.err != nil {
		if wait, again := c.again(&c.tries, OpCheckpoint, 0, t.err); again {
			c.next = time.Now().Add(wait)
			return nil, nil
		}
		return nil, c.exhausted(unfinished(t.err))
	}
	for _, r := range c.batch {
		if c.waiting[r.Part].Value == r.Value {
			r.Checkpointed = true
			known = append(known, r)
			delete(c.waiting, r.Part) // noted follows, when it is on disk
		}
	}
	c.batch, c.tries = nil, transport.Tries{}
	return known, nil
}

// exhausted decides what a request means that failed for good.
func (c *checkpoints) exhausted(err error) error {
	settling := c.settling
	c.batch, c.tries, c.settling = nil, transport.Tries{}, false
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, ErrCompleted) && !settling: // else complete finds the result
		return c.lost(err)
	case !errors.Is(err, ErrUnfinished):
		c.refused = true // complete takes them instead
	case settling:
		return c.lost(err)
	}
	c.observe(CheckpointFailed{Err: err})
	return nil
}

// noted says that the journal knows of a receipt that the provider has it.
func (c *checkpoints) noted(r Receipt) { delete(c.asked, r.Part) }

// retryAt is when the request that failed is retried; zero if none is.
func (c *checkpoints) retryAt() time.Time {
	if c.batch == nil || c.telling || c.refused {
		return time.Time{}
	}
	return c.next
}

// settle makes certain, when all parts are stored, which receipts the provider
// has: complete lists the others. What it may have been told, it is told again;
// what it surely was not, complete tells.
func (c *checkpoints) settle(ctx context.Context) error {
	for c.send != nil && !c.refused {
		if ctx.Err() != nil && !c.telling {
			return context.Cause(ctx)
		}
		if c.telling {
			known, err := c.answered(ctx, <-c.told)
			if err != nil {
				return err
			}
			if err := c.record(ctx, known); err != nil {
				return err
			}
			continue
		}
		if c.batch == nil {
			if c.batch = c.first(func(r Receipt) bool { return c.asked[r.Part] }); len(c.batch) == 0 {
				c.batch = nil
				return nil
			}
			c.settling = true
		}
		select {
		case <-time.After(time.Until(c.next)):
			c.start()
		case <-ctx.Done():
		}
	}
	return nil
}

// record makes known durable what the provider remembers.
func (c *checkpoints) record(ctx context.Context, known []Receipt) error {
	if len(known) == 0 {
		return nil
	}
	if err := c.ledger.record(context.WithoutCancel(ctx), known); err != nil {
		return err
	}
	for _, r := range known {
		c.noted(r)
	}
	c.observe(Checkpointed{Parts: len(known)})
	return nil
}
