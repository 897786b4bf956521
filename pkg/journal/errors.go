package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	"github.com/multiput/multiput/pkg/upload"
)

// Error says that the journal cannot be read or written, and what to do. It
// wraps upload.ErrJournal and its cause.
type Error struct {
	Path   string // of the journal
	Op     string // what was tried: "read", "write", "lock", "create"
	Err    error  // the cause
	Advice string // what to do about it; may be empty
}

func (e *Error) Error() string {
	s := fmt.Sprintf("journal %s: %s: %v", e.Path, e.Op, e.Err)
	if e.Advice != "" {
		s += ": " + e.Advice
	}
	return s
}

// Unwrap gives upload.ErrJournal and the cause.
func (e *Error) Unwrap() []error { return []error{upload.ErrJournal, e.Err} }

// broken wraps what kept the journal from being read or written. What is of
// another kind already stays.
func (j *Journal) broken(op string, err error) error {
	var e *Error
	if errors.As(err, &e) || errors.Is(err, upload.ErrUnfinished) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Path: j.path, Op: op, Err: err, Advice: advice(err)}
}

// interrupted: the context ended while waiting.
func (j *Journal) interrupted(err error) error {
	return fmt.Errorf("wait for the journal %s: %w", j.path, err)
}

// advice is what someone who reads an error needs to know beside its cause.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return "free some space and run again; what was recorded before is kept"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only; the journal needs a place it can write to"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open; raise the limit or use less concurrency, and run again"
	case errors.Is(err, fs.ErrPermission):
		return "the journal and its directory must belong to you"
	case errors.Is(err, errForeign):
		return "it was not touched; name another file, or move this one away if it should not be there"
	case errors.Is(err, errNewer):
		return "it was not touched; use that version, or another journal"
	}
	return ""
}

// errGone: the record of an entry is not there.
var errGone = errors.New("the record of this upload is gone: the journal was moved, deleted or replaced while it was in use")

// printableName keeps a name read from a file from reaching a terminal as
// anything but text.
func printableName(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// inUse: a lock did not come free in time.
func (j *Journal) inUse(lock string) error {
	return fmt.Errorf("%w: the journal %s is in use: %s has been locked by another process for %s", upload.ErrUnfinished, j.path, lock, j.wait())
}
