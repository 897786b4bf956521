package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// Share is what a machine knows of an upload that another one planned.
type Share struct {
	// Name tells the share from others of the upload, in the journal. Empty: the
	// upload is joined to be completed, and Path may be of no file.
	Name   string
	Plan   string // what tells the upload from others of the file
	Target Target // of the upload
	Path   string // of the file, on this machine
	Upload Upload
	URLs   []Presigned
	Parts  []Part         // of the upload, that are this machine's
	CRC32C map[int]uint32 // of the bytes of parts, by number; nil: not known

	Restart bool // forget what was sent of it
}

// Join opens an upload that another machine planned, creating nothing. The file
// has to be the planned one: by size, and by modification time or, where that
// differs, by the checksums of this machine's parts; else the error wraps
// ErrNotPlanned. Send and Finish follow.
func (u *Uploader) Join(ctx context.Context, sh Share) (*Plan, error) {
	p, err := u.join(ctx, sh)
	if err != nil && p != nil {
		_, err = p.end(ctx, err)
		return nil, errors.Join(err, p.Close())
	}
	return p, err
}

func (u *Uploader) join(ctx context.Context, sh Share) (p *Plan, err error) {
	src, err := sh.open()
	if err != nil {
		return nil, err
	}
	was := sh.Upload.File
	p = new(Plan)
	p.s, err = u.newSession(src, File{Path: sh.Path, Name: was.Name, Type: was.Type})
	s := p.s
	s.shared, s.joined = sh.Name != "", true
	s.target = sh.Target
	if sh.Name != "" {
		s.target.Share = sh.Plan + " " + sh.Name
	}
	s.report.Target, s.report.Upload = s.target, sh.Upload.ID
	if err != nil {
		return p, err
	}
	if err := s.isPlanned(ctx, sh); err != nil {
		return p, err
	}
	if s.ledger.entry, err = s.Journal.Open(ctx, s.target, s.file.Path); err != nil {
		return p, err
	}
	rec, err := s.ledger.entry.Load(ctx)
	if err == nil && sh.Name == "" && rec != nil && rec.Upload.ID != sh.Upload.ID {
		// Another upload of this file began here meanwhile.
		s.target.Share = sh.Plan
		if err = s.ledger.entry.Close(); err == nil {
			s.ledger.entry, err = s.Journal.Open(ctx, s.target, s.file.Path)
		}
		if err == nil {
			rec, err = s.ledger.entry.Load(ctx)
		}
	}
	if err == nil {
		err = s.enter(ctx, sh, rec)
	}
	if err != nil {
		return p, err
	}
	p.show()
	return p, nil
}

// open opens the file. To complete an upload it need not be there.
func (sh Share) open() (*source.File, error) {
	was := sh.Upload.File
	src, err := source.Open(sh.Path)
	if sh.Name != "" {
		return src, err
	}
	if err == nil {
		if src.Info.Size == was.Size && src.Info.ModTime.Equal(was.ModTime) {
			return src, nil
		}
		err = src.Close()
	}
	if err != nil && !errors.Is(err, ErrNoInput) {
		return nil, err
	}
	return source.Absent(sh.Path, source.Info{Size: was.Size, ModTime: was.ModTime, ID: was.ID}), nil
}

// isPlanned makes certain that the file is the one that was planned.
func (s *session) isPlanned(ctx context.Context, sh Share) error {
	was := sh.Upload.File
	switch {
	case s.file.Size != was.Size:
		return fmt.Errorf("%s has %d bytes, and %d were planned: %w", s.src, s.file.Size, was.Size, ErrNotPlanned)
	case s.file.ModTime.Equal(was.ModTime):
		return nil
	case sh.CRC32C == nil:
		return fmt.Errorf("%s was modified at %s, and the file that was planned at %s: %w",
			s.src, s.file.ModTime.UTC().Format(time.RFC3339Nano), was.ModTime.UTC().Format(time.RFC3339Nano), ErrNotPlanned)
	}
	ranges := rangesOf(sh.Parts)
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return err
	}
	for _, r := range ranges {
		if r.CRC32C != sh.CRC32C[r.number] {
			return fmt.Errorf("%s: part %d has other bytes than were planned: %w", s.src, r.number, ErrNotPlanned)
		}
	}
	return nil
}

// enter makes rec, or a new record of the share where it is nil, the ledger's.
func (s *session) enter(ctx context.Context, sh Share, rec *Record) error {
	if rec != nil && rec.State == Corrupt {
		return fmt.Errorf("the checksum of the whole file did not match at the provider: %w", ErrChecksum)
	}
	if rec == nil || rec.State == Delivered || sh.Restart {
		now := time.Now()
		up := sh.Upload
		up.File = s.file
		fresh := Record{Target: s.target, Path: s.file.Path, State: Sending, Started: now, Updated: now, Upload: up}
		if err := s.ledger.begin(ctx, fresh, nil); err != nil {
			return err
		}
	} else {
		s.ledger.use(rec)
		was := rec.Upload.File
		if sh.Name != "" && (!was.ModTime.Equal(s.file.ModTime) || was.ID != s.file.ID) {
			differ, err := s.differing(ctx, *rec)
			if err == nil {
				err = s.ledger.drop(ctx, s.file, differ)
			}
			if err != nil {
				return err
			}
		}
	}
	// The plan may have newer URLs than the journal.
	s.ledger.rec.Presigned = sh.URLs
	s.ledger.rec.Upload.Renewable = sh.Upload.Renewable
	return nil
}

// Stored are the receipts that the journal has of the upload, in its order.
func (p *Plan) Stored() []Receipt {
	rec := p.s.ledger.rec
	var rs []Receipt
	for _, part := range rec.Upload.Parts {
		if rec.Has(part.Number) {
			rs = append(rs, rec.Receipts[part.Number])
		}
	}
	return rs
}

// merge takes the receipts of other machines into the record. All ETags have to
// be the MD5s of their parts, or none.
func (s *session) merge(ctx context.Context, rs []Receipt) error {
	for _, r := range rs {
		if old, ok := s.ledger.rec.Receipts[r.Part]; ok {
			if old.CRC32C != r.CRC32C {
				return fmt.Errorf("part %d was sent with other bytes from this machine than from another: %w", r.Part, ErrChecksum)
			}
		}
		s.ledger.keep(r)
	}
	s.count()
	if bad := s.ledger.mismatched(); len(bad) > 0 {
		return fmt.Errorf("of part %d the store has other bytes than were sent: %w", bad[0], ErrChecksum)
	}
	if len(rs) > 0 {
		if err := s.ledger.receive(ctx, rs); err != nil {
			return err
		}
	}
	// An upload of the file that was begun may have told the provider of some.
	c := s.newCheckpoints(ctx)
	defer c.stop()
	return c.settle(ctx)
}
