package journal

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// entry is an upload whose lock this process holds.
type entry struct {
	j      *Journal
	target upload.Target
	path   string // absolute
	to     string // targetKey of target
	key    string // uploadKey of both
	held   *hold
	closed atomic.Bool
}

var _ upload.Entry = (*entry)(nil)

var errClosed = errors.New("the journal entry is closed")

// Load reads the record.
func (e *entry) Load(ctx context.Context) (*upload.Record, error) {
	if e.closed.Load() {
		return nil, errClosed
	}
	var r *upload.Record
	err := e.j.read(ctx, func(uploads *bbolt.Bucket) (err error) {
		if b := uploads.Bucket([]byte(e.key)); b != nil {
			r, err = load(b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Begin records a new upload in place of whatever was recorded. Its target and
// path are the entry's, whatever r has. Presigned are kept only if the provider
// cannot issue them again.
func (e *entry) Begin(ctx context.Context, r upload.Record) error {
	if e.closed.Load() {
		return errClosed
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
		return e.j.broken("encode", err)
	}
	return e.j.commit(ctx, true, func(uploads *bbolt.Bucket) error {
		if _, err := prune(uploads, e.key, r.Updated.Add(-keep)); err != nil {
			return err
		}
		if err := drop(uploads, e.key); err != nil {
			return err
		}
		return made.store(uploads, e.key)
	})
}

// prune forgets the uploads that were delivered, or corrupt, before a moment, and
// says how many.
func prune(uploads *bbolt.Bucket, except string, before time.Time) (n int, _ error) {
	var old [][]byte
	err := uploads.ForEachBucket(func(key []byte) error {
		b := uploads.Bucket(key)
		var updated time.Time
		if err := get(b, keyUpdated, &updated); err != nil {
			return err
		}
		if string(key) == except || !updated.Before(before) {
			return nil
		}
		h, err := openHead(b.Get([]byte(keyHead)))
		if err == nil && (h.State == upload.Delivered || h.State == upload.Corrupt) {
			old = append(old, append([]byte(nil), key...))
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, key := range old {
		if err := uploads.DeleteBucket(key); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

// drop deletes a record, if there is one.
func drop(uploads *bbolt.Bucket, key string) error {
	if uploads.Bucket([]byte(key)) == nil {
		return nil
	}
	return uploads.DeleteBucket([]byte(key))
}

// change changes the record.
func (e *entry) change(ctx context.Context, apply func(b *bbolt.Bucket) error) error {
	if e.closed.Load() {
		return errClosed
	}
	updated, err := seal([]byte(keyUpdated), time.Now())
	if err != nil {
		return e.j.broken("encode", err)
	}
	return e.j.commit(ctx, false, func(uploads *bbolt.Bucket) error {
		b := uploads.Bucket([]byte(e.key))
		if b == nil {
			return refusal{e.j.broken("write", errGone)}
		}
		if err := apply(b); err != nil {
			return err
		}
		return b.Put([]byte(keyUpdated), updated)
	})
}

// Receive adds or replaces receipts.
func (e *entry) Receive(ctx context.Context, rs ...upload.Receipt) error {
	puts := make([]pair, len(rs))
	for i, r := range rs {
		puts[i] = sealReceipt(r)
	}
	return e.change(ctx, func(b *bbolt.Bucket) error {
		receipts, err := within(b, bucketReceipts)
		if err != nil {
			return err
		}
		for _, p := range puts {
			if err := receipts.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Refresh records that the file is as f now, and forgets the receipts of the
// given parts.
func (e *entry) Refresh(ctx context.Context, f upload.File, parts ...int) error {
	return e.change(ctx, func(b *bbolt.Bucket) error {
		receipts, err := within(b, bucketReceipts)
		if err != nil {
			return err
		}
		h, err := openHead(b.Get([]byte(keyHead)))
		if err != nil {
			return err
		}
		h.File = f
		if err := h.put(b); err != nil {
			return err
		}
		for _, n := range parts {
			if err := receipts.Delete(partKey(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Advance moves the record to a later state, or from Completing back to
// Sending where complete was clearly refused. What is Done stays so.
func (e *entry) Advance(ctx context.Context, s upload.State, o *upload.Outcome) error {
	var outcome []byte
	if o != nil && ended(s) {
		var err error
		if outcome, err = sealOutcome(*o); err != nil {
			return e.j.broken("encode", err)
		}
	}
	return e.change(ctx, func(b *bbolt.Bucket) error {
		h, err := openHead(b.Get([]byte(keyHead)))
		if err != nil {
			return err
		}
		if err := step(h.State, s); err != nil {
			return refusal{err}
		}
		if ended(s) && outcome == nil && b.Get([]byte(keyOutcome)) == nil {
			return refusal{fmt.Errorf("the state %q needs an outcome", s)}
		}
		h.State = s
		if err := h.put(b); err != nil {
			return err
		}
		if outcome != nil {
			if err := b.Put([]byte(keyOutcome), outcome); err != nil {
				return err
			}
		}
		if !ended(s) && s != upload.Corrupt || b.Bucket([]byte(bucketURLs)) == nil {
			return nil
		}
		return b.DeleteBucket([]byte(bucketURLs))
	})
}

// step reports whether a record may go from one state to another.
func step(from, to upload.State) error {
	switch to {
	case upload.Sending, upload.Completing, upload.Corrupt:
		if !ended(from) && from != upload.Corrupt {
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

func (h head) put(b *bbolt.Bucket) error {
	value, err := h.seal()
	if err != nil {
		return err
	}
	return b.Put([]byte(keyHead), value)
}

// Adopt makes this entry's the record of r, which is the upload of r's id and
// start to the entry's target, stored under whichever other path. What is
// stored counts, not what r says of it, but for the file: that is as r has it
// from now on, at the entry's path. Another process that is at it, or that was
// faster, is an error that wraps upload.ErrBusy.
func (e *entry) Adopt(ctx context.Context, r upload.Record) error {
	if e.closed.Load() {
		return errClosed
	}
	old := ""
	err := e.j.read(ctx, func(uploads *bbolt.Bucket) error {
		old = ""
		return uploads.ForEachBucket(func(key []byte) error {
			if string(key) == e.key {
				return nil
			}
			same, err := e.same(uploads.Bucket(key), r)
			if same {
				old = string(key)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	taken := fmt.Errorf("the upload recorded for %s was taken: %w", r.Path, upload.ErrBusy)
	if old == "" {
		return taken
	}
	held, err := e.j.hold(ctx, old)
	if err != nil {
		return err
	}
	defer func() { _ = held.release() }() // nothing is recorded there any more

	updated, err := seal([]byte(keyUpdated), time.Now())
	if err != nil {
		return e.j.broken("encode", err)
	}
	return e.j.commit(ctx, false, func(uploads *bbolt.Bucket) error {
		from := uploads.Bucket([]byte(old))
		if from == nil {
			return refusal{taken}
		}
		if same, err := e.same(from, r); err != nil {
			return err
		} else if !same {
			return refusal{taken}
		}
		h, err := openHead(from.Get([]byte(keyHead)))
		if err != nil {
			return err
		}
		h.Target, h.Path, h.File = e.target, e.path, r.Upload.File
		h.File.Path = e.path

		if err := drop(uploads, e.key); err != nil {
			return err
		}
		to, err := uploads.CreateBucket([]byte(e.key))
		if err != nil {
			return err
		}
		if err := clone(from, to); err != nil {
			return err
		}
		if err := h.put(to); err != nil {
			return err
		}
		if err := to.Put([]byte(keyUpdated), updated); err != nil {
			return err
		}
		return uploads.DeleteBucket([]byte(old))
	})
}

// same reports whether a record is of the upload that r is of, and not
// delivered.
func (e *entry) same(b *bbolt.Bucket, r upload.Record) (bool, error) {
	h, err := openHead(b.Get([]byte(keyHead)))
	if err != nil || h.To != e.to || h.State == upload.Delivered || !h.Started.Equal(storable(r.Started)) {
		return false, err
	}
	plan, err := within(b, bucketPlan)
	if err != nil {
		return false, err
	}
	var u upload.Upload
	if err := get(plan, keyUpload, &u); err != nil {
		return false, err
	}
	return u.ID == r.Upload.ID, nil
}

// Close gives the lock back. The record stays.
func (e *entry) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	return e.held.release()
}
