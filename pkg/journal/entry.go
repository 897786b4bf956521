package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// entry is an upload whose lock this process holds.
type entry struct {
	j      *Journal
	id     string
	target upload.Target
	path   string // absolute

	mu     sync.Mutex // guards what follows
	d      *file      // nil: closed, or delivered
	closed bool
	rec    *upload.Record     // without receipts and presigned URLs; nil: nothing is recorded
	loaded *upload.Record     // as found at opening, until something changes it
	sizes  map[int]int64      // of the parts that are not stored, by number
	urls   []upload.Presigned // those that are kept: when they expire
	holder *Holder
	head   Listed
	headAt time.Time   // when the head may be written again
	later  *time.Timer // writes the head; nil: nothing is to be written
}

var (
	_ upload.Entry      = (*entry)(nil)
	_ upload.InFlighter = (*entry)(nil)
	_ upload.Forgetter  = (*entry)(nil)
)

// openNew is open for an entry that nothing else knows yet.
func (e *entry) openNew(create bool) error {
	e.mu.Lock() // a timer may write the head before this returns
	defer e.mu.Unlock()
	return e.open(create)
}

// open takes the lock of the upload. e.mu is held.
func (e *entry) open(create bool) error {
	d, r, err := e.j.lock(e.id, create)
	if err != nil {
		return err
	}
	e.d, e.holder = d, self()
	e.j.hold(e.id, true)
	moved := false
	if r != nil {
		if e.target.Provider == "" { // it was taken by its ID
			e.target, e.path = r.Target, r.Path
		}
		moved = r.Path != e.path
		r.Target, r.Path = e.target, e.path
	}
	e.remember(r)
	if moved { // an Adopt was killed before it wrote the new path
		if err := e.change(*e.rec, func(*bbolt.Tx) error { return nil }); err != nil {
			e.j.hold(e.id, false)
			return errors.Join(err, d.close())
		}
	}
	e.loaded = r
	if r == nil {
		e.headAt = time.Now().Add(headFirst)
	}
	e.tellSoon()
	return nil
}

// remember keeps what heads and the history need of a record.
func (e *entry) remember(r *upload.Record) {
	e.loaded = nil
	if r == nil {
		e.rec, e.sizes, e.urls = nil, nil, nil
		e.head = Listed{ID: e.id, Record: upload.Record{Target: e.target, Path: e.path}}
		return
	}
	e.head = headOf(e.id, r)
	e.sizes = make(map[int]int64)
	for _, p := range r.Upload.Parts {
		if !r.Has(p.Number) {
			e.sizes[p.Number] = p.Size
		}
	}
	e.urls = nil
	if !r.Upload.Renewable {
		for _, g := range r.Presigned {
			e.urls = append(e.urls, upload.Presigned{Part: g.Part, Expires: g.Expires})
		}
	}
	rec := *r
	rec.Receipts, rec.Presigned = nil, nil
	e.rec = &rec
}

// ready reports whether the entry can be used.
func (e *entry) ready(ctx context.Context) error {
	if e.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Load reads the record.
func (e *entry) Load(ctx context.Context) (*upload.Record, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return nil, err
	}
	if e.d == nil || e.rec == nil {
		return nil, nil
	}
	r := e.loaded
	e.loaded = nil
	if r == nil {
		var err error
		if r, err = e.j.load(e.d, e.id); err != nil || r == nil {
			return nil, failed("read", e.file(), err)
		}
		r.Target, r.Path = e.target, e.path
	}
	return r, nil
}

func (e *entry) file() string { return e.j.path(e.id, extDB) }

// commit makes a change durable.
func (e *entry) commit(fn func(tx *bbolt.Tx) error) error {
	e.loaded = nil
	if !leadsTo(e.file(), e.d.info) {
		return failed("write", e.file(), errGone)
	}
	e.j.trace(Step{Kind: Commit, Path: e.file()})
	return failed("write", e.file(), e.d.update(fn))
}

