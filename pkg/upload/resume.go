package upload

import (
	"context"
	"errors"
	"time"
)

// find looks for an upload of this file in the journal, and decides what of it
// still holds. Without one, the ledger has no record: a new upload begins.
func (s *session) find(ctx context.Context) error {
	had, err := s.ledger.entry.Load(ctx)
	rec, moved := had, false
	if err == nil && rec != nil {
		rec, err = s.resume(ctx, rec)
	}
	if err == nil && rec == nil && !(Spool{}).Streamed(s.file.Path) {
		// What is recorded of this path, if anything, is of another file by now.
		if s.Resume && (had == nil || had.State == Delivered) {
			return ErrNothing
		}
		if rec, err = s.moved(ctx); err == nil && rec != nil {
			moved = true
			rec, err = s.resume(ctx, rec)
		}
	}
	if err != nil {
		return err
	}
	told := Found{Next: StepCreate, Moved: moved && rec != nil}
	if had != nil {
		told.Had, told.At, told.Upload = had.State, had.Updated, had.Upload.ID
	}
	if rec != nil {
		s.ledger.use(rec)
		if was := rec.Upload.Origin; was.Path != "" && s.Origin.Path != "" && was.Sum != s.Origin.Sum {
			s.observe(OriginChanged{Upload: rec.Upload.ID, Path: s.Origin.Path})
		}
		if err := s.ledger.described(ctx, s.Origin.Path); err != nil {
			return err
		}
		told.Upload, told.Stored, told.Parts = rec.Upload.ID, rec.stored(), len(rec.Upload.Parts)
		told.Next, _ = Next(rec, s.file)
	}
	s.observe(told)
	if s.overdue {
		s.observe(Overdue{Upload: rec.Upload.ID, End: rec.Upload.Expires})
	}
	return nil
}

// moved finds an unfinished upload of this file under another path: another
// runner checks out elsewhere. Only one whose every stored part is in this file
// is continued, and none that a process has.
func (s *session) moved(ctx context.Context) (*Record, error) {
	if s.Restart {
		return nil, nil
	}
	candidates, err := s.Journal.Moved(ctx, s.target, s.file.Size)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if !s.mayBeMoved(c) {
			continue
		}
		differ, err := s.differing(ctx, c)
		if err != nil {
			return nil, err
		}
		if len(differ) > 0 {
			continue
		}
		c.Path, c.Upload.File = s.file.Path, s.file
		if err := s.ledger.entry.Adopt(ctx, c); errors.Is(err, ErrBusy) {
			continue
		} else if err != nil {
			return nil, err
		}
		s.compared = true
		return s.ledger.entry.Load(ctx)
	}
	return nil, nil
}

// mayBeMoved reports whether a record that Moved lists is worth a comparison.
func (s *session) mayBeMoved(c Record) bool {
	return c.Path != s.file.Path && c.State != Corrupt && len(c.Receipts) > 0 && (c.State == Sending || len(c.Upload.Existing) == 0)
}

// resume decides what of a record still holds for the file as it is now. A nil
// record means a new upload.
func (s *session) resume(ctx context.Context, rec *Record) (*Record, error) {
	switch rec.State {
	case Corrupt:
		s.abandon(ctx, rec.Upload) // the last run may not have come to it
		fallthrough
	case Delivered:
		return nil, nil
	}
	if rec.State == Waiting && !s.Restart && rec.Upload.File.Size == s.file.Size {
		return rec, nil // the provider has the file as it was
	}
	if s.earlier == 0 {
		s.earlier = rateOf(rec)
	}
	fresh := func(why StartingOver) (*Record, error) {
		if rec.State != Done && rec.State != Waiting {
			s.observe(why)
			s.abandon(ctx, rec.Upload)
		}
		return nil, nil
	}
	was := rec.Upload.File
	switch {
	case s.Restart:
		return fresh(StartingOver{Reason: Asked})
	case was.Size != s.file.Size:
		return fresh(StartingOver{Reason: SizeChanged, Was: was.Size, Is: s.file.Size})
	case rec.Upload.Planned && rec.State == Sending && !was.ModTime.Equal(s.file.ModTime):
		// What other machines sent cannot be compared: it may be of the file as it was.
		return fresh(StartingOver{Reason: PlannedChanged})
	case !was.ModTime.Equal(s.file.ModTime) || was.ID != s.file.ID:
		s.compared = true
		differ, err := s.differing(ctx, *rec)
		if err != nil {
			return nil, err
		}
		if rec.State != Sending && (len(differ) > 0 || len(rec.Upload.Existing) > 0) {
			return fresh(StartingOver{Reason: EndedChanged})
		}
		if _, ok := s.Provider.(Checkpointer); ok && len(differ) > 0 {
			// Of the receipts that do not say so, the last run may have died
			// between the provider's knowing and ours.
			return fresh(StartingOver{Reason: RememberedChanged})
		}
		s.ledger.use(rec)
		if err := s.ledger.drop(ctx, s.file, differ); err != nil {
			return nil, err
		}
		if len(differ) > 0 {
			s.observe(Resending{Parts: len(differ)})
		}
	}
	if rec.State == Sending && s.otherPartSize(rec) {
		if len(rec.Receipts) == 0 && !rec.Upload.Planned {
			return fresh(StartingOver{Reason: PartSizeChanged, Was: rec.Upload.Parts[0].Size, Is: s.PartSize})
		}
		s.observe(PartSizeIgnored{Asked: s.PartSize, Has: rec.Upload.Parts[0].Size, Stored: len(rec.Receipts), Planned: rec.Upload.Planned})
	}
	// This machine's clock alone does not end an upload, as clocks jump: the
	// provider has to say so too.
	s.overdue = rec.State == Sending && !rec.Upload.Expires.IsZero() && time.Now().After(rec.Upload.Expires)
	if rec.State == Done {
		return rec, nil
	}
	// Checked before anything is sent, whichever process wrote the record.
	if err := Tile(s.file.Size, rec.Upload.Parts, rec.Upload.Existing); err != nil {
		return fresh(StartingOver{Reason: BadPlan, Err: err})
	}
	return rec, nil
}

// otherPartSize reports whether another part size is asked for now than the plan
// has, where that is the client's to choose and would make a difference.
func (s *session) otherPartSize(rec *Record) bool {
	parts := rec.Upload.Parts
	if s.PartSize <= 0 || len(parts) == 0 || s.limits.Plans && !s.limits.TakesHint {
		return false
	}
	has := parts[0].Size
	return s.PartSize != rec.Upload.Asked && s.PartSize != has && (len(parts) > 1 || s.PartSize < has)
}
