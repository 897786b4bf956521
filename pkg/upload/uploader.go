package upload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// DefaultConcurrency is how many parts of a file are sent at once.
const DefaultConcurrency = 8

// grace is how long parts on their way may still arrive after the upload was
// told to stop.
const grace = 2 * time.Second

// Uploader takes files to one provider. Its fields are not changed after the
// first call of Upload, which may be called from several goroutines.
type Uploader struct {
	Provider Provider
	Target   Target // where to; Name and Type are filled in for each file
	Journal  Journal

	Concurrency int              // parts at once; 0: DefaultConcurrency
	PartSize    int64            // bytes; 0: whatever suits
	Retry       transport.Policy // for each operation
	Checksum    Checksum
	Restart     bool // give up what the journal remembers, and begin again

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
	r := &run{Uploader: u, started: time.Now()}
	r.report.Provider = u.Target.Provider
	err := r.upload(ctx, f)
	r.report.BytesSent = r.sent.Load()
	r.report.Elapsed = time.Since(r.started)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return r.report, err
}

// upload prepares the file and its journal entry.
func (r *run) upload(ctx context.Context, f File) error {
	src, err := source.Open(f.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	if f.Name == "" {
		f.Name = filepath.Base(f.Path)
	}
	if f.Type == "" {
		f.Type = src.Type(f.Name)
	}
	f.Path, f.Size, f.ModTime = src.Path, src.Info.Size, src.Info.ModTime
	r.src, r.file, r.report.File = src, f, f

	if l, ok := r.Provider.(Limiter); ok {
		r.limits = l.Limits()
	}
	if r.limits.MaxSize > 0 && f.Size > r.limits.MaxSize {
		return fmt.Errorf("%s has %d bytes, and the provider takes at most %d: %w", f.Path, f.Size, r.limits.MaxSize, ErrLimit)
	}
	if err := checkPartSize(r.PartSize, r.limits); err != nil {
		return err
	}
	target := r.Target
	target.Name, target.Type = f.Name, f.Type
	if r.entry, err = r.Journal.Open(ctx, target, f.Path); err != nil {
		return err
	}
	defer r.entry.Close()
	r.target = target

	rec, err := r.entry.Load(ctx)
	if err == nil && (rec == nil || rec.State == Delivered) {
		rec, err = r.moved(ctx)
	}
	if err == nil && rec != nil {
		rec, err = r.resume(ctx, rec)
	}
	if err != nil {
		return err
	}
	if err = r.finish(ctx, rec); errors.Is(err, errStartOver) {
		r.warn("%v; starting over", err)
		err = r.finish(ctx, nil)
	}
	return err
}

// errStartOver: this upload cannot be continued, but a new one may do.
var errStartOver = errors.New("the upload cannot be continued")

// moved finds an unfinished upload of this file under the path it had before:
// another runner checks out elsewhere. Only one whose every stored part is in
// this file is believed.
func (r *run) moved(ctx context.Context) (*Record, error) {
	if r.Restart {
		return nil, nil
	}
	candidates, err := r.Journal.Moved(ctx, r.target, r.file.Size)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if _, err := os.Lstat(c.Path); !errors.Is(err, os.ErrNotExist) || len(c.Receipts) == 0 {
			continue
		}
		differ, err := r.differing(ctx, c)
		if err != nil {
			return nil, err
		}
		if len(differ) > 0 {
			continue
		}
		c.Path, c.Upload.File = r.file.Path, r.file
		if err := r.entry.Adopt(ctx, c); errors.Is(err, ErrBusy) {
			continue
		} else if err != nil {
			return nil, err
		}
		return r.entry.Load(ctx)
	}
	return nil, nil
}

// resume decides what of a record still holds for the file as it is now. A nil
// record means a new upload.
func (r *run) resume(ctx context.Context, rec *Record) (*Record, error) {
	if rec.State == Delivered {
		return nil, nil
	}
	fresh := func(why string) (*Record, error) {
		if rec.State != Done {
			r.warn("%s: starting over", why)
			r.abandon(ctx, rec.Upload)
		}
		return nil, nil
	}
	was := rec.Upload.File
	switch {
	case r.Restart:
		return fresh("restarting as asked")
	case was.Size != r.file.Size:
		return fresh(fmt.Sprintf("the file had %d bytes and has %d", was.Size, r.file.Size))
	case !was.ModTime.Equal(r.file.ModTime):
		differ, err := r.differing(ctx, *rec)
		if err != nil {
			return nil, err
		}
		if len(differ) > 0 && rec.State != Sending {
			return fresh("the file changed since its upload was completed")
		}
		for _, n := range differ {
			if rec.Receipts[n].Checkpointed {
				return fresh("the file changed in a part that the provider no longer lets us replace")
			}
		}
		if err := r.entry.Refresh(ctx, r.file, differ...); err != nil {
			return nil, err
		}
		for _, n := range differ {
			delete(rec.Receipts, n)
		}
		if len(differ) > 0 {
			r.warn("the file changed: %d of its stored parts are sent again", len(differ))
		}
		rec.Upload.File = r.file
	}
	if rec.State == Sending && !rec.Upload.Expires.IsZero() && time.Now().After(rec.Upload.Expires) {
		return fresh(fmt.Sprintf("the upload expired at %s", rec.Upload.Expires.Format(time.RFC3339)))
	}
	return rec, nil
}

