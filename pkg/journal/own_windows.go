package journal

import (
	"errors"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// removeLocked removes the file. Windows removes no open file: who opens it in
// between finds that it is delivered, or that nothing is recorded.
func (e *entry) removeLocked() error {
	if e.rec != nil {
		r := *e.rec
		r.State = upload.Delivered
		if r.Outcome == nil {
			r.Outcome = &upload.Outcome{}
		}
		state, err := encodeState(r)
		if err == nil {
			err = e.d.update(func(tx *bbolt.Tx) error { return put(tx, bucketState, state) })
		}
		if err != nil {
			return errors.Join(err, e.d.close())
		}
	}
	if err := e.d.close(); err != nil {
		return err
	}
	_ = e.j.remove(e.file()) // unless another process has opened it: then it does
	return nil
}

// replaceBy puts the file of another upload in this one's place. Windows renames
// no open file, so that the locks are given back for a moment.
func (e *entry) replaceBy(from *file, id string) (*file, error) {
	err := from.close()
	if e.d != nil {
		err = errors.Join(err, e.d.close(), e.j.remove(e.file()))
		e.d = nil
	}
	if err == nil {
		err = e.j.rename(e.j.path(id, extDB), e.file())
	}
	if err != nil {
		return nil, err
	}
	d, _, err := e.j.lock(e.id, false)
	return d, err
}
