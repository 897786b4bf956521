package upload

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
)

// maxRounds is how often all parts may be gone through. After the first round
// the verifier knows what this store's ETags are, so that the second should
// find nothing to condemn.
const maxRounds = 4

// send stores every part that has no receipt. It goes round again for parts
// whose receipts turn out to be of other bytes than were sent.
func (r *run) send(ctx context.Context, rec *Record) error {
	check := r.newCheckpoints(ctx, rec)
	defer check.stop()
	for round := range maxRounds {
		bad, err := check.revise(func() ([]int, error) {
			if err := r.hashUnhashed(ctx, rec); err != nil {
				return nil, err
			}
			return r.condemn(rec)
		})
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			if err := r.entry.Refresh(ctx, rec.Upload.File, bad...); err != nil {
				return err
			}
		}
		pending, stored := r.pending(rec)
		if round == 0 {
			r.observe(Planned{File: r.file, Upload: rec.Upload.ID, Parts: len(rec.Upload.Parts), Stored: len(rec.Upload.Parts) - len(pending), StoredBytes: stored})
		} else {
			for _, p := range pending {
				r.observe(Lost{Part: p, Why: "its ETag is not the MD5 of what was sent"})
			}
		}
		if len(pending) == 0 {
			if err := r.unchanged(ctx, rec); err != nil {
				return err
			}
			return check.settle(ctx)
		}
		if r.overdue {
			// The smallest, to find out what the provider says of it.
			i := slices.IndexFunc(pending, func(p Part) bool {
				return !slices.ContainsFunc(pending, func(q Part) bool { return q.Size < p.Size })
			})
			if err := r.sendAll(ctx, rec, pending[i:i+1:i+1], check); err != nil {
				return err
			}
			r.overdue = false
			pending = slices.Delete(pending, i, i+1)
		}
		if err := r.sendAll(ctx, rec, pending, check); err != nil {
			return err
		}
	}
	return fmt.Errorf("parts arrive damaged again and again: %w", ErrChecksum)
}

// unchanged makes certain, when all parts are stored, that they are of one
// version of the file. Where something was done to it that its time does not
// show, the stored parts are compared with it.
func (r *run) unchanged(ctx context.Context, rec *Record) error {
	if err := r.src.Same(); err != nil {
		return err
	}
	if !r.src.Touched() {
		return nil
	}
	r.storing.Lock() // a checkpoint may be storing
	now := *rec
	now.Receipts = maps.Clone(rec.Receipts)
	r.storing.Unlock()
	differ, err := r.differing(ctx, now)
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("%s: %w: %d of its stored parts are of an older version", r.file.Path, ErrChanged, len(differ))
	}
	return err
}

// condemn forgets the receipts of parts that are not what was sent.
func (r *run) condemn(rec *Record) ([]int, error) {
	r.storing.Lock() // a checkpoint may be storing
	defer r.storing.Unlock()
	bad := r.judgeAll(rec)
	for _, n := range bad {
		if rec.Receipts[n].Checkpointed {
			return nil, fmt.Errorf("part %d: %w, and the provider remembers it: %w", n, ErrChecksum, errStartOver)
		}
		delete(rec.Receipts, n)
		delete(r.mine, n)
	}
	r.count(rec)
	return bad, nil
}

// pending are the parts without a receipt; stored counts the bytes of the
// others.
func (r *run) pending(rec *Record) (parts []Part, stored int64) {
	r.storing.Lock()
	defer r.storing.Unlock()
	for _, p := range rec.Upload.Parts {
		if _, ok := rec.Receipts[p.Number]; ok {
			stored += p.Size
		} else {
			parts = append(parts, p)
		}
	}
	return parts, stored
}

// sendAll sends parts concurrently, each with its receipt on disk before its
// sender takes the next.
func (r *run) sendAll(ctx context.Context, rec *Record, pending []Part, check *checkpoints) error {
	n := min(r.concurrency(), len(pending))
	left, flights := r.newDeadline(rec, pending), newSiblings(len(pending))
	left.before()
	g := newGrants(pending, rec.Grants)
	g.regrant, g.window = rec.Upload.Regrant, 2*n
	g.fetch = func(ctx context.Context, parts []Part) (got []Grant, err error) {
		err = r.retry(ctx, "ask for leave to send", func(ctx context.Context) (err error) {
			got, err = r.Provider.Grant(ctx, rec.Upload, parts)
			return err
		})
		r.lookAtClock()
		return got, err
	}

	workers, ctx := errgroup.WithContext(ctx)
	sending, stop := afterGrace(ctx)
	defer stop()
	for range n {
		workers.Go(func() error {
			for ctx.Err() == nil {
				p, more := g.next()
				if !more {
					return nil
				}
				receipt, err := r.sendPart(ctx, sending, rec.Upload, p, g, flights)
				if err != nil {
					return err
				}
				if err := r.receive(ctx, rec, p, receipt); err != nil {
					return err
				}
				g.used(p.Number)
				if err := check.add(receipt); err != nil {
					return err
				}
				if err := left.stored(); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		})
	}
	return r.lost(workers.Wait())
}

// receive makes a receipt durable, then visible, and looks whether the file is
// still the one that the part was read from.
func (r *run) receive(ctx context.Context, rec *Record, p Part, receipt Receipt) error {
	// Not undone by a signal: the part is stored. Only a journal that others
	// hold is not waited for then as it is at other times.
	writing, stop := afterGrace(ctx)
	defer stop()
	if err := r.entry.Receive(writing, receipt); err != nil {
		return err
	}
	r.storing.Lock()
	r.mine[p.Number] = true
	r.storing.Unlock()
	r.store(rec, receipt)
	r.observe(Stored{p})
	if err := r.src.Same(); err != nil {
		return err
	}
	if r.Checksum == ChecksumRequire && r.verify.hopeless() && rec.Upload.Digest == "" {
		return errUnproven // before the rest is sent for nothing
	}
	return nil
}

// store notes receipts that are on disk.
func (r *run) store(rec *Record, rs ...Receipt) {
	r.storing.Lock()
	defer r.storing.Unlock()
	for _, receipt := range rs {
		rec.Receipts[receipt.Part] = receipt
	}
	r.count(rec)
}

// count brings the report up to date. r.storing is held.
func (r *run) count(rec *Record) {
	r.report.PartsStored = len(rec.Receipts)
	r.report.PartsReused = len(rec.Receipts) - len(r.mine)
}
