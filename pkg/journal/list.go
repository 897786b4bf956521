package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Listed is what the journal has of one upload, for people to look at.
type Listed struct {
	// ID names the upload: 32 hex digits, of which the first few will do. It
	// stays as long as the target and the path of the file do.
	ID string
	// Record has no parts, receipts or presigned URLs, and an Outcome only if it
	// is delivered: see Record of Journal.
	Record      upload.Record
	Parts       int       // of the plan
	PartSize    int64     // bytes of the largest part
	LastPart    int64     // bytes of the last one
	PartsStored int       // parts with a receipt
	BytesStored int64     // of those, and of what the provider had before
	InFlight    int64     // bytes on their way, as far as known
	URLsExpire  time.Time // the first of the presigned URLs that are not issued again and still needed; zero: none
	Holder      *Holder   // the process that has it; nil: none
}

func (h *head) listed() Listed {
	t := upload.Target{Provider: h.Provider, Base: h.Base, Name: string(h.Name), Type: h.Type, Options: h.Options}
	return Listed{
		ID: h.ID, Parts: h.Parts, PartSize: h.PartSize, LastPart: h.LastPart,
		PartsStored: h.PartsStored, BytesStored: h.BytesStored, URLsExpire: h.URLsExpire,
		Record: upload.Record{Target: t, Path: string(h.Path), State: h.State, Started: h.Started, Updated: h.Updated, Upload: upload.Upload{
			ID: h.Upload, Expires: h.Expires, TakenOver: h.TakenOver, File: upload.File{Path: string(h.Path), Name: string(h.Name), Type: h.ContentType, Size: h.Size},
		}},
	}
}

