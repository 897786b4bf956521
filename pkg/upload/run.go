package upload

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// run is one call of Upload.
type run struct {
	*Uploader
	src     *source.File
	file    File
	target  Target
	limits  Limits
	entry   Entry
	started time.Time
	current *Upload // the one that finish has in hand
	sent    atomic.Int64

	storing  sync.Mutex   // guards Record.Receipts while parts are sent, mine, and the counts in report
	mine     map[int]bool // the parts of current that this call stored
	report   Report
	verify   verifier
	unheld   []Receipt // of a source that is read once: their bytes are still kept; guarded by storing
	released bool      // some are not any more; likewise

	pace       pace
	earlier    float64       // the rate of an earlier run, in bytes per second; 0: not known
	want       int64         // the size of parts that we plan for; 0: none in particular
	urlLife    time.Duration // of those of the upload created last that cannot be renewed; 0: not known
	uploadLife time.Duration // of the upload created last; 0: not known
	restarted  bool          // an upload of this call's was given up for another
	overdue    bool          // by this machine's clock the upload has ended

	budget  *transport.Budget
	reached atomic.Bool               // the provider was, in this call
	gone    atomic.Pointer[time.Time] // since when it cannot be
	outage  atomic.Int64              // when that was said, in Unix seconds
	skewed  atomic.Bool               // a difference between the clocks was told of

	watching sync.Mutex // one event at a time
}

// errStartOver: this upload cannot be continued, but a new one may do.
var errStartOver = errors.New("the upload cannot be continued")

// lost turns the errors by which the provider says that an upload cannot go on
// into the one that starts over.
func (r *run) lost(err error) error {
	if end := r.current.Expires; !end.IsZero() && !time.Now().Before(end) && errors.Is(err, ErrRefused) {
		return fmt.Errorf("the upload expired at %s: %w: %w: %w", end.Format(time.RFC3339), errStartOver, ErrExpired, err)
	}
	if errors.Is(err, ErrGone) || (errors.Is(err, ErrExpired) && !errors.Is(err, ErrUnfinished)) {
		return fmt.Errorf("%w: %w", errStartOver, err)
	}
	return err
}

// finish takes an upload from wherever it is to its end. A nil record is one
// that is still to be created.
func (r *run) finish(ctx context.Context, rec *Record) error {
	if rec == nil {
		var err error
		if rec, err = r.create(ctx); err != nil {
			return err
		}
	}
	r.current = &rec.Upload
	r.verify = verifier{}
	r.mine = make(map[int]bool)
	r.report.Upload = rec.Upload.ID
	r.report.Parts = len(rec.Upload.Parts)
	r.count(rec)
	switch rec.State {
	case Sending:
		if err := r.send(ctx, rec); err != nil {
			return err
		}
	case Completing:
		r.judgeAll(rec)
		if err := r.hashUnhashed(ctx, rec); err != nil {
			return err
		}
	}
	if rec.State != Done {
		if err := r.complete(ctx, rec); err != nil {
			return err
		}
	}
	return r.deliver(ctx, rec)
}

// deliver hands a stored outcome over. It is not stopped any more: what was
// asked for is there.
func (r *run) deliver(ctx context.Context, rec *Record) error {
	ctx = context.WithoutCancel(ctx)
	if rec.Outcome == nil {
		return fmt.Errorf("%w: it says that the upload is done, and not what came of it", ErrJournal)
	}
	r.report.Result, r.report.Verification = rec.Outcome.Result, rec.Outcome.Verification
	r.report.BytesSent = r.sent.Load()
	r.report.Elapsed = time.Since(r.started)
	r.observe(Finished{r.report})
	if r.Deliver != nil {
		if err := r.Deliver(ctx, r.report); err != nil {
			return fmt.Errorf("%w: %w", ErrUndelivered, err)
		}
	}
	return r.entry.Advance(ctx, Delivered, nil)
}

// concurrency is how many parts are sent at once.
func (r *run) concurrency() int {
	if r.Concurrency <= 0 && r.Slots != nil {
		return r.Slots.n
	}
	if r.Concurrency <= 0 {
		return DefaultConcurrency
	}
	return r.Concurrency
}

func (r *run) warn(format string, args ...any) {
	r.observe(Warning{Text: fmt.Sprintf(format, args...)})
}

// note tells of a decision, to whoever asked to be told.
func (r *run) note(format string, args ...any) {
	r.observe(Note{Text: fmt.Sprintf(format, args...)})
}

func (r *run) observe(e Event) {
	if r.Observe == nil {
		return
	}
	r.watching.Lock()
	defer r.watching.Unlock()
	r.Observe(e)
}
