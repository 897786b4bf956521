package journal

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// Examine reads all of the journal and says what is wrong with it, for someone
// who wants to know without uploading anything: nothing is changed, and what is
// damaged stays where it is. It gives the uploads that are not over yet, receipts
// included. found: there is a journal.
func (j *Journal) Examine(ctx context.Context) (open []upload.Record, found bool, err error) {
	if err := j.prepare(); err != nil {
		return nil, true, err
	}
	switch info, err := os.Stat(j.path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, true, j.broken("read", err)
	case info.Size() == 0:
		return nil, false, nil
	}
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return nil, true, j.interrupted(ctx.Err())
	}
	release, err := j.lock(ctx)
	if err != nil {
		return nil, true, err
	}
	defer release()
	switch err := j.inspect(); {
	case errors.Is(err, errDamaged):
		return nil, true, &Error{Path: j.path, Op: "read", Err: err, Advice: "the next upload moves it aside and begins with an empty one; " +
			"the parts already stored are still at the provider, but the way back to them was in it"}
	case err != nil:
		return nil, true, j.broken("read", err)
	}
	err = j.access(ctx, false, func(uploads *bbolt.Bucket) (bool, error) {
		open = nil
		return false, uploads.ForEachBucket(func(key []byte) error {
			r, err := load(uploads.Bucket(key))
			if err != nil {
				return err
			}
			if r.State != upload.Delivered && r.State != upload.Corrupt {
				open = append(open, *r)
			}
			return nil
		})
	})
	return open, true, err
}
