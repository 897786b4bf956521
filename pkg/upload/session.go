package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// session is what the phases of one call for one file share. It belongs to the
// goroutine that made the call.
type session struct {
	*Uploader
	src     *source.File
	file    File
	target  Target
	limits  Limits
	started time.Time
	ledger  ledger
	report  Report

	reach  reach
	budget *transport.Budget
	meter  meter

	earlier    float64       // the rate of an earlier run, in bytes per second; 0: not known
	hint       int64         // the part size that is planned for; 0: none in particular
	urlLife    time.Duration // of URLs of the last upload created that cannot be renewed; 0: not known
	uploadLife time.Duration // of the upload created last; 0: not known
	ours       bool          // the upload was created by this call
	shared     bool          // another machine completes the upload
	joined     bool          // others sent parts of it
	restarted  bool          // one that this call created was replaced
	compared   bool          // the file is not certainly the one that the upload was created for
	overdue    bool          // by this machine's clock the upload has ended
	released   bool          // some bytes of a stream are no longer here
	unsent     bool          // the request that was answered last was not sent
	skewTold   bool
}

// errStartOver: this upload cannot be continued, but a new one may do.
var errStartOver = errors.New("the upload cannot be resumed")

// newSession settles what the file is called and where it goes. What the
// provider is known not to take is refused.
func (u *Uploader) newSession(src *source.File, f File) (*session, error) {
	own := *u
	if own.Journal == nil {
		own.Journal = new(Memory)
	}
	if own.Slots == nil {
		own.Slots = NewSlots(u.Concurrency)
		own.Slots.taken = 1 // as the caller's of Upload
	}
	own.Slots.limit(u.Rate)
	s := &session{Uploader: &own, src: src, started: time.Now()}
	s.budget = &transport.Budget{Most: u.Retry.Retries * (s.concurrency() + 2)}
	s.report.Provider = u.Target.Provider
	if f.Name == "" {
		f.Name = filepath.Base(cmp.Or(f.Path, src.Path))
	}
	// Only a type that was asked for tells uploads apart: a guess may be made
	// from the first bytes, and these may change.
	asked := f.Type
	if f.Type == "" {
		f.Type = src.Type(f.Name)
	}
	f.Path, f.Size, f.ModTime, f.ID = src.Path, src.Info.Size, src.Info.ModTime, src.Info.ID
	s.report.File = f
	if !src.Once() {
		f.Content = content{src, new(counter)}
	}
	s.file = f
	s.target = u.Target
	s.target.Name, s.target.Type = f.Name, asked
	s.report.Target = s.target
	if l, ok := u.Provider.(Limiter); ok {
		s.limits = l.Limits()
	}
	if f.Size < s.limits.MinSize {
		return s, fmt.Errorf("%s has %d bytes, and the provider takes at least %d: %w", src, f.Size, s.limits.MinSize, ErrLimit)
	}
	if s.limits.MaxSize > 0 && f.Size > s.limits.MaxSize {
		return s, fmt.Errorf("%s has %d bytes, and the provider takes at most %d: %w", src, f.Size, s.limits.MaxSize, ErrLimit)
	}
	return s, checkPartSize(s.PartSize, s.limits)
}

// withoutFile is a session for requests about an upload whose file is not read.
func (u *Uploader) withoutFile() *session {
	own := *u
	own.Slots = NewSlots(1)
	s := &session{Uploader: &own, started: time.Now(), budget: &transport.Budget{Most: u.Retry.Retries}}
	if l, ok := u.Provider.(Limiter); ok {
		s.limits = l.Limits()
	}
	return s
}

// use makes a record the one that this session is about.
func (s *session) use() {
	up := s.ledger.rec.Upload
	s.report.Upload, s.report.Parts = up.ID, len(up.Parts)
	s.count()
}

// count brings the report up to date.
func (s *session) count() {
	s.report.PartsStored = s.ledger.rec.stored()
	s.report.PartsReused = s.report.PartsStored - len(s.ledger.mine)
}

// lost turns the errors by which the provider says that an upload cannot
// continue into the one that starts over.
func (s *session) lost(err error) error {
	if errors.Is(err, ErrCompleted) && !s.ours {
		return fmt.Errorf("%w: %w", errStartOver, err)
	}
	if end := s.ledger.rec.Upload.Expires; !end.IsZero() && !s.latest().Before(end) && errors.Is(err, ErrRefused) {
		return fmt.Errorf("the upload expired at %s: %w: %w: %w", end.Format(time.RFC3339), errStartOver, ErrExpired, err)
	}
	if errors.Is(err, ErrGone) || (errors.Is(err, ErrExpired) && !errors.Is(err, ErrUnfinished)) {
		return fmt.Errorf("%w: %w", errStartOver, err)
	}
	return err
}

// latest is what time it is by this machine's clock or by the provider's,
// whichever is ahead.
func (s *session) latest() time.Time {
	now := time.Now()
	if c, ok := s.Provider.(Clock); ok {
		if skew, ok := c.Skew(); ok && skew < 0 {
			return now.Add(-skew)
		}
	}
	return now
}

// unchanged makes certain, when all parts are stored, that they are of one
// version of the file. Where something was done to it that its time does not
// show, the stored parts are compared with it.
func (s *session) unchanged(ctx context.Context) error {
	if err := s.src.Same(); err != nil || !s.src.Touched() {
		return err
	}
	differ, err := s.differing(ctx, *s.ledger.rec)
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("%s: %w: %d of its stored parts are of an older version", s.src, ErrChanged, len(differ))
	}
	return err
}

// concurrency is how many parts are in flight at once, as things stand.
func (s *session) concurrency() int { return s.Slots.Len() }

// changed tells of another concurrency.
func (s *session) changed(c Concurrency, changed bool) {
	if changed {
		s.observe(c)
	}
}

func (s *session) observe(e Event) {
	if s.Observe != nil {
		s.Observe(e)
	}
}
