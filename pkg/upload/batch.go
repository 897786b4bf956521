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

// Batch uploads several files, side by side as far as the parts of those before
// leave slots free. All files are tried: one that fails stops no other.
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

	// Open makes what uploads the file when its turn comes. It is called by the
	// goroutine that called Batch.Upload, and should not take long.
	// Several jobs may share an Uploader: Slots, Rank and Concurrency are the
	// batch's. Deliver is called one file at a time, in the order of the jobs.
	Open func(context.Context) (*Uploader, error)

	// Done is told what came of it, one call at a time, as soon as it ended:
	// not in the order of the jobs. Nil: nothing is told.
	Done func(Report, error)
}

// ErrStop says, where an error of Open, Upload or Deliver wraps it, that every
// other file would fail the same way: a Batch begins no further file, and delivers
// no further result.
var ErrStop = errors.New("no further file is begun")

// ahead is how many files may be done, for each slot, and wait for their turn to
// be delivered: each has two files open.
const ahead = 8

// Upload uploads the files of the jobs and returns the first error that occurred.
// A job is asked for when the one before has begun, and nothing of it is kept
// when it is done, so that there may be millions. When ctx ends or an error is
// ErrStop, what has begun is brought to its end, and nothing more is begun.
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

// batchRun is one call of Batch.Upload. One goroutine tells what ended, and owns what
// is known of it.
type batchRun struct {
	slots   *Slots
	calls   chan func()   // what the owner does next
	stopped chan struct{} // closed by the owner: nothing more is begun or delivered
	first   error         // the owner's
}

// do has the owner do something, and waits for it.
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
		// What waits for its turn needs no slot. What delivers keeps it: should
		// that fail, no other file has begun in its place.
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

// done tells what came of a job.
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
