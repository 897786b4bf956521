package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// change is one call that writes, waiting to be part of a transaction.
type change struct {
	create bool // it may be the first in a new journal
	// apply makes the change. What it refuses, it refuses before it writes.
	apply func(uploads *bbolt.Bucket) error
	err   error
	done  chan struct{} // closed when err is final
}

// refusal is an error of one change that leaves the others of its transaction
// alone.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// commit makes a change durable, together with those that wait at the same
// time. There is no goroutine that commits: whoever comes first leads, and
// takes along all who came until the transaction ends.
func (j *Journal) commit(ctx context.Context, create bool, apply func(uploads *bbolt.Bucket) error) error {
	if create {
		if err := makePrivate(filepath.Dir(j.path)); err != nil {
			return j.broken("create", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return j.interrupted(err)
	}
	c := &change{create: create, apply: apply, done: make(chan struct{})}
	j.mu.Lock()
	j.queue = append(j.queue, c)
	if j.queued != nil {
		j.queued()
	}
	j.mu.Unlock()

	select {
	case j.turn <- struct{}{}:
		j.lead(ctx, c)
		<-j.turn
	case <-c.done:
	case <-ctx.Done():
		if j.withdraw(c) {
			return j.interrupted(ctx.Err())
		}
		<-c.done // it is being committed
	}
	return c.err
}

// take empties the queue.
func (j *Journal) take() []*change {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.queue
	j.queue = nil
	return taken
}

// withdraw takes a change back, unless it was taken.
func (j *Journal) withdraw(c *change) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.Index(j.queue, c)
	if i < 0 {
		return false
	}
	j.queue = slices.Delete(j.queue, i, i+1)
	return true
}

// lead commits what waits, own among it, unless an earlier leader did. This
// goroutine has the turn.
func (j *Journal) lead(ctx context.Context, own *change) {
	select {
	case <-own.done:
		return
	default:
	}
	var taken []*change
	err := j.transact(ctx, &taken)
	if err != nil && len(taken) == 0 {
		// Nothing was tried. If that is because this caller gave up waiting,
		// the others need not; otherwise none of them would fare better.
		if ctx.Err() != nil && j.withdraw(own) {
			own.err = err
			close(own.done)
			return
		}
		taken = j.take()
	}
	for _, c := range taken {
		if c.err == nil {
			c.err = err
		}
		close(c.done)
	}
}

// transact commits the queue, which it takes as late as it can.
func (j *Journal) transact(ctx context.Context, taken *[]*change) error {
	release, err := j.lock(ctx)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return j.broken("write", errGone) // the directory is
		}
		return err
	}
	defer release()

	found, err := j.ready()
	if err != nil {
		return err
	}
	if !found {
		*taken = j.take()
		if !slices.ContainsFunc(*taken, func(c *change) bool { return c.create }) {
			return j.broken("write", errGone)
		}
		if err := j.create(); err != nil {
			return err
		}
	}
	applied := 0
	return j.access(ctx, true, func(uploads *bbolt.Bucket) (changed bool, err error) {
		for {
			*taken = append(*taken, j.take()...)
			if applied == len(*taken) {
				return changed, nil
			}
			for ; applied < len(*taken); applied++ {
				c := (*taken)[applied]
				err := c.apply(uploads)
				if r := (refusal{}); errors.As(err, &r) {
					c.err = r.error
				} else if err != nil {
					return false, err
				} else {
					changed = true
				}
			}
		}
	})
}

// read lets fn read the journal; where there is none, fn is not called.
func (j *Journal) read(ctx context.Context, fn func(uploads *bbolt.Bucket) error) error {
	if err := j.prepare(); err != nil {
		return err
	}
	if _, err := os.Stat(j.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return j.interrupted(ctx.Err())
	}
	release, err := j.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	found, err := j.ready()
	if err != nil || !found {
		return err
	}
	return j.access(ctx, false, func(uploads *bbolt.Bucket) (bool, error) { return false, fn(uploads) })
}

// ready reports whether there is a journal, and makes sure that bbolt may be
// let at it: in full the first time, and each time that it was not cut off.
// The lock is held.
func (j *Journal) ready() (found bool, err error) {
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, j.broken("read", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return false, j.broken("read", err)
	case !info.Mode().IsRegular():
		return false, j.broken("read", fmt.Errorf("%w: it is no regular file", errForeign))
	case info.Size() == 0:
		return false, nil
	}
	if j.sound != nil && os.SameFile(j.sound, info) {
		m, ok, _, err := findMeta(f)
		if err == nil && ok && m.freelist != noFreelist && m.fits(info.Size()) {
			return true, nil
		}
	}
	j.sound = nil
	switch err := examine(f, info.Size(), false); {
	case errors.Is(err, errDamaged):
		return false, j.condemn(err)
	case err != nil:
		return false, j.broken("read", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		_ = f.Chmod(0o600) // as when another tool restored it; not ours, not our say
	}
	j.sound = info
	return true, nil
}

// create makes an empty journal where there is none. It appears whole, so that
// no kill leaves a half one. The lock is held.
func (j *Journal) create() error {
	fresh := j.path + ".new"
	err := guard(func() error {
		if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		db, err := bbolt.Open(fresh, 0o600, j.options(true))
		if err != nil {
			return err
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte(bucketMeta))
			if err != nil {
				return err
			}
			if err := b.Put([]byte(keyFormat), []byte(formatName)); err != nil {
				return err
			}
			if err := b.Put([]byte(keyVersion), []byte(schemaVersion)); err != nil {
				return err
			}
			if _, err := b.CreateBucket([]byte(bucketStill)); err != nil {
				return err
			}
			_, err = tx.CreateBucket([]byte(bucketUploads))
			return err
		})
		if err := errors.Join(err, db.Close()); err != nil {
			return err
		}
		keepPrivate(fresh)
		return os.Rename(fresh, j.path)
	})
	if err != nil {
		_ = os.Remove(fresh)
		return j.broken("create", err)
	}
	j.syncDir()
	info, err := os.Stat(j.path)
	if err != nil {
		return j.broken("create", err)
	}
	j.sound = info
	return nil
}