// List gives the uploads that are not delivered, the one begun first at first, and
// who has them; all: also those that were delivered. It writes nothing and keeps
// nobody from an upload. Where there is no directory, the error wraps
// fs.ErrNotExist.
func (j *Journal) List(ctx context.Context, all bool) ([]Listed, error) {
	if err := j.prepare(false); err != nil {
		return nil, err
	}
	names, err := readNames(j.dir)
	if err != nil {
		return nil, failed("read", j.dir, err)
	}
	var ids []string
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, extDB); ok && isID(id) {
			ids = append(ids, id)
		}
	}
	found := make([]*Listed, len(ids))
	inParallel(len(ids), func(i int) {
		if ctx.Err() == nil {
			found[i] = j.look(ids[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var listed []Listed
	if all {
		if listed, err = j.listHistory(); err != nil {
			return nil, err
		}
	}
	for _, l := range found {
		if l != nil {
			listed = append(listed, *l)
		}
	}
	slices.SortStableFunc(listed, func(a, b Listed) int { return a.Record.Started.Compare(b.Record.Started) })
	return listed, nil
}

// inParallel calls do for 0 to n-1, on all processors.
func inParallel(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	wg.Wait()
}

// look tells what there is to know of one upload; nil: nothing is recorded. Its
// head is believed where no process has had the upload since, and where one has
// it now: it writes the head. Otherwise the db tells.
func (j *Journal) look(id string) *Listed {
	h, ok := j.readHead(id)
	if ok && h.Holder == nil && h.State != "" && !j.newer(id) {
		l := h.listed()
		return &l
	}
	switch r, err := j.read(id); {
	case errors.Is(err, upload.ErrBusy):
		for range 3 { // its head may be written just now for the first time
			if ok {
				break
			}
			h, ok = j.readHead(id)
		}
		if h.State == "" {
			return nil // being created
		}
		l := h.listed()
		l.InFlight, l.Holder = h.InFlight, h.Holder
		if l.Holder == nil {
			l.Holder = new(Holder)
		}
		return &l
	case err != nil:
		if errors.Is(err, errDamaged) {
			j.warn("%v: the next upload of this file moves it aside and begins anew", err)
		} else {
			j.warn("%v", err)
		}
		return nil
	case r == nil:
		return nil
	default:
		h := headOf(id, r)
		l := h.listed()
		return &l
	}
}

// newer reports whether the db of an upload was changed after its head.
func (j *Journal) newer(id string) bool {
	db, err := os.Stat(j.path(id, extDB))
	if err != nil {
		return true
	}
	head, err := os.Stat(j.path(id, extHead))
	return err != nil || db.ModTime().After(head.ModTime())
}

// Record reads the whole record of a listed upload that no process has; nil if
// there is none. Where a process has it, the error is a *upload.BusyError.
func (j *Journal) Record(ctx context.Context, id string) (*upload.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := j.prepare(false); err != nil || !isID(id) {
		return nil, err
	}
	return j.read(id)
}

// Taken is an upload whose lock this process took to abort it.
type Taken struct{ entry entry }

// Take takes the lock of a listed upload. Where another process has it, the
// error is a *upload.BusyError.
func (j *Journal) Take(ctx context.Context, id string) (*Taken, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !isID(id) {
		return nil, fmt.Errorf("%w: %q is not the id of an upload", upload.ErrJournal, id)
	}
	if err := j.prepare(false); err != nil {
		return nil, err
	}
	t := &Taken{entry{j: j, id: id}}
	if err := t.entry.open(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return t, nil
}

// Load reads the record with all receipts; nil if it is gone.
func (t *Taken) Load(ctx context.Context) (*upload.Record, error) { return t.entry.Load(ctx) }

// Forget removes the record for good.
func (t *Taken) Forget(ctx context.Context) error {
	t.entry.mu.Lock()
	defer t.entry.mu.Unlock()
	if err := t.entry.ready(ctx); err != nil || t.entry.d == nil {
		return err
	}
	return t.entry.forget()
}

// Close gives the lock back.
func (t *Taken) Close() error { return t.entry.Close() }

// Prune forgets the uploads that were delivered before a moment, or found corrupt,
// and says how many. What kills left behind is removed too.
func (j *Journal) Prune(ctx context.Context, before time.Time) (n int, _ error) {
	if err := j.prepare(false); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	n, err := j.trimHistory(before)
	if err != nil {
		return n, failed("write", j.history(), err)
	}
	names, err := readNames(j.dir)
	if err != nil {
		return n, failed("read", j.dir, err)
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if id, ok := strings.CutSuffix(name, extHead); ok && isID(id) {
			if _, err := os.Stat(j.path(id, extDB)); errors.Is(err, fs.ErrNotExist) {
				_ = j.remove(j.path(id, extHead))
			}
		}
		id, ok := strings.CutSuffix(name, extDB)
		if !ok || !isID(id) {
			continue
		}
		l := j.look(id)
		if l != nil && (l.Holder != nil || l.Record.State != upload.Corrupt || !l.Record.Updated.Before(before)) {
			continue
		}
		t, err := j.Take(ctx, id) // who has it keeps it
		if err != nil {
			continue
		}
		if l != nil {
			if r, err := t.Load(ctx); err == nil && r != nil && r.State == upload.Corrupt {
				err = t.Forget(ctx)
				if err == nil {
					n++
				}
			}
		}
		if err := t.Close(); err != nil { // and removes what holds nothing
			return n, err
		}
	}
	return n, nil
}

// Examine reads all of the journal: nothing is changed, and what is damaged stays
// where it is. It gives the uploads that are not delivered, and what is wrong with
// single files. Where there is no directory, the error wraps fs.ErrNotExist.
func (j *Journal) Examine(ctx context.Context) (open []Listed, wrong []error, err error) {
	if err := j.prepare(false); err != nil {
		return nil, nil, err
	}
	open, err = (&Journal{Dir: j.dir}).List(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	names, err := readNames(j.dir)
	if err != nil {
		return nil, nil, failed("read", j.Dir, err)
	}
	for _, name := range names {
		if id, ok := strings.CutSuffix(name, extDB); ok && isID(id) && ctx.Err() == nil {
			if _, err := j.read(id); err != nil && !errors.Is(err, upload.ErrBusy) {
				wrong = append(wrong, err)
			}
		}
	}
	open = slices.DeleteFunc(open, func(l Listed) bool { return l.Record.State == upload.Corrupt })
	return open, wrong, ctx.Err()
}
