package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// DefaultConcurrency is how many parts of a file are sent at once.
const DefaultConcurrency = 8

// Uploader takes files to one provider. Its fields are not changed after the
// first call of Upload, which may be called from several goroutines.
type Uploader struct {
	Provider Provider
	Target   Target // where to; Name and Type are filled in for each file
	Journal  Journal

	// Slots bound what several Uploaders send at once. Whoever calls Upload has
	// taken one, of the rank that is Rank. Nil: Concurrency of its own.
	Slots *Slots
	Rank  int

	Concurrency int              // parts at once; 0: DefaultConcurrency, or as many as there are Slots
	PartSize    int64            // bytes; 0: whatever suits
	Retry       transport.Policy // for each operation; its Patience counts once the provider was reached
	Rate        int64            // bytes per second that the network is held to; 0: not known
	Checksum    Checksum
	Restart     bool // give up what the journal remembers, and begin again
	Resume      bool // go on with what the journal remembers of this very path, or else ErrNothing

	// Observe hears of everything that happens, one event at a time. It must
	// not block. Nil: nobody listens.
	Observe func(Event)
	// Deliver hands the result to whoever asked. What it returned nil for is
	// not delivered again. Nil: the result counts as delivered when Upload
	// returns.
	Deliver func(context.Context, Report) error
}

// Report is what came of one call of Upload, as far as it went.
type Report struct {
	File         File
	Target       Target // where to, in full
	Provider     string
	Upload       string // the provider's name for the upload; empty before there is one
	Result       Result
	Parts        int           // of the plan
	PartsStored  int           // that have a receipt
	PartsReused  int           // of those, stored before this call
	BytesSent    int64         // handed to the network in this call, repeats included
	Elapsed      time.Duration // of this call
	Verification string        // one of the Verified constants, or Unverified
}

// Upload takes one file to the provider and returns when the provider confirmed
// it and the result was delivered. Of f, Path is required; Name and Type are
// found from the file where they are empty.
//
// Calling it again with the same file continues wherever the last call ended,
// in this process or in another. The error wraps one of the sentinels of this
// package, or the context's; whatever it is, nothing that was stored is lost.
// The Report is valid with an error too.
func (u *Uploader) Upload(ctx context.Context, f File) (Report, error) {
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
	src, err := source.Stream(ctx, in, size, s)
	if err != nil {
		return Report{Provider: u.Target.Provider}, err
	}
	f.Path = ""
	return u.uploadFrom(ctx, src, f)
}

// uploadFrom is Upload of a file that is open, which it closes.
func (u *Uploader) uploadFrom(ctx context.Context, src *source.File, f File) (Report, error) {
	defer src.Close()
	r := &run{Uploader: u, started: time.Now()}
	r.budget = &transport.Budget{Most: u.Retry.Retries * (r.concurrency() + 2)}
	r.report.Provider = u.Target.Provider
	err := r.upload(ctx, src, f)
	r.report.BytesSent = r.sent.Load()
	r.report.Elapsed = time.Since(r.started)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return r.report, err
}

// upload prepares the file and its journal entry.
func (r *run) upload(ctx context.Context, src *source.File, f File) (err error) {
	if err = r.prepare(src, f); err != nil {
		return err
	}
	if r.entry, err = r.Journal.Open(ctx, r.target, r.file.Path); err != nil {
		return err
	}
	defer r.entry.Close()

	rec, err := r.entry.Load(ctx)
	found := rec
	if err == nil && (rec == nil || rec.State == Delivered) && !src.Once() {
		if r.Resume {
			return ErrNothing
		}
		rec, err = r.moved(ctx)
	}
	if err == nil && rec != nil {
		rec, err = r.resume(ctx, rec)
	}
	if err != nil {
		return err
	}
	r.explainRecord(found, rec)
	ours := rec == nil // whether the upload is one that this call created
	for err = r.finish(ctx, rec); errors.Is(err, errStartOver) && ctx.Err() == nil; err = r.finish(ctx, nil) {
		if errors.Is(err, ErrExpired) || errors.Is(err, ErrGone) {
			if why := r.again(r.current.Parts); why != nil {
				r.abandon(ctx, *r.current) // of no use, and it may cost somebody something
				return fmt.Errorf("%w (%w)", why, err)
			}
		}
		if r.released {
			return fmt.Errorf("what standard input gave is no longer here to be sent again: %w", err)
		}
		if r.restarted {
			break
		}
		r.warn("%v: starting over", err)
		if !errors.Is(err, ErrGone) {
			r.abandon(ctx, *r.current)
		}
		r.restarted, ours = ours, true
		r.overdue = false
	}
	if errors.Is(err, ErrChanged) {
		err = errors.Join(err, r.distrust(ctx))
	}
	return err
}

// prepare settles what the file is called and where it goes. What the provider is
// known not to take is refused.
func (r *run) prepare(src *source.File, f File) error {
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
	r.src, r.file, r.report.File = src, f, f

	if l, ok := r.Provider.(Limiter); ok {
		r.limits = l.Limits()
	}
	if f.Size < r.limits.MinSize {
		return fmt.Errorf("%s has %d bytes, and the provider takes at least %d: %w", f.Path, f.Size, r.limits.MinSize, ErrLimit)
	}
	if r.limits.MaxSize > 0 && f.Size > r.limits.MaxSize {
		return fmt.Errorf("%s has %d bytes, and the provider takes at most %d: %w", f.Path, f.Size, r.limits.MaxSize, ErrLimit)
	}
	if err := checkPartSize(r.PartSize, r.limits); err != nil {
		return err
	}
	r.target = r.Target
	r.target.Name, r.target.Type = f.Name, asked
	r.report.Target = r.target
	return nil
}

// distrust makes the next run compare every stored part with the file, whatever
// its time says by then: what this run saw must not be forgotten.
func (r *run) distrust(ctx context.Context) error {
	if r.current == nil {
		return nil
	}
	f := r.file
	f.ModTime, f.ID = time.Time{}, ""
	return r.entry.Refresh(context.WithoutCancel(ctx), f)
}
