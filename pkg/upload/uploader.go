package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// Uploader uploads files to one provider. Its fields are not changed after the
// first call of a method. The methods may be called from several goroutines.
type Uploader struct {
	Provider Provider
	Target   Target  // where to; Name and Type are filled in for each file
	Journal  Journal // nil: a journal in memory, for one call
	Origin   Origin  // where the provider is described; recorded with a new upload

	// Slots bound what several Uploaders have in flight together. A caller of
	// Upload has taken one, of the rank that is Rank. Nil: Concurrency of its own.
	Slots *Slots
	Rank  int

	Concurrency int              // parts in flight at once, where Slots is nil; 0: as many as fill the link
	PartSize    int64            // bytes; 0: whatever suits
	Retry       transport.Policy // for each request; its RetryFor counts once the provider was reached
	Rate        int64            // bytes per second that the network is held to; 0: not known
	Checksum    Checksum
	Shared      bool // the parts are for other machines to send; see Share
	PartDigests bool // and the digest of each is computed beforehand
	Restart     bool // abort what the journal remembers, and begin again
	Resume      bool // continue what the journal remembers of this very path, or else ErrNothing

	// Observe gets all events, one at a time, from the
	// goroutine that called the method. It must not block. Nil: no observer.
	Observe func(Event)
	// Wait waits after complete until the file is ready, also if the provider does
	// not require that.
	Wait bool
	// SHA256 has that of the file computed for the Report, for which it is read
	// once more when its parts are stored. Where it is no longer what was sent, the
	// result is delivered without, and the error wraps ErrChanged.
	SHA256 bool
	// Deliver hands the result to its user. What it returned nil for is not
	// delivered again. Nil: the result counts as delivered when Finish returns.
	Deliver func(context.Context, Report) error
}

// Report is the result of one call of Upload, as far as it got.
type Report struct {
	File         File
	Target       Target // where to, in full
	Provider     string
	Upload       string // the provider's name for the upload; empty before there is one
	Result       Result
	Parts        int           // of the plan
	PartsStored  int           // that have a receipt
	PartsReused  int           // of those, stored before this call
	Concurrency  int           // the most parts that were in flight at once
	BytesSent    int64         // handed to the network in this call, repeats included
	Elapsed      time.Duration // of this call
	Verification string        // one of the Verified constants, or Unverified
	SHA256       []byte        // of the whole file; nil if it was not asked for, or is not known
}

// Upload uploads one file to the provider and returns when the provider confirmed
// it and the result was delivered: it is Plan, Send and Finish in a row. Of f,
// Path is required; Name and Type are found from the file where they are empty.
//
// Calling it again with the same file continues wherever the last call ended, in
// this process or in another. The error wraps one of the sentinels of this
// package, or the context's cause; whatever it is, nothing that was stored is
// lost. The Report is valid with an error too.
//
// With Resume, f may also be the recorded file of standard input: where its parts
// are stored, the upload is brought to its end.
func (u *Uploader) Upload(ctx context.Context, f File) (Report, error) {
	if u.Resume && (Spool{}).Streamed(f.Path) {
		return u.uploadFrom(ctx, source.Absent(f.Path, source.Info{Size: f.Size, ModTime: f.ModTime, ID: f.ID}), f)
	}
	src, err := source.Open(f.Path)
	if err != nil {
		return Report{Provider: u.Target.Provider}, err
	}
	return u.uploadFrom(ctx, src, f)
}

// Spool is where a stream waits until its parts are stored.
type Spool = source.Spool

// UploadStream is Upload of what in gives, which can be read only once: f.Name
// is required. It must have exactly size bytes; below zero it is read to its end
// first, and all of it has to fit into the spool. A later call does not continue
// it, unless what it gave is then uploaded as a file of the same name.
func (u *Uploader) UploadStream(ctx context.Context, in io.Reader, size int64, s Spool, f File) (Report, error) {
	src, err := u.spool(ctx, in, size, s)
	if err != nil {
		return Report{Provider: u.Target.Provider}, err
	}
	f.Path = ""
	return u.uploadFrom(ctx, src, f)
}

// spool is source.Stream, which tells how much arrived where it reads to the end.
func (u *Uploader) spool(ctx context.Context, in io.Reader, size int64, s Spool) (src *source.File, err error) {
	if size >= 0 || !s.Needed(in) {
		return source.Stream(ctx, in, size, s)
	}
	c := &session{Uploader: u}
	arrived := &arriving{r: in}
	err = c.beside(ctx, func() { c.observe(Arriving{Done: arrived.n.Load(), Of: size}) }, func(ctx context.Context) (err error) {
		src, err = source.Stream(ctx, arrived, size, s)
		return err
	})
	return src, err
}

// arriving counts what is read of a stream.
type arriving struct {
	r io.Reader
	n counter
}

func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	a.n.Add(int64(n))
	return n, err
}

// uploadFrom is Upload of a file that is open, which it closes.
func (u *Uploader) uploadFrom(ctx context.Context, src *source.File, f File) (Report, error) {
	p, err := u.planFrom(ctx, src, f)
	defer p.Close() //nolint:staticcheck // it is there with an error too
	for err == nil {
		if err = p.send(ctx, nil); err == nil {
			err = p.finish(ctx, nil)
		}
		if !errors.Is(err, errStartOver) || ctx.Err() != nil {
			break
		}
		err = p.startOver(ctx, err)
	}
	return p.end(ctx, err)
}

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
		if rec := s.ledger.rec; rec != nil && rec.State == Completing && !errors.Is(err, ErrDoubt) {
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

// Abort aborts an upload at the provider, trying as often as the policy allows.
// One that is already gone is not an error. Where the API has no call for it, the
// error wraps errors.ErrUnsupported. The journal is left alone.
func (u *Uploader) Abort(ctx context.Context, up Upload) error {
	err := u.withoutFile().call(ctx, OpAbort, func(ctx context.Context) error { return u.Provider.Abort(ctx, up) })
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
