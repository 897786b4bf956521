package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/multiput/multiput/pkg/upload"
)

// lockTimeout is how long opening waits for the lock: long enough for a process that
// only reads the file, as list does, but not for another upload.
const lockTimeout = 500 * time.Millisecond

// file is an open ID.db, locked.
type file struct {
	db     *bbolt.DB
	f      *os.File // bbolt's own
	info   os.FileInfo
	broken bool // bbolt panicked: it may hold locks of its own forever
	fresh  bool // nothing of it is on the disk for sure
}

// panicError is what bbolt does about a file it does not like.
type panicError struct{ value any }

// Error leaves out what Go's runtime says of a fault: to a user it is a page that
// refers to where nothing is.
func (p *panicError) Error() string {
	if _, fault := p.value.(runtime.Error); fault {
		return "one of its pages is damaged or missing"
	}
	return fmt.Sprint(p.value)
}

// guard runs what touches bbolt. A panic, or a fault in the mapped file, becomes
// an error.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return fn()
}

// openDB opens a file with bbolt, which locks it. The list of free pages is
// stored, though that costs a page: without it, bbolt looks for free pages in a
// goroutine of its own, whose panic over a damaged file nothing can stop.
func (j *Journal) openDB(path string, write, create bool, wait time.Duration) (d *file, err error) {
	d = &file{}
	if create {
		j.trace(Step{Kind: Create, Path: path})
	}
	err = guard(func() (err error) {
		d.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: wait, ReadOnly: !write, FreelistType: bbolt.FreelistArrayType, NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
				if !create {
					flag &^= os.O_CREATE
				}
				if d.f, err = os.OpenFile(name, flag, mode); err != nil {
					return nil, err
				}
				switch d.info, err = d.f.Stat(); {
				case err != nil:
				case d.info.Size() == 0 && write:
					d.fresh = true
					err = j.writeImage(d.f)
				case d.info.Size() < 2*minPage:
					err = damagedf("it has only %d bytes", d.info.Size())
				}
				return d.f, err
			},
		})
		return err
	})
	if err != nil {
		if d.f != nil {
			_ = d.f.Close() // bbolt did, unless it panicked
		}
		return d, asDamage(err)
	}
	return d, nil
}

// minPage is the least size of a page of bbolt's.
const minPage = 1 << 12

// imagePages is how many pages an upload of a few parts comes to need: a file
// that has them from the beginning does not grow, which is a sync of its own.
const imagePages = 16

// writeImage makes an empty file one of bbolt, by a copy of what bbolt itself made
// of another: bbolt syncs the beginning of a file that holds nothing yet. It does
// nothing where the file cannot be locked here, or is locked: bbolt will tell.
func (j *Journal) writeImage(f *os.File) error {
	j.mu.Lock()
	image := j.image
	j.mu.Unlock()
	if image == nil || !tryLock(f) {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		return err
	}
	j.trace(Step{Kind: Write, Path: f.Name(), Data: image})
	_, err := f.WriteAt(image, 0)
	if err != nil {
		err = errors.Join(err, f.Truncate(0))
	}
	return err
}

// keepImage remembers what bbolt made of an empty file, and gives that its pages.
func (j *Journal) keepImage(d *file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if info, err := d.f.Stat(); j.image == nil && err == nil {
		image := make([]byte, imagePages*os.Getpagesize())
		size := min(info.Size(), int64(len(image)))
		if _, err := d.f.ReadAt(image[:size], 0); err == nil {
			_, _ = d.f.WriteAt(image[size:], size) // or it grows when it has to
			j.image = image
		}
	}
}

// close gives the file back, and its lock. After a panic bbolt may wait for
// itself; then only the file is closed, and the kernel drops the lock.
func (d *file) close() error {
	if d.broken {
		return d.f.Close()
	}
	return guard(d.db.Close)
}

// view lets fn read.
func (d *file) view(fn func(tx *bbolt.Tx) error) error {
	return d.do(false, fn)
}

// update commits what fn writes. A transaction that comes to nothing leaves the
// file as it was.
func (d *file) update(fn func(tx *bbolt.Tx) error) error {
	return d.do(true, fn)
}

func (d *file) do(write bool, fn func(tx *bbolt.Tx) error) error {
	if d.broken {
		return errDamaged
	}
	err := guard(func() error {
		tx, err := d.db.Begin(write)
		if err != nil {
			return err
		}
		if !write { // a page that is cut off cannot be read
			if info, err := d.f.Stat(); err != nil || info.Size() < tx.Size() {
				return errors.Join(err, damagedf("it is cut off"), tx.Rollback())
			}
		}
		if err := fn(tx); err != nil || !write {
			return errors.Join(err, tx.Rollback())
		}
		if !d.db.NoSync {
			d.grow(tx.Size())
		}
		return tx.Commit()
	})
	var (
		p     *panicError
		errno syscall.Errno
	)
	if d.broken = errors.As(err, &p); write && err != nil && !d.broken && !errors.As(err, &errno) {
		err = errors.Join(err, d.room())
	}
	return asDamage(err)
}

// pad gives a file that did not have to grow in order the length that bbolt counts
// on.
func (d *file) pad() error {
	return guard(func() error {
		tx, err := d.db.Begin(false)
		if err != nil {
			return err
		}
		info, err := d.f.Stat()
		if size := tx.Size(); err == nil && info.Size() < size {
			err = d.f.Truncate(size)
		}
		return errors.Join(err, tx.Rollback())
	})
}

