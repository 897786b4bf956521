package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// Batch uploads several files concurrently: a file gets the slots that the files
// before it do not use. All files are tried: a failed file does not stop the others.
type Batch struct {
	// Concurrency is how many parts of all files together are in flight; 0: as
	// many as fill the link.
	Concurrency int
}

// Job is one file of a Batch.
type Job struct {
	File File // as of Uploader.Upload

	// In is uploaded in place of File.Path where it is not nil, as UploadStream
	// does with Size and Spool.
	In    io.Reader
	Size  int64
	Spool Spool

	// Open returns the Uploader of the file. The goroutine that called Batch.Upload
	// calls it when the file begins, so it should not take long.
	// Several jobs may share an Uploader: Slots, Rank and Concurrency are the
	// batch's. Deliver is called one file at a time, in the order of the jobs.
	Open func(context.Context) (*Uploader, error)

	// Done is called with the outcome as soon as the file has ended, one call at a
	// time, not in the order of the jobs. It may be nil.
	Done func(Report, error)
}

// ErrStop means, if an error of Open, Upload or Deliver wraps it, that every other
// file would fail the same way: the Batch begins no further file and delivers no
// further result.
var ErrStop = errors.New("no further file is started")

// ahead is how many files per slot may wait for delivery after they are done. Each
// has two files open.
const ahead = 8

// Upload uploads the files of the jobs and returns the first error that occurred.
// It takes the next job when the one before has begun, and keeps nothing of a job
// that is done, so that there may be millions. When ctx ends or an error is ErrStop,
// the files that have begun are finished, and no further file is started.
func (b *Batch) Upload(ctx context.Context, jobs iter.Seq[Job]) error {
	r := &batchRun{slots: NewSlots(b.Concurrency), calls: make(chan func()), stopped: make(chan struct{})}
	var owner sync.WaitGroup
	owner.Go(func() {
		for call := range r.calls {
			call()
		}
	})
	open := make(chan struct{}, ahead*r.slots.Len())
	var all sync.WaitGroup
	turn := make(chan struct{}) // closed when the file before is done
	close(turn)
	rank := 0
	for job := range jobs {
		open <- struct{}{}
		if err := r.slots.Take(ctx, rank); err != nil {
			all.Wait()
			r.done(job, Report{}, err)
			break
		}
		if r.isStopped() {
			r.slots.Give()
			break
		}
		u, err := job.Open(ctx)
		if err != nil {
			r.slots.Give()
			<-open
			r.done(job, Report{}, err)
			continue
		}
		mine, next := turn, make(chan struct{})
		turn = next
		own := *u
		own.Slots, own.Rank = r.slots, rank
		rank++
		all.Go(func() {
			defer func() { <-open }()
			defer close(next)
			r.upload(ctx, job, &own, mine)
			<-mine
		})
	}
	all.Wait()
	close(r.calls)
	owner.Wait()
	return r.first
}

// batchRun is one call of Batch.Upload. One goroutine, the owner, reports the jobs
// that ended and holds the state.
type batchRun struct {
	slots   *Slots
	calls   chan func()   // functions for the owner to run
	stopped chan struct{} // closed by the owner: nothing more is begun or delivered
	first   error         // the owner's
}

// do runs call in the owner and waits for it.
func (r *batchRun) do(call func()) {
	done := make(chan struct{})
	r.calls <- func() {
		defer close(done)
		call()
	}
	<-done
}

// upload uploads one file; turn is closed when it is its turn to be delivered.
func (r *batchRun) upload(ctx context.Context, job Job, u *Uploader, turn <-chan struct{}) {
	give := sync.OnceFunc(r.slots.Give)
	defer give()
	deliver := u.Deliver
	u.Deliver = func(ctx context.Context, rep Report) error {
		// A file that waits for its turn needs no slot. A file that is delivered
		// keeps its slot, so that no other file begins if delivery fails.
		select {
		case <-turn:
		default:
			give()
			<-turn
		}
		if r.isStopped() {
			return ErrStop
		}
		if deliver == nil {
			return nil
		}
		err := deliver(ctx, rep)
		if errors.Is(err, ErrStop) {
			r.do(r.stop) // before the next one's turn
		}
		return err
	}
	var rep Report
	var err error
	if job.In != nil {
		rep, err = u.UploadStream(ctx, job.In, job.Size, job.Spool, job.File)
	} else {
		rep, err = u.Upload(ctx, job.File)
	}
	r.done(job, rep, err)
}

// done reports the outcome of a job.
func (r *batchRun) done(job Job, rep Report, err error) {
	r.do(func() {
		if errors.Is(err, ErrStop) {
			r.stop()
		}
		if err != nil && r.first == nil {
			r.first = fmt.Errorf("%s: %w", cmp.Or(job.File.Path, job.File.Name), err)
		}
		if job.Done != nil {
			job.Done(rep, err)
		}
	})
}

// stop is called by the owner.
func (r *batchRun) stop() {
	if !r.isStopped() {
		close(r.stopped)
	}
}

func (r *batchRun) isStopped() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}
