package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	berrors "go.etcd.io/bbolt/errors"

	"github.com/multiput/multiput/pkg/upload"
)

// Error says that the journal, or one file of it, cannot be read or written, and
// what to do. It wraps upload.ErrJournal and its cause.
type Error struct {
	Path   string // of the file or the directory
	Op     string // what was tried: "find", "read", "write", "create"
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

// failed wraps what kept a file from being read or written. What is of another
// kind already stays.
func failed(op, path string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) || errors.Is(err, upload.ErrBusy) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var p *fs.PathError
	if errors.As(err, &p) && p.Path == path {
		err = p.Err // the path is said already
	}
	return &Error{Path: path, Op: op, Err: err, Advice: advice(err)}
}

// advice is what the reader of an error needs to know beside its cause.
func advice(err error) string {
	switch {
	case isFull(err):
		return "free some space and run again; what was recorded before is kept"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only; the journal needs a directory that it can write to"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "what was recorded before is kept"
	case errors.Is(err, errGone):
		return ""
	case errors.Is(err, fs.ErrPermission):
		return "the journal directory and its files must belong to you"
	case errors.Is(err, errForeign):
		return "it was not touched"
	case errors.Is(err, errNewer):
		return "it was not touched; use the version that wrote it, or another journal directory"
	}
	return ""
}

// isFull reports whether there is no room on the disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

var (
	// errGone: an entry's file is not where it was.
	errGone = errors.New("the record of this upload is gone: the journal was moved, deleted or replaced while it was in use")
	// errForeign: what is at the path of the directory is something else.
	errForeign = errors.New("not a journal directory")
	// errNewer: a file is of a later schema.
	errNewer = errors.New("it has a newer format than this version can read")
	// errDamaged: a file is not what was stored.
	errDamaged = errors.New("damaged")
	// errAlone: a head says that there is a record, and there is none.
	errAlone  = fmt.Errorf("%w: it is missing or empty, but its head is not", errDamaged)
	errClosed = errors.New("the journal entry is closed")
)

func damagedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

// asDamage makes what bbolt says of a file that it cannot read errDamaged, and
// leaves other errors as they are.
func asDamage(err error) error {
	var p *panicError
	switch {
	case errors.As(err, &p), errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrIncompatibleValue):
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

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
