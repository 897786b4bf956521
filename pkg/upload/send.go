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
	g := newURLs(pending, rec.Presigned)
	g.renewable, g.window = rec.Upload.Renewable, 2*n
	g.fetch = func(ctx context.Context, parts []Part) (got []Presigned, err error) {
		r.note("asking for leave to send %s, as part %d has none that holds", numbers(parts), parts[0].Number)
		err = r.retry(ctx, "ask for leave to send", func(ctx context.Context) (err error) {
			got, err = r.Provider.Presign(ctx, rec.Upload, parts)
			return err
		})
		r.lookAtClock()
		return got, err
	}

	workers, ctx := errgroup.WithContext(ctx)
	sending, stop := afterGrace(ctx)
	defer stop()
	more, last := context.WithCancel(ctx) // ends when all parts have begun
	defer last()
	for i := range n {
		workers.Go(func() error {
			if i > 0 && r.Slots != nil {
				if r.Slots.Take(more, r.Rank) != nil {
					return context.Cause(ctx)
				}
				defer r.Slots.Give()
			}
			for ctx.Err() == nil {
				p, ok := g.next()
				if !ok {
					last()
					return nil
				}
				if err := r.src.Ready(ctx, p.Offset+p.Size); err != nil {
					return err
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
				r.release(rec, receipt)
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
	if s := r.verify.news(); s != "" {
		r.note("%s", s)
	}
	if err := r.src.Same(); err != nil {
		return err
	}
	if r.Checksum == ChecksumRequire && r.verify.hopeless() && rec.Upload.Digest == "" {
		return errUnproven // before the rest is sent for nothing
	}
	return nil
}

// release lets go of the bytes of parts that will not be sent again, where the
// source keeps them: it reads on when there is room. Those that the verifier
// may yet condemn are kept as long as there is room for them and for others.
func (r *run) release(rec *Record, receipt Receipt) {
	if !r.src.Once() {
		return
	}
	var largest int64
	for _, p := range rec.Upload.Parts {
		largest = max(largest, p.Size)
	}
	roomy := r.src.Room()/(opaqueAfter+2) >= largest
	r.storing.Lock()
	defer r.storing.Unlock()
	r.unheld = append(r.unheld, receipt)
	r.unheld = slices.DeleteFunc(r.unheld, func(receipt Receipt) bool {
		if roomy && !r.verify.settled(receipt) {
			return false
		}
		p := rec.Upload.Parts[slices.IndexFunc(rec.Upload.Parts, func(p Part) bool { return p.Number == receipt.Part })]
		r.src.Release(p.Offset, p.Size)
		r.released = true
		return true
	})
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