// Begin records a new upload in place of whatever was recorded. Its target and
// path are the entry's, whatever r has. Presigned URLs are kept only if the
// provider cannot issue them again.
func (e *entry) Begin(ctx context.Context, r upload.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	if e.d == nil { // what was recorded before is delivered
		if err := e.open(true); err != nil {
			return err
		}
	}
	r.Target, r.Path, r.Updated = e.target, e.path, time.Now()
	if r.State == "" {
		r.State = upload.Sending
	}
	if r.Started.IsZero() {
		r.Started = r.Updated
	}
	made, err := encode(r)
	if err != nil {
		return failed("encode", e.file(), err)
	}
	// What is not on the disk yet need not be written in order: one sync for all.
	db, fresh := e.d.db, e.d.fresh
	db.NoSync, db.NoGrowSync = fresh, fresh
	err = e.commit(made.store)
	db.NoSync, db.NoGrowSync = false, false
	if err == nil && fresh {
		err = e.d.pad()
		e.j.trace(Step{Kind: Sync, Path: e.file()})
		if err = failed("write", e.file(), errors.Join(err, guard(db.Sync))); err == nil {
			e.j.syncDir(e.j.dir)
			e.d.fresh = false
		}
	}
	if err != nil {
		return err
	}
	e.remember(&r)
	e.tell()
	return nil
}

// change changes the record, whose state afterwards is as pairs say.
func (e *entry) change(r upload.Record, more func(tx *bbolt.Tx) error) error {
	r.Updated = time.Now()
	state, err := encodeState(r)
	if err != nil {
		return failed("encode", e.file(), err)
	}
	err = e.commit(func(tx *bbolt.Tx) error {
		if err := put(tx, bucketState, state); err != nil {
			return err
		}
		return more(tx)
	})
	if err != nil {
		return err
	}
	e.rec = &r
	h := &e.head.Record
	h.State, h.Updated, h.Upload.File = r.State, r.Updated, r.Upload.File
	return nil
}

// writable reports whether there is a record to change.
func (e *entry) writable(ctx context.Context) error {
	if err := e.ready(ctx); err != nil {
		return err
	}
	if e.d == nil || e.rec == nil {
		return failed("write", e.file(), errors.New("nothing is recorded"))
	}
	return nil
}

// Receive adds or replaces receipts, in one transaction.
func (e *entry) Receive(ctx context.Context, rs ...upload.Receipt) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(ctx); err != nil {
		return err
	}
	puts := make([]pair, len(rs))
	now := time.Now()
	updated, err := withChecksum([]byte(keyUpdated), storable(now))
	for i, r := range rs {
		value, encodeErr := withChecksum(partKey(r.Part), r)
		puts[i], err = pair{partKey(r.Part), value}, errors.Join(err, encodeErr)
	}
	if err != nil {
		return failed("encode", e.file(), err)
	}
	err = e.commit(func(tx *bbolt.Tx) error {
		if err := put(tx, bucketReceipts, puts); err != nil {
			return err
		}
		return put(tx, bucketState, []pair{{[]byte(keyUpdated), updated}})
	})
	if err != nil {
		return err
	}
	e.rec.Updated, e.head.Record.Updated = now, now
	for _, r := range rs {
		if size, ok := e.sizes[r.Part]; ok && r.Unconfirmed == nil {
			delete(e.sizes, r.Part)
			e.head.PartsStored++
			e.head.BytesStored += size
		}
	}
	e.tellSoon()
	return nil
}