// grow makes a file longer before bbolt has to, which leaves a hole at its end:
// each sync of a page in a hole takes the file system several times as long. Where
// there is no room for that, there may still be for what bbolt writes.
func (d *file) grow(used int64) {
	info, err := d.f.Stat()
	if err != nil || info.Size() >= used+3*int64(os.Getpagesize()) {
		return
	}
	if _, err := d.f.WriteAt(make([]byte, min(max(info.Size()/4, 1<<16), 1<<20)), info.Size()); err != nil {
		_ = d.f.Truncate(info.Size())
	}
}

// room says why a file cannot grow, if it cannot: bbolt tells that in words alone.
func (d *file) room() error {
	info, err := d.f.Stat()
	if err == nil {
		_, err = d.f.WriteAt(make([]byte, minPage), info.Size())
		err = errors.Join(err, d.f.Truncate(info.Size()))
	}
	return err
}

// lock opens the db of an upload for writing, and so takes its lock, and reads its
// record. create: there need not be one; else the error wraps fs.ErrNotExist.
// What is damaged is moved aside.
func (j *Journal) lock(id string, create bool) (*file, *upload.Record, error) {
	path := j.path(id, extDB)
	aside := false
	for range 100 { // it may be removed, or moved aside, each time between opening and locking
		info, err := os.Stat(path)
		op := "open"
		switch missing := errors.Is(err, fs.ErrNotExist); {
		case missing && create:
			op = "create"
		case missing:
			return nil, nil, err
		case err != nil:
			return nil, nil, failed(op, path, err)
		}
		d, r, err := j.tryOpen(id, op == "create", err == nil && info.Size() > 0)
		switch {
		case err == nil && leadsTo(path, d.info):
			if d.fresh {
				j.keepImage(d)
			}
			if r == nil && !aside {
				if h, _, _ := j.readHead(id); h.Record.State != "" {
					j.warn("the journal file %s was missing or empty, but its head is not: this upload %s", path, startsOver(h))
				}
			}
			if j.opened != nil {
				j.opened(d)
			}
			return d, r, nil
		case err == nil:
			_ = d.close()
		case errors.Is(err, berrors.ErrTimeout):
			return nil, nil, j.busy(id)
		case errors.Is(err, errDamaged):
			name, asideErr := j.aside(path, d.info)
			if asideErr != nil {
				return nil, nil, failed("move aside", path, asideErr)
			}
			if name != "" {
				h, _, _ := j.readHead(id)
				j.warn("the journal file %s is damaged (%s). It was moved to %s, and this upload %s", path, strings.TrimPrefix(err.Error(), errDamaged.Error()+": "), name, startsOver(h))
				aside = true
			}
		case op == "create" || !errors.Is(err, fs.ErrNotExist):
			if d != nil && d.fresh && leadsTo(path, d.info) {
				_ = j.remove(path) // there was no room for even an empty one
			}
			return nil, nil, failed(op, path, err)
		}
	}
	return nil, nil, failed("open", path, errors.New("it is replaced each time that it is opened"))
}

// tryOpen opens a db once. What it holds is looked at first without writing: bbolt
// must not be let at a file that is not ours.
func (j *Journal) tryOpen(id string, create, holds bool) (d *file, r *upload.Record, err error) {
	path := j.path(id, extDB)
	if holds {
		d, err := j.openDB(path, false, false, lockTimeout)
		if err != nil {
			return d, nil, err
		}
		err = d.view(func(tx *bbolt.Tx) error { _, err := checkFormat(tx); return err })
		if err = errors.Join(err, d.close()); err != nil {
			return d, nil, err
		}
	}
	if d, err = j.openDB(path, true, create, lockTimeout); err != nil {
		return d, nil, err
	}
	if r, err = j.load(d, id); err != nil {
		_ = d.close()
	}
	return d, r, err
}

// load reads the record of a file; nil if there is none any more. A file that was
// copied over that of another upload is damage: both would send to the same upload
// at the provider, and aborting one would abort the other. After an Adopt that was
// killed the record still has its earlier path; then no file is left for that one.
func (j *Journal) load(d *file, id string) (r *upload.Record, _ error) {
	err := d.view(func(tx *bbolt.Tx) (err error) { r, err = load(tx); return err })
	if err != nil || r == nil || r.State == upload.Delivered { // and not yet removed
		return nil, err
	}
	if own := ID(r.Target, r.Path); own != id && (own[16:] != id[16:] || j.hasDB(own)) {
		return nil, damagedf("it is the record of another upload")
	}
	return r, nil
}

// read reads the record of an upload that no process has; nil if there is none.
// If a process has it, the error is a *upload.BusyError; if it is damaged, it
// wraps errDamaged.
func (j *Journal) read(id string) (r *upload.Record, err error) {
	path := j.path(id, extDB)
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, nil
	} else if err != nil {
		return nil, failed("read", path, err)
	}
	d, err := j.openDB(path, false, false, time.Nanosecond)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, j.busy(id)
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, failed("read", path, err)
	}
	r, err = j.load(d, id)
	return r, failed("read", path, errors.Join(err, d.close()))
}