// syncDir makes a rename durable where directories can be synced. Where it
// fails, a power cut may undo the rename, and nothing else.
func (j *Journal) syncDir() {
	if j.noSync {
		return
	}
	if d, err := os.Open(filepath.Dir(j.path)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// lockPoll is how long bbolt tries for its own lock at a time. Only another
// program can hold it.
const lockPoll = 100 * time.Millisecond

// options are those of every opening. The list of free pages is stored, though
// that is slower by a page: without it, bbolt looks for free pages in a
// goroutine of its own, whose panic over a damaged file nothing can stop.
func (j *Journal) options(write bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout:      lockPoll,
		ReadOnly:     !write,
		FreelistType: bbolt.FreelistArrayType, // some hundred pages: quicker than a map
		NoStatistics: true,
		NoSync:       j.noSync,
		NoGrowSync:   j.noSync,
	}
}

// access opens the file for one transaction. It commits if fn changed
// anything. The lock is held and the file is in order, as far as known.
func (j *Journal) access(ctx context.Context, write bool, fn func(uploads *bbolt.Bucket) (changed bool, err error)) error {
	var (
		db        *bbolt.DB
		tx        *bbolt.Tx
		committed bool
	)
	err := guard(func() (err error) {
		if db, err = j.open(ctx, write); err != nil {
			return err
		}
		if tx, err = db.Begin(write); err != nil {
			return err
		}
		uploads := tx.Bucket([]byte(bucketUploads))
		if uploads == nil {
			return corruptf("no %s", bucketUploads)
		}
		changed, err := fn(uploads)
		if err != nil || !changed {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		committed = true
		j.commits++
		return nil
	})
	closing := j.shut(db, tx, err)
	switch {
	case committed:
		return nil // whatever closing said
	case err == nil:
		err = closing
	}
	if err == nil {
		return nil
	}
	if suspicious(err) {
		return j.condemn(err)
	}
	op := "read"
	if write {
		op = "write"
	}
	return j.broken(op, err)
}

// open opens the file with bbolt. Unlike bbolt, it creates nothing.
func (j *Journal) open(ctx context.Context, write bool) (*bbolt.DB, error) {
	o := j.options(write)
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		return os.OpenFile(name, flag&^os.O_CREATE, mode)
	}
	for until := time.Now().Add(j.wait()); ; {
		db, err := bbolt.Open(j.path, 0o600, o)
		switch {
		case !errors.Is(err, berrors.ErrTimeout):
			return db, err
		case ctx.Err() != nil:
			return nil, j.interrupted(ctx.Err())
		case time.Now().After(until):
			return nil, j.inUse(j.path)
		}
	}
}

// shut ends the transaction, if it is not committed, and closes the file.
// After a panic bbolt may hold locks of its own for ever; then closing is given
// a moment, and the process is left to end it.
func (j *Journal) shut(db *bbolt.DB, tx *bbolt.Tx, err error) error {
	if db == nil {
		return nil
	}
	shut := func() error {
		if tx != nil {
			_ = tx.Rollback() // an error says that it has ended
		}
		return db.Close()
	}
	var p *panicked
	if !errors.As(err, &p) {
		return guard(shut)
	}
	done := make(chan error, 1)
	go func() { done <- guard(shut) }()
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case err := <-done:
		return err
	case <-moment.C:
		return err
	}
}

// panicked is what bbolt does about a file it does not like.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

// guard runs what touches bbolt. A panic, or a fault in the mapped file,
// becomes an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v}
		}
	}()
	return fn()
}

// suspicious reports whether an error may mean that the file is damaged.
func suspicious(err error) bool {
	var p *panicked
	return errors.As(err, &p) || errors.Is(err, errCorrupt) ||
		errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) ||
		errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrInvalidMapping) ||
		errors.Is(err, berrors.ErrIncompatibleValue)
}

// condemn looks at a file that something seems wrong with once more, reading
// all of it. If it is damaged it is moved aside, where it overwrites nothing.
// The lock is held.
func (j *Journal) condemn(cause error) error {
	j.sound = nil
	verdict := j.inspect()
	switch {
	case verdict == nil:
		return &Error{Path: j.path, Op: "read", Err: cause, Advice: "looked at again it is in order; run again"}
	case !errors.Is(verdict, errDamaged):
		return j.broken("read", verdict)
	}
	aside, err := j.aside()
	if err != nil {
		return &Error{Path: j.path, Op: "read", Err: verdict, Advice: fmt.Sprintf(
			"move it away by hand, for that failed (%v); the parts already stored are still at the provider", err)}
	}
	return &Error{Path: j.path, Op: "read", Err: verdict, Advice: fmt.Sprintf(
		"it was moved to %s; the parts already stored are still at the provider, but the way back to them was in it: running again begins with an empty journal", aside)}
}

// inspect examines the file in full.
func (j *Journal) inspect() error {
	f, err := os.Open(j.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return examine(f, info.Size(), true)
}

// aside moves the file to a name that nothing has.
func (j *Journal) aside() (string, error) {
	base := j.path + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	name := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if err := os.Rename(j.path, name); err != nil {
		return "", err
	}
	keepPrivate(name)
	j.syncDir()
	return name, nil
}