// Refresh records that the file is as f now, and forgets the receipts of the
// given parts.
func (e *entry) Refresh(ctx context.Context, f upload.File, drop ...int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.writable(ctx); err != nil {
		return err
	}
	r := *e.rec
	r.Upload.File = f
	err := e.change(r, func(tx *bbolt.Tx) error {
		receipts, err := within(tx, bucketReceipts)
		for i := 0; err == nil && i < len(drop); i++ {
			err = receipts.Delete(partKey(drop[i]))
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range drop {
		for _, p := range r.Upload.Parts {
			if _, missing := e.sizes[n]; p.Number == n && !missing {
				e.sizes[n] = p.Size
				e.head.PartsStored--
				e.head.BytesStored -= p.Size
			}
		}
	}
	e.tell()
	return nil
}

// Advance moves the record to a later state, or from Completing back to Sending
// where complete was clearly refused. What is Done stays so. What is Delivered
// becomes a line of the history, and its file is removed.
func (e *entry) Advance(ctx context.Context, s upload.State, o *upload.Outcome) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	if e.d == nil && e.rec != nil && s == upload.Delivered {
		return nil // it is
	}
	if err := e.writable(ctx); err != nil {
		return err
	}
	if err := step(e.rec.State, s); err != nil {
		return err
	}
	r := *e.rec
	r.State = s
	if ended(s) && o != nil {
		made := storableOutcome(*o)
		r.Outcome = &made
	}
	if ended(s) && r.Outcome == nil {
		return fmt.Errorf("the state %q needs an outcome", s)
	}
	if s == upload.Delivered {
		return e.deliver(ctx, r)
	}
	err := e.change(r, func(tx *bbolt.Tx) error {
		if (ended(s) || s == upload.Corrupt) && tx.Bucket([]byte(bucketURLs)) != nil {
			return tx.DeleteBucket([]byte(bucketURLs))
		}
		return nil
	})
	if err == nil {
		e.tellSoon() // to others it is running
	}
	return err
}

// step reports whether a record may go from one state to another.
func step(from, to upload.State) error {
	switch to {
	case upload.Sending, upload.Completing, upload.Corrupt:
		if !ended(from) && from != upload.Corrupt {
			return nil
		}
	case upload.Waiting:
		if from != upload.Done && from != upload.Delivered && from != upload.Corrupt {
			return nil
		}
	case upload.Done:
		if from != upload.Delivered && from != upload.Corrupt {
			return nil
		}
	case upload.Delivered:
		if from != upload.Corrupt {
			return nil
		}
	}
	return fmt.Errorf("an upload that is %q cannot become %q", from, to)
}

// deliver moves the upload from its file to the history: first the line, so that
// a kill in between costs at most a second line. On a full disk the file goes first,
// which makes room for the line: without it, the result would be delivered again and
// again.
func (e *entry) deliver(ctx context.Context, r upload.Record) error {
	if !leadsTo(e.file(), e.d.info) {
		return failed("write", e.file(), errGone)
	}
	r.Updated = time.Now()
	l := e.head
	l.Record, l.Holder = r, nil
	l.PartsStored, l.BytesStored, l.InFlight, l.URLsExpire = l.Parts, r.Upload.File.Size, 0, time.Time{}
	full := e.j.addHistory(ctx, l)
	if full != nil && !isFull(full) {
		return full
	}
	e.rec = &r
	if err := e.forget(); err != nil {
		return errors.Join(full, err)
	}
	if full == nil {
		return nil
	}
	if err := e.j.addHistory(ctx, l); err != nil {
		e.j.warn("the upload of %s is not in the history of delivered uploads: %v", printableName(r.Path), err)
	}
	return nil
}

// forget removes the file of the upload. Its head goes first: who opens the
// same upload after its file is gone writes a head too.
func (e *entry) forget() error {
	e.tellNoMore()
	_ = e.j.remove(e.j.path(e.id, extHead)) // there may be none
	err := e.removeLocked()
	e.d = nil
	e.j.hold(e.id, false)
	if err != nil {
		return failed("remove", e.file(), err)
	}
	return nil
}

// Close gives the lock back. The record stays; where there is none, so does
// nothing.
func (e *entry) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	if e.d == nil {
		return nil
	}
	switch mine := leadsTo(e.file(), e.d.info); {
	case !mine: // the head is that of another process now
		e.tellNoMore()
	case e.rec == nil:
		return e.forget()
	default:
		e.holder, e.head.InFlight = nil, 0
		e.tell()
	}
	err := e.d.close()
	e.d = nil
	e.j.hold(e.id, false)
	return err
}
