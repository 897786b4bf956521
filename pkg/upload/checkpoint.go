package upload

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// checkpoints hands receipts to the provider as they come, in one goroutine,
// so that another machine can go on from there.
type checkpoints struct {
	run      *run
	to       Checkpointer // nil: this provider takes none
	rec      *Record
	cancel   context.CancelFunc
	finished chan struct{} // closed when the goroutine is done

	mu      sync.Mutex
	wake    *sync.Cond
	waiting map[int]Receipt // by part: not known to the provider, as far as we know
	asked   map[int]bool    // of those, the ones it may have been told of
	ending  bool
	refused bool // it takes no more
}

func (r *run) newCheckpoints(ctx context.Context, rec *Record) *checkpoints {
	c := &checkpoints{run: r, rec: rec, waiting: make(map[int]Receipt), asked: make(map[int]bool)}
	c.wake = sync.NewCond(&c.mu)
	to, ok := r.Provider.(Checkpointer)
	if !ok {
		return c
	}
	c.to = to
	for n, receipt := range rec.Receipts {
		if !receipt.Checkpointed {
			c.waiting[n] = receipt
			// The last run may have died between the provider's knowing and ours.
			c.asked[n] = true
		}
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.finished = make(chan struct{})
	go c.loop(ctx)
	return c
}

// add queues a receipt that is on disk.
func (c *checkpoints) add(r Receipt) {
	if c.to == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting[r.Part] = r
	c.wake.Signal()
}

// forget takes back the receipts of parts that are sent again.
func (c *checkpoints) forget(parts []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range parts {
		delete(c.waiting, n)
	}
}

// stop ends the goroutine and waits for it.
func (c *checkpoints) stop() {
	if c.to == nil {
		return
	}
	c.cancel()
	c.end()
}

func (c *checkpoints) end() {
	c.mu.Lock()
	c.ending = true
	c.wake.Signal()
	c.mu.Unlock()
	<-c.finished
}

func (c *checkpoints) loop(ctx context.Context) {
	defer close(c.finished)
	for {
		c.mu.Lock()
		batch := c.ready()
		for len(batch) == 0 && !c.ending {
			c.wake.Wait()
			batch = c.ready()
		}
		over := c.ending || c.refused
		c.mu.Unlock()
		if over || ctx.Err() != nil {
			return
		}
		if err := c.tell(ctx, batch); err != nil && ctx.Err() == nil {
			c.run.warn("the provider did not take a checkpoint: %v", err)
			// Wait for the next receipt before trying again.
			c.mu.Lock()
			if !c.ending && !c.refused {
				c.wake.Wait()
			}
			c.mu.Unlock()
		}
	}
}

// ready are the waiting receipts that the verifier holds for good. c.mu is
// held.
func (c *checkpoints) ready() []Receipt {
	var rs []Receipt
	for _, n := range slices.Sorted(maps.Keys(c.waiting)) {
		if c.run.verify.settled(c.waiting[n]) {
			rs = append(rs, c.waiting[n])
		}
	}
	return rs
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
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		// Refused for good: complete takes them instead.
		c.refused = errors.Is(err, ErrRefused)
		return err
	}
	for i := range rs {
		rs[i].Checkpointed = true
	}
	if err := c.run.entry.Receive(context.WithoutCancel(ctx), rs...); err != nil {
		return err
	}
	c.run.store(c.rec, rs...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rs {
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
	c.end()
	c.mu.Lock()
	var doubtful []Receipt
	for n := range c.asked {
		if r, ok := c.waiting[n]; ok {
			doubtful = append(doubtful, r)
		}
	}
	refused := c.refused
	c.mu.Unlock()
	if len(doubtful) == 0 || refused {
		return nil
	}
	slices.SortFunc(doubtful, func(a, b Receipt) int { return a.Part - b.Part })
	if err := c.tell(ctx, doubtful); err != nil && !errors.Is(err, ErrRefused) {
		return c.run.lost(err)
	}
	return nil
}
