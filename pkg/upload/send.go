package upload

import (
	"context"
	"fmt"
	"slices"
)

// maxRounds is how often all parts may be gone through. After the first round the
// verifier knows what this store's ETags are, so that the second should find
// nothing to reject.
const maxRounds = 4

// send stores every part that has no receipt, of those that are wanted; nil: of
// all. It goes round again for parts whose receipts turn out to be of other bytes
// than were sent.
func (s *session) send(ctx context.Context, wanted []Part) error {
	among := make(map[int]bool, len(wanted))
	for _, p := range wanted {
		among[p.Number] = true
	}
	c := s.newCheckpoints(ctx)
	defer c.stop()
	for round := range maxRounds {
		if err := s.recheck(ctx, c); err != nil {
			return err
		}
		todo, bytes := s.ledger.pending()
		if wanted != nil {
			todo = slices.DeleteFunc(todo, func(p Part) bool { return !among[p.Number] })
		}
		if round == 0 {
			s.observe(s.planned(wanted, bytes))
		} else {
			for _, p := range todo {
				s.observe(Lost{Part: p})
			}
		}
		if len(todo) == 0 {
			if err := s.unchanged(ctx); err != nil {
				return err
			}
			return c.settle(ctx)
		}
		if s.overdue {
			smallestFirst(todo)
		}
		if err := s.newLoop(todo).run(ctx, c); err != nil {
			return err
		}
	}
	return fmt.Errorf("parts were repeatedly damaged in transit: %w", ErrChecksum)
}

// planned is what is to be sent: of the wanted parts, or of the whole file, stored
// bytes of which are there.
func (s *session) planned(wanted []Part, stored int64) Planned {
	rec := s.ledger.rec
	e := Planned{File: s.file, Upload: s.report.Upload, Parts: len(rec.Upload.Parts), Stored: rec.stored(), StoredBytes: stored}
	if wanted == nil {
		return e
	}
	e.Parts, e.File.Size, e.Stored, e.StoredBytes = len(wanted), 0, 0, 0
	for _, p := range wanted {
		e.File.Size += p.Size
		if s.ledger.rec.Has(p.Number) {
			e.Stored++
			e.StoredBytes += p.Size
		}
	}
	return e
}

// recheck forgets the receipts of parts that are not what was sent.
func (s *session) recheck(ctx context.Context, c *checkpoints) error {
	if err := s.hashUnhashed(ctx); err != nil {
		return err
	}
	bad := s.ledger.mismatched()
	if len(bad) == 0 {
		return nil
	}
	for _, n := range bad {
		if s.ledger.rec.Receipts[n].Checkpointed {
			return fmt.Errorf("part %d: %w, and the provider remembers it: %w", n, ErrChecksum, errStartOver)
		}
	}
	c.forget(bad)
	if err := s.ledger.drop(ctx, s.ledger.rec.Upload.File, bad); err != nil {
		return err
	}
	s.count()
	return nil
}

// smallestFirst puts the smallest part first, to find out with it what the
// provider says.
func smallestFirst(parts []Part) {
	i := 0
	for j, p := range parts {
		if p.Size < parts[i].Size {
			i = j
		}
	}
	smallest := parts[i]
	copy(parts[1:i+1], parts[:i])
	parts[0] = smallest
}
