package journal

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// Listed is what the journal has of one upload, for people to look at.
type Listed struct {
	// ID names the upload: 32 hex digits, of which the first few will do. It
	// stays as long as the target and the path of the file do.
	ID string
	// Record has no receipts: there may be ten thousand.
	Record      upload.Record
	PartsStored int   // parts with a receipt
	BytesStored int64 // of those, and of what the provider had before
	Holder      *Holder
}

// ID is that of the upload with this target and absolute path.
func ID(t upload.Target, path string) string { return uploadKey(targetKey(t), path) }

// List gives every upload that is recorded, the one begun first at first, and
// who is at it. It keeps nobody from an upload.
func (j *Journal) List(ctx context.Context) ([]Listed, error) {
	var all []Listed
	err := j.read(ctx, func(uploads *bbolt.Bucket) error {
		all = nil
		return uploads.ForEachBucket(func(key []byte) error {
			l, err := listed(string(key), uploads.Bucket(key))
			if err != nil {
				return err
			}
			l.Holder = j.look(l.ID)
			all = append(all, l)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b Listed) int { return a.Record.Started.Compare(b.Record.Started) })
	return all, nil
}

func listed(id string, b *bbolt.Bucket) (Listed, error) {
	r, err := loadPlan(b)
	if err != nil {
		return Listed{}, err
	}
	l := Listed{ID: id, Record: *r}
	receipts, err := within(b, bucketReceipts)
	if err != nil {
		return Listed{}, err
	}
	size := make(map[int]int64, len(r.Upload.Parts))
	for _, p := range r.Upload.Parts {
		size[p.Number] = p.Size
	}
	for _, h := range r.Upload.Held {
		l.BytesStored += h.Size
	}
	err = receipts.ForEach(func(k, _ []byte) error {
		if len(k) != 8 {
			return corruptf("a receipt of no part")
		}
		l.PartsStored++
		l.BytesStored += size[int(binary.BigEndian.Uint64(k))]
		return nil
	})
	return l, err
}

// Find reads the record of an upload without taking its lock.
func (j *Journal) Find(ctx context.Context, t upload.Target, path string) (*upload.Record, error) {
	key := ID(t, path)
	var (
		r      *upload.Record
		holder *Holder
	)
	err := j.read(ctx, func(uploads *bbolt.Bucket) (err error) {
		r, holder = nil, j.look(key)
		if b := uploads.Bucket([]byte(key)); b != nil {
			r, err = load(b)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if holder != nil {
		return r, &upload.BusyError{Holder: holder.String()}
	}
	return r, nil
}

// Taken is an upload whose lock this process took to give it up.
type Taken struct{ entry entry }

// Take takes the lock of a listed upload. Where another process has it, the
// error is an *upload.BusyError.
func (j *Journal) Take(ctx context.Context, id string) (*Taken, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	if !isKey(id) {
		return nil, fmt.Errorf("%w: %q is no id of an upload", upload.ErrJournal, id)
	}
	held, err := j.hold(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Taken{entry{j: j, key: id, held: held}}, nil
}

// isKey reports whether s can name an upload, and so a file.
func isKey(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && hex.EncodeToString(b) == s
}

// Load reads the record with all receipts; nil if it is gone.
func (t *Taken) Load(ctx context.Context) (*upload.Record, error) { return t.entry.Load(ctx) }

// Forget drops the record for good.
func (t *Taken) Forget(ctx context.Context) error {
	if t.entry.closed.Load() {
		return errClosed
	}
	return t.entry.j.commit(ctx, false, func(uploads *bbolt.Bucket) error { return drop(uploads, t.entry.key) })
}

// Close gives the lock back.
func (t *Taken) Close() error { return t.entry.Close() }

// Prune forgets the uploads that were delivered before a moment, and says how
// many. Lock files of uploads that are not recorded go too, where that is safe.
func (j *Journal) Prune(ctx context.Context, before time.Time) (n int, _ error) {
	if err := j.prepare(); err != nil {
		return 0, err
	}
	if info, err := os.Stat(j.path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return 0, nil
	}
	err := j.commit(ctx, false, func(uploads *bbolt.Bucket) (err error) {
		n, err = prune(uploads, "", before)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, j.read(ctx, func(uploads *bbolt.Bucket) error {
		files, err := os.ReadDir(j.path + ".locks")
		if err != nil {
			return nil //nolint:nilerr // what cannot be tidied stays
		}
		for _, f := range files {
			if isKey(f.Name()) && uploads.Bucket([]byte(f.Name())) == nil {
				j.sweep(f.Name())
			}
		}
		return nil
	})
}
