package journal

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// same reports whether a record is of the upload that another is of, and not
// delivered.
func same(r, other *upload.Record) bool {
	return r != nil && r.State != upload.Delivered && r.Upload.ID == other.Upload.ID && r.Started.Equal(storable(other.Started))
}

// Adopt makes this entry's the record of r, which is the upload of r's id and
// start to the entry's target, recorded under whichever other path. What is
// stored counts, not what r says of it, but for the file: that is as r has it
// from now on, at the entry's path. If another process has it, or took it
// meanwhile, the error wraps upload.ErrBusy.
func (e *entry) Adopt(ctx context.Context, r upload.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	ids, err := e.j.sameTarget(e.id)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if h, _, ok := e.j.readHead(id); id == e.id || ok && h.Record.State != "" && h.Record.Upload.ID != r.Upload.ID {
			continue
		}
		switch found, err := e.j.read(id); {
		case errors.Is(err, upload.ErrBusy):
			return err
		case err != nil || !same(found, &r):
			continue
		}
		return e.adopt(id, r)
	}
	return fmt.Errorf("the upload recorded for %s was taken: %w", r.Path, upload.ErrBusy)
}

// adopt takes the file of another path over: it gets this entry's name, and the
// lock goes with it.
func (e *entry) adopt(id string, r upload.Record) error {
	from, found, err := e.j.lock(id, false)
	if err != nil {
		return fmt.Errorf("%w: %w", upload.ErrBusy, err)
	}
	if !same(found, &r) {
		return errors.Join(upload.ErrBusy, from.close())
	}
	_ = e.j.remove(e.j.path(id, extHead)) // first: a head alone is one whose file is lost
	if from, err = e.replaceBy(from, id); err != nil {
		return failed("write", e.file(), err)
	}
	e.j.syncDir(e.j.dir)
	e.d = from
	found.Target, found.Path, found.Upload.File = e.target, e.path, r.Upload.File
	found.Upload.File.Path = e.path
	e.remember(found)
	err = e.change(*e.rec, func(*bbolt.Tx) error { return nil })
	e.tell()
	return err
}
