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
	"syscall"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// List gives the uploads that are not delivered, the one begun first at first, and
// who has them; all: also those that were delivered. It writes nothing and keeps
// no process from an upload. Where there is no directory, the error wraps
// fs.ErrNotExist. Where only the history cannot be read, the others are given,
// with the error.
func (j *Journal) List(ctx context.Context, all bool) ([]Listed, error) {
	if err := j.prepare(false); err != nil {
		return nil, err
	}
	ids, err := j.ids()
	if err != nil {
		return nil, err
	}
	var delivered []Listed
	var unread error
	if all {
		delivered, unread = j.listHistory()
	}
	listed := make([]Listed, len(delivered)+len(ids)) // never nil
	found := listed[copy(listed, delivered):]
	inParallel(len(ids), func(i int) {
		if ctx.Err() == nil {
			found[i], _ = j.look(ids[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range found {
		if err := found[i].Err; errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			return nil, err // it says nothing of this upload
		}
	}
	return inOrder(listed), unread
}

// inOrder sorts what is recorded by when it was begun. A Listed is large, so that
// each is moved once, or not at all where they are in order.
func inOrder(listed []Listed) []Listed {
	i := 0
	for i < len(listed) && listed[i].ID != "" && (i == 0 || !listed[i].Record.Started.Before(listed[i-1].Record.Started)) {
		i++
	}
	if i == len(listed) {
		return listed
	}
	order := make([]int, 0, len(listed))
	for i := range listed {
		if listed[i].ID != "" {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return listed[a].Record.Started.Compare(listed[b].Record.Started) })
	sorted := make([]Listed, len(order))
	for to, from := range order {
		sorted[to] = listed[from]
	}
	return sorted
}

// ids are those that the directory has a db or a head of.
func (j *Journal) ids() ([]string, error) {
	names, err := readNames(j.dir)
	if err != nil {
		return nil, failed("read", j.dir, err)
	}
	seen := make(map[string]bool, len(names)/2)
	ids := make([]string, 0, len(names)/2)
	for _, name := range names {
		id, rest, _ := strings.Cut(name, ".")
		if (rest == extDB[1:] || rest == extHead[1:]) && isID(id) && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (j *Journal) hasDB(id string) bool {
	_, err := os.Stat(j.path(id, extDB))
	return !errors.Is(err, fs.ErrNotExist)
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

// look tells what there is to know of one upload; false: nothing is recorded. Its
// head is believed where no process has had the upload since, and where one has
// it now: it writes the head. Otherwise the db tells.
func (j *Journal) look(id string) (Listed, bool) {
	h, written, ok := j.readHead(id)
	if ok && h.Holder == nil && h.Record.State != "" {
		if db, err := os.Stat(j.path(id, extDB)); err == nil && db.Size() >= 2*minPage && !db.ModTime().After(written) {
			return h, true
		}
	}
	for again := false; ; again = true {
		r, err := j.read(id)
		switch {
		case errors.Is(err, upload.ErrBusy):
			if !ok { // it may be written just now for the first time
				h, _, _ = j.readHead(id)
			}
			if h.Record.State == "" {
				return Listed{}, false // being created
			}
			if h.Holder == nil {
				h.Holder = new(Holder)
			}
			return h, true
		case err != nil:
			return unreadable(id, h, err), true
		case r != nil:
			return headOf(id, r), true
		}
		// Who removes an upload removes its head first. So there should be none now,
		// unless another process has begun it again.
		if h, _, ok = j.readHead(id); !ok || h.Record.State == "" {
			return Listed{}, false
		}
		if again {
			return unreadable(id, h, failed("read", j.path(id, extDB), errAlone)), true
		}
	}
}

// unreadable is an upload whose record cannot be read, as its head has it, if it
// has one.
func unreadable(id string, h Listed, err error) Listed {
	h.ID, h.Holder, h.InFlight = id, nil, 0
	var e *Error
	if errors.As(err, &e) && errors.Is(err, errDamaged) {
		of := "that file"
		if h.Record.Path != "" {
			of = printableName(h.Record.Path)
		}
		err = &Error{Path: e.Path, Op: e.Op, Err: e.Err, Advice: fmt.Sprintf("the next upload of %s %s", of, startsOver(h))}
	}
	h.Err = err
	return h
}

// startsOver is what becomes of an upload whose record is lost.
func startsOver(h Listed) string {
	if h.Record.State == upload.Completing {
		return "starts over, and this one may have completed: look for it at the provider first"
	}
	return "starts over; parts that are stored are still at the provider"
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
	if err := j.writable(); err != nil {
		return nil, err
	}
	t := &Taken{entry{j: j, id: id}}
	if err := t.entry.openNew(false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return t, nil
}

// Load reads the record with all receipts; nil if it is gone.
func (t *Taken) Load(ctx context.Context) (*upload.Record, error) { return t.entry.Load(ctx) }

// Forget removes the record for good.
func (t *Taken) Forget(ctx context.Context) error { return t.entry.Forget(ctx) }

// Forget removes the record for good.
func (e *entry) Forget(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return err
	}
	if e.d == nil { // there was none, or it was moved aside
		_ = e.j.remove(e.j.path(e.id, extHead))
		return nil
	}
	return e.forget()
}

// Close gives the lock back.
func (t *Taken) Close() error { return t.entry.Close() }

// Prune forgets the uploads that were delivered before a moment, or found corrupt,
// or are what is left of a stream or of an old share, and says how many. Those that are
// not finished are in left: the provider still has them. What kills left behind is
// removed too.
func (j *Journal) Prune(ctx context.Context, before time.Time) (n int, left []Listed, _ error) {
	if err := j.prepare(false); errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	} else if err != nil {
		return 0, nil, err
	}
	if err := j.writable(); err != nil {
		return 0, nil, err
	}
	n, err := j.trimHistory(before)
	if err != nil {
		return n, nil, failed("write", j.history(), err)
	}
	swept, err := j.sweep(ctx, before)
	n += len(swept)
	return n, slices.DeleteFunc(swept, func(l Listed) bool { return l.Record.State != upload.Sending }), err
}

// obsolete reports whether nothing can come of an upload any more: it is corrupt, its
// bytes came from a pipe that is gone, or it is an old share of another machine's,
// which does not tell when it is complete.
func obsolete(r *upload.Record) bool {
	switch {
	case r.State == upload.Corrupt:
		return true
	case r.State != upload.Sending:
		return false
	case r.Target.Share != "":
		return time.Since(r.Updated) > keepFor
	}
	return upload.Spool{}.Gone(r.Path)
}

// sweep forgets what is obsolete since before a moment, and removes files in which
// nothing is recorded.
func (j *Journal) sweep(ctx context.Context, before time.Time) (swept []Listed, _ error) {
	ids, err := j.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return swept, err
		}
		l, recorded := j.look(id)
		if !recorded && !j.hasDB(id) {
			_ = j.remove(j.path(id, extHead))
			continue
		}
		if recorded && (l.Err != nil || l.Holder != nil || !obsolete(&l.Record) || !l.Record.Updated.Before(before)) {
			continue
		}
		t, err := j.Take(ctx, id) // who has it keeps it
		if err != nil {
			continue
		}
		if r := t.entry.rec; recorded && r != nil && obsolete(r) && t.Forget(ctx) == nil {
			swept = append(swept, l)
		}
		if err := t.Close(); err != nil { // and removes what holds nothing
			return swept, err
		}
	}
	return swept, nil
}

// Examine reads all of the journal: nothing is changed, and what is damaged stays
// where it is. It gives the uploads that are not delivered, and what is wrong with
// single files. Where there is no directory, the error wraps fs.ErrNotExist.
func (j *Journal) Examine(ctx context.Context) (open []Listed, wrong []error, err error) {
	if err := j.prepare(false); err != nil {
		return nil, nil, err
	}
	all, err := j.List(ctx, false)
	if err == nil {
		_, err = j.listHistory()
	}
	if err != nil {
		return nil, nil, err
	}
	for _, l := range all {
		if l.Err == nil && ctx.Err() == nil { // its head may be all that was read
			if _, err := j.read(l.ID); err != nil && !errors.Is(err, upload.ErrBusy) {
				l = unreadable(l.ID, l, err)
			}
		}
		if l.Err != nil {
			wrong = append(wrong, l.Err)
		} else if l.Record.State != upload.Corrupt {
			open = append(open, l)
		}
	}
	return open, wrong, ctx.Err()
}
