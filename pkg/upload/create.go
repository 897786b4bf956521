package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// create opens a new upload and puts it into the journal, with a plan that tiles
// the file.
func (s *session) create(ctx context.Context) error {
	s.foresee(s.limits.URLLife, 0)
	if s.limits.ReadsAhead {
		s.observe(ReadsAhead{})
	}
	up, urls, err := s.open(ctx)
	if err != nil {
		return err
	}
	if end := firstExpiry(urls, up.Parts); !up.Renewable && !end.IsZero() && s.foresee(time.Until(end), tail(up.Parts, s.concurrency())) {
		s.abandon(ctx, up)
		if up, urls, err = s.open(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	if !up.Expires.After(now) {
		up.Expires = time.Time{} // over before it began: a clock or the API is wrong, and says nothing
	}
	rec := Record{Target: s.target, Path: s.file.Path, State: Sending, Started: now, Updated: now, Upload: up}
	// An upload that the provider opened is recorded also after a signal.
	if err := s.ledger.begin(context.WithoutCancel(ctx), rec, urls); err != nil {
		s.abandon(ctx, up)
		return err
	}
	s.ours, s.uploadLife, s.urlLife = true, 0, 0
	if !up.Expires.IsZero() {
		s.uploadLife = time.Until(up.Expires)
	}
	if end := firstExpiry(urls, up.Parts); !up.Renewable && !end.IsZero() {
		s.urlLife = time.Until(end)
	}
	return s.keepStored(ctx)
}

// open has the provider open an upload, whose plan tiles the file.
func (s *session) open(ctx context.Context) (up Upload, urls []Presigned, err error) {
	// An answer that is under way when the upload is told to stop may still come:
	// the provider may have an upload then, which the user has to know.
	answering, stop := afterGrace(ctx)
	defer stop()
	var begun Upload
	err = s.call(ctx, OpCreate, func(context.Context) error {
		err := s.beside(answering, s.readAhead, func(ctx context.Context) (err error) {
			up, urls, err = s.Provider.Create(ctx, s.file, Hint{PartSize: roundPart(cmp.Or(s.PartSize, s.hint), s.limits), Shared: s.Shared, Digests: s.PartDigests, Begun: begun})
			return err
		})
		s.unsent = err == nil && s.signs(OpCreate, up)
		switch {
		case err == nil:
		case up.Begun:
			begun = up
		case up.ID != "":
			s.abandon(ctx, up) // it was opened, and cannot be used
			begun = Upload{}
		}
		return err
	})
	if err != nil {
		if begun.ID != "" {
			s.abandon(ctx, begun)
		}
		return Upload{}, nil, err
	}
	s.lookAtClock()
	s.report.Upload = up.ID
	up.File, up.Asked, up.Origin = s.file, s.PartSize, s.Origin
	if err = s.check(&up, urls); err != nil {
		s.abandon(ctx, up)
		return Upload{}, nil, err
	}
	return up, urls, nil
}

// check checks the provider's plan, or makes one where it has none.
func (s *session) check(up *Upload, urls []Presigned) (err error) {
	if (up.Digest == DigestSHA1 || up.Digest == DigestSHA256) && s.src.Once() {
		return fmt.Errorf("the provider requires the %s of the whole file, for which standard input would have to be read twice: %w", up.Digest, ErrLimit)
	}
	ours := up.Parts == nil && len(up.Existing) == 0
	if ours {
		if up.Parts, err = Split(s.file.Size, s.partSize(), s.limits); err != nil {
			return err
		}
	}
	if err := Tile(s.file.Size, up.Parts, up.Existing); err != nil {
		return err
	}
	for _, p := range up.Parts {
		if p.Size > s.src.Room() {
			return fmt.Errorf("part %d has %d bytes, but the spool holds only %d: %w", p.Number, p.Size, s.src.Room(), ErrPartSize)
		}
	}
	if s.PartSize > 0 && len(up.Parts) > 1 && up.Parts[0].Size != s.PartSize {
		e := PartSizeIgnored{Asked: s.PartSize, Has: up.Parts[0].Size}
		if roundPart(e.Asked, s.limits) == e.Has {
			e.Multiple = s.limits.Multiple
		}
		s.observe(e)
	}
	made := PlanMade{
		Upload: up.ID, Parts: len(up.Parts), Client: ours || up.Whole || !s.limits.Plans, Existing: len(up.Existing),
		URLs: len(urls), Renewable: up.Renewable, NoRequest: s.signs(OpPresign, *up), Expires: up.Expires,
	}
	if len(up.Parts) > 0 {
		made.PartSize = up.Parts[0].Size
	}
	s.observe(made)
	if len(up.Existing) > 0 && up.Digest == "" {
		return fmt.Errorf("the provider already has parts of this file, but compares no checksum of the whole file: %w", ErrUnverified)
	}
	if up.Renewable {
		return nil
	}
	signed := make(map[int]bool, len(urls))
	for _, u := range urls {
		signed[u.Part] = true
	}
	for _, p := range up.Parts {
		if !signed[p.Number] {
			return fmt.Errorf("there is no presigned URL for part %d, and this provider issues no new ones: %w", p.Number, ErrReply)
		}
	}
	return nil
}

// abandon aborts an upload that is not continued, as well as that can be done:
// its failure is not a reason to fail; again says that another run may try. One
// that was there before this client came may be another's, and is left alone.
func (s *session) abandon(ctx context.Context, up Upload) (again bool) {
	if up.Aborted || up.TakenOver || len(up.Existing) > 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace)
	defer cancel()
	s.observe(Aborting{Upload: up.ID})
	err := s.Provider.Abort(ctx, up)
	switch {
	case err == nil, errors.Is(err, ErrGone), errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, ErrCompleted):
		s.observe(AbortTooLate{Upload: up.ID})
	default:
		s.observe(AbortFailed{Upload: up.ID, Err: err})
		return true
	}
	return false
}

// lookAtClock tells of a clock that is wrong, once. Expiry times are read as the
// provider means them; what else goes wrong with such a clock (TLS, the times of
// a signature) shows as errors that do not name it.
func (s *session) lookAtClock() {
	c, ok := s.Provider.(Clock)
	if !ok {
		return
	}
	skew, ok := c.Skew()
	if ok && skew.Abs() >= transport.MaxSkew && !s.skewTold {
		s.skewTold = true
		s.observe(ClockSkew{Skew: skew})
	}
}
