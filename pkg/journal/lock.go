package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// holder is what the lock file of an upload says.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// Where a lock file says who holds it. The first byte is the one that is
// locked on Windows, where a locked byte cannot be read. Writing the same
// length each time spares truncating, and so an instant of nothing.
const (
	holderAt   = 1
	holderSize = 255
)

// hold takes the lock of an upload, without waiting.
func (j *Journal) hold(key string) (*hold, error) {
	dir := j.path + ".locks"
	if err := makePrivate(dir); err != nil {
		return nil, j.broken("lock", err)
	}
	path := filepath.Join(dir, key)
	l := flock.New(path, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, j.broken("lock", err)
	}
	if !ok {
		return nil, &upload.BusyError{Holder: readHolder(path)}
	}
	h := &hold{lock: l, path: path}
	host, _ := os.Hostname()
	h.write(holder{PID: os.Getpid(), Host: host, Since: time.Now()})
	return h, nil
}

// release gives the lock back. The file stays: someone may be about to take
// it, and a lock on a deleted file keeps nobody out.
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

// readHolder tells people who holds a lock; empty if it is not known.
func readHolder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, holderSize)
	n, _ := f.ReadAt(b, holderAt)
	var h holder
	if json.Unmarshal(bytes.TrimSpace(b[:n]), &h) != nil || h.PID == 0 {
		return ""
	}
	since := h.Since.Local()
	layout := "15:04"
	if y, m, d := since.Date(); !sameDay(time.Now(), y, m, d) {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("process %d on %s, since %s", h.PID, printableName(h.Host), since.Format(layout))
}

func sameDay(t time.Time, y int, m time.Month, d int) bool {
	ty, tm, td := t.Date()
	return ty == y && tm == m && td == d
}
