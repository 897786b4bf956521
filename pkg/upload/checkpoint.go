package upload

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// maxCheckpoint is the most receipts that are handed over in one request.
const maxCheckpoint = 1000

// checkpoints hands receipts to the provider as they come, in one goroutine,
// so that another machine can go on from there.
type checkpoints struct {
	run *run
	to  Checkpointer // nil: this provider takes none
	rec *Record

	cancel   context.CancelFunc
	wake     chan struct{} // holds a token when there may be something to tell
	ending   chan struct{} // closed when nothing more is to be told
	endOnce  sync.Once
	finished chan struct{} // closed when the goroutine is done

	// noting is held while what the provider knows is written down, and while
	// receipts are taken back: the one must not bring back what the other drops.
	noting sync.Mutex

	mu      sync.Mutex
	waiting map[int]Receipt // by part: not known to the provider, as far as we know
	asked   map[int]bool    // of those, the ones it may have been told of
	refused bool            // it takes no more
	broken  error           // why the upload cannot go on
}

func (r *run) newCheckpoints(ctx context.Context, rec *Record) *checkpoints {
	c := &checkpoints{run: r, rec: rec}
	to, ok := r.Provider.(Checkpointer)
	if !ok {
		return c
	}
	c.to = to
	c.waiting, c.asked = make(map[int]Receipt), make(map[int]bool)
	for n, receipt := range rec.Receipts {
		if !receipt.Checkpointed {
			c.waiting[n] = receipt
			// The last run may have died between the provider's knowing and ours.
			c.asked[n] = true
		}
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.wake, c.ending, c.finished = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	c.wake <- struct{}{}
	go c.loop(ctx)
	return c
}

// add queues a receipt that is on disk. Its error is what telling the provider
// found out: that the upload cannot go on.
func (c *checkpoints) add(r Receipt) error {
	if c.to == nil {
		return nil
	}
	c.mu.Lock()
	c.waiting[r.Part] = r
	err := c.broken
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // a token is there
	}
	return err
}

// revise lets f take receipts back, and forgets those that it names: their
// parts are sent again.
func (c *checkpoints) revise(f func() ([]int, error)) ([]int, error) {
	c.noting.Lock()
	defer c.noting.Unlock()
	parts, err := f()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range parts {
		delete(c.waiting, n)
		delete(c.asked, n)
	}
	return parts, err
}

// stop ends the goroutine, with what it is about, and waits for it.
func (c *checkpoints) stop() {
	if c.to == nil {
		return
	}
	c.cancel()
	<-c.finished
}

// loop tells the provider of what is ready, until it is stopped or told that
// it is the end. After a failure it waits for the next receipt.
func (c *checkpoints) loop(ctx context.Context) {
	defer close(c.finished)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.ending:
			return
		case <-c.wake:
		}
		for batch := c.ready(); len(batch) > 0; batch = c.ready() {
			err := c.tell(ctx, batch)
			if ctx.Err() != nil {
				return
			}
			broken, over := c.over()
			if err != nil && !broken {
				c.run.warn("the provider did not take a checkpoint: %v", err)
			}
			if over {
				return
			}
			if err != nil {
				break
			}
		}
	}
}

// over reports whether the upload cannot go on, which its senders say, and
// whether there is nothing left to do here.
func (c *checkpoints) over() (broken, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.ending:
		over = true
	default:
	}
	return c.broken != nil, over || c.refused || c.broken != nil
}

// ready are the waiting receipts that the verifier holds for good.
func (c *checkpoints) ready() []Receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rs []Receipt
	for _, r := range c.waiting {
		if c.run.verify.settled(r) {
			rs = append(rs, r)
		}
	}
	return inOrder(rs)
}

func inOrder(rs []Receipt) []Receipt {
	slices.SortFunc(rs, func(a, b Receipt) int { return cmp.Compare(a.Part, b.Part) })
	return rs[:min(len(rs), maxCheckpoint)]
}

// tell hands receipts to the provider and notes in the journal that it did.
func (c *checkpoints) tell(ctx context.Context, rs []Receipt) error {
	c.mu.Lock()
	for _, r := range rs {
		c.asked[r.Part] = true
	}
	c.mu.Unlock()
	err := c.run.retry(ctx, "checkpoint", func(ctx context.Context) error {
		return c.to.Checkpoint(ctx, c.rec.Upload, rs)
	})
	if err == nil {
		err = c.note(ctx, rs)
	}
	if err != nil && ctx.Err() == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch {
		case errors.Is(err, ErrGone), errors.Is(err, ErrJournal):
			c.broken = err
		case !errors.Is(err, ErrUnfinished):
			c.refused = true // complete takes them instead
		}
	}
	return err
}

// note writes down what the provider knows, except for what was taken back
// meanwhile.
func (c *checkpoints) note(ctx context.Context, rs []Receipt) error {
	c.noting.Lock()
	defer c.noting.Unlock()
	var known []Receipt
	c.mu.Lock()
	for _, r := range rs {
		if w, ok := c.waiting[r.Part]; ok && w.Value == r.Value {
			r.Checkpointed = true
			known = append(known, r)
		}
	}
	c.mu.Unlock()
	if len(known) == 0 {
		return nil
	}
	if err := c.run.entry.Receive(context.WithoutCancel(ctx), known...); err != nil {
		return err
	}
	c.run.store(c.rec, known...)
	c.run.note("checkpoint: the provider remembers %d more of the stored parts", len(known))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range known {
		delete(c.waiting, r.Part)
		delete(c.asked, r.Part)
	}
	return nil
}

// settle makes certain, when all parts are stored, which receipts the provider
// has: complete lists the others. What it may have been told of, it is told
// again; what it surely was not, complete tells.
func (c *checkpoints) settle(ctx context.Context) error {
	if c.to == nil {
		return nil
	}
	c.endOnce.Do(func() { close(c.ending) })
	<-c.finished
	for {
		doubtful, err := c.doubtful()
		if err != nil || len(doubtful) == 0 {
			return c.run.lost(err)
		}
		err = c.tell(ctx, doubtful)
		if errors.Is(err, ErrRefused) || errors.Is(err, ErrReply) {
			return nil // the provider sorts it out: complete lists them
		}
		if err != nil {
			return c.run.lost(err)
		}
	}
}

// doubtful are the receipts that the provider may or may not have.
func (c *checkpoints) doubtful() ([]Receipt, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused || c.broken != nil {
		return nil, c.broken
	}
	var rs []Receipt
	for n := range c.asked {
		if r, ok := c.waiting[n]; ok {
			rs = append(rs, r)
		}
	}
	return inOrder(rs), nil
}