// differing are the numbers of the stored parts that the file no longer holds.
func (r *run) differing(ctx context.Context, rec Record) ([]int, error) {
	var (
		mu     sync.Mutex
		differ []int
	)
	g := newGroup(ctx, hashers())
	for _, p := range rec.Upload.Parts {
		receipt, ok := rec.Receipts[p.Number]
		if !ok {
			continue
		}
		g.Go(func() error {
			d, err := r.src.Hash(p.Offset, p.Size, receipt.MD5 != nil, g.ctx.Err)
			if err != nil {
				return err
			}
			if d.CRC32C != receipt.CRC32C || !equal(d.MD5, receipt.MD5) {
				mu.Lock()
				defer mu.Unlock()
				differ = append(differ, p.Number)
			}
			return nil
		})
	}
	return differ, g.Wait()
}

// create opens a new upload and puts it into the journal, with a plan that
// tiles the file.
func (r *run) create(ctx context.Context) (*Record, error) {
	var (
		up     Upload
		grants []Grant
	)
	err := r.retry(ctx, "create upload", func(ctx context.Context) (err error) {
		up, grants, err = r.Provider.Create(ctx, r.file, Want{PartSize: r.PartSize})
		return err
	})
	r.report.Upload = up.ID
	if err != nil {
		if up.ID != "" {
			r.abandon(ctx, up) // it was made, but its plan is of no use
		}
		return nil, err
	}
	if up.Parts == nil {
		up.Parts, err = Split(r.file.Size, r.PartSize, r.limits)
	}
	if err == nil {
		err = Tile(r.file.Size, up.Parts, up.Held)
	}
	if err != nil {
		r.abandon(ctx, up)
		return nil, err
	}
	up.File = r.file
	now := time.Now()
	if !up.Expires.After(now) {
		up.Expires = time.Time{} // over before it began: a clock or the API is wrong, and says nothing
	}
	rec := Record{Target: r.target, Path: r.file.Path, State: Sending, Started: now, Updated: now, Upload: up}
	if !up.Regrant {
		rec.Grants = grants
	}
	if err := r.entry.Begin(ctx, rec); err != nil {
		r.abandon(ctx, up)
		return nil, err
	}
	rec.Grants = grants
	rec.Receipts = make(map[int]Receipt)
	return &rec, nil
}

// abandon gives an upload up at the provider, as well as that can be done: its
// failure is no reason to fail.
func (r *run) abandon(ctx context.Context, up Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace)
	defer cancel()
	if err := r.Provider.Abort(ctx, up); err != nil && !errors.Is(err, ErrGone) {
		r.warn("the provider could not be told to drop upload %s: %v", up.ID, err)
	}
}

// deliver hands a stored outcome over.
func (r *run) deliver(ctx context.Context, rec *Record) error {
	r.report.Result, r.report.Verification = rec.Outcome.Result, rec.Outcome.Verification
	r.report.BytesSent = r.sent.Load()
	r.report.Elapsed = time.Since(r.started)
	r.observe(Ended{r.report})
	if r.Deliver != nil {
		if err := r.Deliver(ctx, r.report); err != nil {
			return fmt.Errorf("%w: %w", ErrUndelivered, err)
		}
	}
	return r.entry.Advance(context.WithoutCancel(ctx), Delivered, nil)
}

// retry tries an operation under the policy. What the policy could not bring
// to an end is unfinished, not failed.
func (r *run) retry(ctx context.Context, op string, send func(context.Context) error) error {
	err := transport.Retry(ctx, r.Retry, func(err error, wait time.Duration) {
		r.observe(Retrying{Op: op, Err: err, Wait: wait})
	}, send)
	return unfinished(err)
}

// unfinished marks an error that passes as one after which to run again.
func unfinished(err error) error {
	var t Temporary
	if errors.As(err, &t) && t.Temporary() && !errors.Is(err, ErrUnfinished) {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return err
}

func (r *run) warn(format string, args ...any) {
	r.observe(Warning{Text: fmt.Sprintf(format, args...)})
}

func (r *run) observe(e Event) {
	if r.Observe == nil {
		return
	}
	r.watching.Lock()
	defer r.watching.Unlock()
	r.Observe(e)
}
