package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// Plan is an upload that is in the journal, and whose parts may be sent. It is
// for one goroutine, and is to be closed: until then no other process has it.
type Plan struct {
	File      File
	Target    Target
	Upload    Upload
	Presigned []Presigned // that came with it, if any
	Next      Step        // what is to be done with it

	s *session
}

// Plan opens an upload of a file at the provider, or finds the one that the
// journal has, and returns it with what is known of it.
func (u *Uploader) Plan(ctx context.Context, f File) (*Plan, error) {
	src, err := source.Open(f.Path)
	if err != nil {
		return nil, err
	}
	p, err := u.planFrom(ctx, src, f)
	if err != nil {
		_, err = p.end(ctx, err)
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// planFrom is Plan of a file that is open, which the plan closes. The plan is
// there with an error too.
func (u *Uploader) planFrom(ctx context.Context, src *source.File, f File) (p *Plan, err error) {
	p = new(Plan)
	if p.s, err = u.newSession(src, f); err != nil {
		return p, err
	}
	if p.s.ledger.entry, err = p.s.Journal.Open(ctx, p.s.target, p.s.file.Path); err != nil {
		return p, err
	}
	if err = p.s.find(ctx); err == nil && p.s.ledger.rec == nil {
		err = p.s.create(ctx)
	} else if rec := p.s.ledger.rec; err == nil && !u.Shared && rec.State == Sending && rec.Upload.Planned && len(rec.Receipts) == 0 {
		err = p.s.keepStored(ctx)
	}
	if err == nil {
		p.show()
	}
	return p, err
}

// show makes what is known of the upload visible.
func (p *Plan) show() {
	rec := p.s.ledger.rec
	p.s.use()
	p.File, p.Target, p.Upload, p.Presigned = p.s.file, p.s.target, rec.Upload, rec.Presigned
	p.Next, _ = Next(rec, p.s.file)
	if rec.State == Completing {
		p.s.observe(Unclear{Is: true, Report: p.s.report}) // as an earlier run left it
	}
}

// Close releases the upload. It stays in the journal.
func (p *Plan) Close() error {
	err := p.s.src.Close()
	if p.s.ledger.entry != nil {
		err = errors.Join(err, p.s.ledger.entry.Close())
	}
	return err
}

// end is the report of the session so far, with the error as callers get it.
func (p *Plan) end(ctx context.Context, err error) (Report, error) {
	s := p.s
	s.report.Elapsed, s.report.Concurrency = time.Since(s.started), s.Slots.Most()
	if errors.Is(err, ErrChanged) {
		// What this run saw must not be forgotten.
		err = errors.Join(err, s.ledger.compareNext(ctx))
	}
	if errors.Is(err, ErrRefused) && s.ours && !s.shared {
		err = errors.Join(err, s.forgetNothing(context.WithoutCancel(ctx)))
	}
	if err != nil && ctx.Err() != nil {
		// A clear answer that could not be recorded is a failure of the journal.
		if rec := s.ledger.rec; rec != nil && rec.State == Completing && !errors.Is(err, ErrDoubt) && !errors.Is(err, ErrJournal) {
			err = fmt.Errorf("%w: the final request got no clear answer before: %w", ErrDoubt, err)
		}
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return s.report, err
}

// forgetNothing removes an upload from the journal of which the provider has nothing:
// nothing was sent to create it, and no part is stored.
func (s *session) forgetNothing(ctx context.Context) error {
	rec := s.ledger.rec
	f, can := s.ledger.entry.(Forgetter)
	if !can || rec == nil || rec.State != Sending || len(rec.Receipts) > 0 || !s.signs(OpCreate, rec.Upload) {
		return nil
	}
	return f.Forget(ctx)
}

// Send stores those of the given parts that have no receipt, nil for all parts,
// and returns the receipts of the given parts. An error is as of Upload.
func (u *Uploader) Send(ctx context.Context, p *Plan, parts []Part) ([]Receipt, error) {
	if err := p.send(ctx, parts); err != nil {
		_, err = p.end(ctx, err)
		return nil, err
	}
	rec := p.s.ledger.rec
	if parts == nil {
		parts = rec.Upload.Parts
	}
	rs := make([]Receipt, 0, len(parts))
	for _, part := range parts {
		if r, ok := rec.Receipts[part.Number]; ok {
			rs = append(rs, r)
		}
	}
	return rs, nil
}

func (p *Plan) send(ctx context.Context, parts []Part) error {
	if p.s.ledger.rec.Upload.Whole {
		return nil // Finish sends it
	}
	switch p.s.ledger.rec.State {
	case Sending:
		return p.s.send(ctx, parts)
	case Completing:
		p.s.ledger.mismatched()
		return p.s.hashUnhashed(ctx)
	}
	return nil
}

// Finish completes an upload all of whose parts are stored, with the receipts
// that the journal has and those that are given, and delivers the result. An
// error is as of Upload.
func (u *Uploader) Finish(ctx context.Context, p *Plan, rs []Receipt) (Report, error) {
	return p.end(ctx, p.finish(ctx, rs))
}

func (p *Plan) finish(ctx context.Context, rs []Receipt) error {
	s := p.s
	if (len(rs) > 0 || s.joined) && s.ledger.rec.State == Sending {
		if err := s.merge(ctx, rs); err != nil {
			return err
		}
	}
	if s.ledger.rec.State != Done {
		if err := s.complete(ctx); err != nil {
			return err
		}
	}
	if err := s.waitIfAsked(ctx); err != nil {
		return err
	}
	var changed error
	if s.SHA256 {
		if changed = s.sha256(ctx); changed != nil && !errors.Is(changed, ErrChanged) {
			return changed
		}
	}
	return errors.Join(s.deliver(ctx), changed)
}

// startOver replaces an upload that cannot continue by a new one, where this call
// did not do so before. Its error says why not.
func (p *Plan) startOver(ctx context.Context, why error) error {
	s, up := p.s, p.s.ledger.rec.Upload
	if done, err := s.completedElsewhere(ctx, why); done || err != nil {
		return err
	}
	if errors.Is(why, ErrExpired) || errors.Is(why, ErrGone) {
		if err := s.mayStartOver(up.Parts); err != nil {
			s.abandon(ctx, up) // orphaned parts are billed
			return fmt.Errorf("%w (%w)", err, why)
		}
	}
	if s.released || s.src.Absent() {
		return fmt.Errorf("the data from standard input is gone and cannot be sent again: %w", why)
	}
	if s.restarted {
		return why
	}
	s.observe(StartingOver{Reason: Ended, Err: why})
	if !errors.Is(why, ErrGone) && !errors.Is(why, ErrCompleted) {
		s.abandon(ctx, up)
	}
	s.restarted, s.overdue = s.ours, false
	if err := s.create(ctx); err != nil {
		return err
	}
	p.show()
	return nil
}
