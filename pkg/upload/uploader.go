package upload

import (
	"context"
	"errors"
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
