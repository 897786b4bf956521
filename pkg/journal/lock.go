package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/multiput/multiput/pkg/upload"
)

// lock takes the lock that stands before every access to the journal file,
// waiting for at most j.Wait, and gives what releases it.
//
// The wait is the kernel's: it ends the moment the holder is done, where
// polling, as bbolt's own lock does, leaves twenty processes to chance. A
// kernel wait cannot be called off, so one that is given up is left to a
// goroutine, which releases the lock as soon as it gets it.
func (j *Journal) lock(ctx context.Context) (release func(), _ error) {
	path := j.path + ".lock"
	l := flock.New(path, flock.SetPermissions(0o600))
	unlock := func() { _ = l.Unlock() } // closing the file would do it too
	switch ok, err := l.TryLock(); {
	case err != nil:
		return nil, j.broken("lock", err)
	case ok:
		return unlock, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, j.interrupted(err)
	}
	got := make(chan error)
	quit := make(chan struct{})
	go func() {
		err := l.Lock()
		for errors.Is(err, syscall.EINTR) {
			err = l.Lock()
		}
		select {
		case got <- err:
		case <-quit:
			if err == nil {
				unlock()
			}
		}
	}()
	late := time.NewTimer(j.wait())
	defer late.Stop()
	select {
	case err := <-got:
		if err != nil {
			return nil, j.broken("lock", err)
		}
		return unlock, nil
	case <-ctx.Done():
		close(quit)
		return nil, j.interrupted(ctx.Err())
	case <-late.C:
		close(quit)
		return nil, j.inUse(path)
	}
}

// hold is the lock of one upload.
type hold struct {
	lock *flock.Flock
	path string
}

// Holder is the process that is at an upload, as the upload's lock file has it.
// PID is 0 where the file does not tell.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// String tells people; empty if it is not known.
func (h Holder) String() string {
	if h.PID == 0 {
		return ""
	}
	since := h.Since.Local()
	layout := "15:04"
	if y, m, d := since.Date(); !sameDay(time.Now(), y, m, d) {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("process %d on %s, since %s", h.PID, printableName(h.Host), since.Format(layout))
}

// Where a lock file says who holds it. The first byte is the one that is
// locked on Windows, where a locked byte cannot be read. Writing the same
// length each time spares truncating, and so an instant of nothing.
const (
	holderAt   = 1
	holderSize = 255
)

// lockPath is the lock file of an upload.
func (j *Journal) lockPath(key string) string { return filepath.Join(j.path+".locks", key) }

// hold takes the lock of an upload, without waiting for whoever has it.
func (j *Journal) hold(ctx context.Context, key string) (*hold, error) {
	dir := j.path + ".locks"
	if err := makePrivate(dir); err != nil {
		return nil, j.broken("lock", err)
	}
	path := j.lockPath(key)
	var l *flock.Flock
	for tries := 1; ; tries++ {
		l = flock.New(path, flock.SetPermissions(0o600))
		ok, err := j.try(ctx, l)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, &upload.BusyError{Holder: readHolder(path).String()}
		}
		if leads(path, l) {
			break
		}
		// It was removed between its opening and its locking: see sweep.
		_ = l.Unlock()
		if tries == maxHold {
			return nil, j.broken("lock", fmt.Errorf("%s is another file each time that it is opened", path))
		}
	}
	h := &hold{lock: l, path: path}
	host, _ := os.Hostname()
	h.write(Holder{PID: os.Getpid(), Host: host, Since: time.Now()})
	return h, nil
}

// maxHold is how often in a row a lock file may have been removed.
const maxHold = 100

// try takes the lock of an upload if nobody has it. Who only looks whether
// somebody has it takes it too, for an instant, and has the journal's own lock
// meanwhile (see look): so what is taken there as well is taken in earnest.
func (j *Journal) try(ctx context.Context, l *flock.Flock) (bool, error) {
	ok, err := l.TryLock()
	if err == nil && !ok {
		release, lockErr := j.lock(ctx)
		if lockErr != nil {
			return false, lockErr
		}
		ok, err = l.TryLock()
		release()
	}
	if err != nil {
		return false, j.broken("lock", err)
	}
	return ok, nil
}

// leads reports whether a path still leads to the file that is locked.
func leads(path string, l *flock.Flock) bool {
	locked, err := l.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(locked, named)
}

// look tells who has the lock of an upload; nil: nobody. The journal's own lock
// is held.
func (j *Journal) look(key string) *Holder {
	path := j.lockPath(key)
	l := flock.New(path, flock.SetFlag(os.O_RDWR)) // creates nothing
	ok, err := l.TryLock()
	switch {
	case err != nil:
		return nil // there is no such file
	case ok:
		_ = l.Unlock()
		return nil
	}
	h := readHolder(path)
	return &h
}

// sweep removes a lock file that nobody has, of an upload that is not recorded.
// That is sound where a file can be removed that is open: whoever opened it
// before, and gets the lock only now, sees that the name leads elsewhere. The
// journal's own lock is held.
func (j *Journal) sweep(key string) {
	if runtime.GOOS == "windows" {
		return // it would have to be closed first, and might be taken by then
	}
	path := j.lockPath(key)
	l := flock.New(path, flock.SetFlag(os.O_RDWR))
	if ok, err := l.TryLock(); err != nil || !ok {
		return
	}
	if leads(path, l) {
		_ = os.Remove(path)
	}
	_ = l.Unlock()
}

// release gives the lock back. The file stays: its next holder may have it open.
func (h *hold) release() error {
	h.write(nil)
	return h.lock.Unlock()
}

// write says who holds the lock. That is a courtesy: its failure is none of
// the lock.
func (h *hold) write(v any) {
	b := bytes.Repeat([]byte{' '}, holderSize)
	b[holderSize-1] = '\n'
	if v != nil {
		doc, err := json.Marshal(v)
		if err != nil || len(doc) >= holderSize {
			return
		}
		copy(b, doc)
	}
	f, err := os.OpenFile(h.path, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = f.WriteAt(b, holderAt)
	_ = f.Close()
}

// readHolder reads who holds a lock.
func readHolder(path string) (h Holder) {
	f, err := os.Open(path)
	if err != nil {
		return Holder{}
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, holderSize)
	n, _ := f.ReadAt(b, holderAt)
	if json.Unmarshal(bytes.TrimSpace(b[:n]), &h) != nil {
		return Holder{}
	}
	return h
}

func sameDay(t time.Time, y int, m time.Month, d int) bool {
	ty, tm, td := t.Date()
	return ty == y && tm == m && td == d
}
