package upload

import (
	"errors"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// UnreadableError is a file that cannot be opened or read. It wraps ErrNoInput.
type UnreadableError = source.UnreadableError

// What an error of this package or of a Provider means. Test with errors.Is.
var (
	// ErrExpired: a presigned URL is no longer valid. The engine asks for a new one.
	ErrExpired = errors.New("the presigned URL has expired")
	// ErrGone: the provider clearly no longer knows the upload.
	ErrGone = errors.New("the upload is gone")
	// ErrCompleted: the provider says that the upload was completed. From Complete
	// and Probe: but the answer has no result. From Abort: it is too late. From other
	// calls: another run completed it; see CompletedError.
	ErrCompleted = errors.New("the upload was completed")
	// ErrDenied: the credentials are missing or were refused.
	ErrDenied = errors.New("not authorized")
	// ErrRefused: the provider refused for good.
	ErrRefused = errors.New("refused")
	// ErrReply: the provider's answer is malformed, incomplete or contradicts
	// itself or the file.
	ErrReply = errors.New("unusable reply")
	// ErrLimit: the file or its parts are outside the provider's limits.
	ErrLimit = errors.New("outside the provider's limits")
	// ErrTooSlow: the upload cannot end in the time that the provider gives it.
	ErrTooSlow = errors.New("too slow for the provider's time limit")
	// ErrPartSize: the wanted part size is outside the provider's limits.
	ErrPartSize = errors.New("part size outside the provider's limits")
	// ErrChanged: the file changed while it was sent.
	ErrChanged = source.ErrChanged
	// ErrNoInput: the file is missing, is not a regular file, or cannot be read.
	ErrNoInput = source.ErrNoInput
	// ErrChecksum: the stored data differs from what was sent.
	ErrChecksum = errors.New("checksum mismatch")
	// ErrNotReady: the file is not ready yet, by the answer that the error tells.
	ErrNotReady = errors.New("the file is not ready yet")
	// ErrUnverified: verification was required and the store offered nothing
	// to verify by.
	ErrUnverified = errors.New("not verified")
	// ErrNotPlanned: the file is not the one that another machine planned.
	ErrNotPlanned = errors.New("it is not the planned file")
	// ErrBusy: another process has the upload.
	ErrBusy = errors.New("another process has it")
	// ErrNothing: there is nothing to resume.
	ErrNothing = errors.New("there is nothing to resume")
	// ErrJournal: the journal cannot be read or written.
	ErrJournal = errors.New("journal")
	// ErrDoubt: complete was sent and got no clear answer.
	ErrDoubt = errors.New("outcome unknown")
	// ErrUndelivered: the file is uploaded, but its result could not be delivered.
	ErrUndelivered = errors.New("result not delivered")
	// ErrUnsent: the request failed before it was sent, so it had no effect.
	ErrUnsent = errors.New("nothing was sent")
	// ErrUnfinished: not finished and nothing lost; running again continues.
	ErrUnfinished = errors.New("not finished")
)

// Temporary is an error after which the same attempt may succeed.
type Temporary interface {
	error
	Temporary() bool
	// RetryAfter is the least time to wait that the server asked for; 0: none.
	RetryAfter() time.Duration
}

// BusyError says who holds an upload. It wraps ErrBusy.
type BusyError struct {
	Holder string // such as "process 4711 on build-3, since 14:02"; may be empty
}

func (e *BusyError) Error() string {
	if e.Holder == "" {
		return "another process is sending this upload"
	}
	return fmt.Sprintf("%s is sending this upload", e.Holder)
}

func (e *BusyError) Unwrap() error { return ErrBusy }

// CompletedError is a request for a part that the provider refused because another
// run completed the upload. It wraps ErrCompleted and the refusal.
type CompletedError struct {
	Result Result // of that run; its Value is empty if the answer does not say it
	Err    error  // the refusal
}

func (e *CompletedError) Error() string { return e.Err.Error() }

// Unwrap gives ErrCompleted and the refusal.
func (e *CompletedError) Unwrap() []error { return []error{ErrCompleted, e.Err} }

// PlanError says that the provider's plan is not one for this file. It wraps
// ErrReply.
type PlanError struct {
	Reason string // such as "it planned 157810688 bytes for a file of 150500000"
}

func (e *PlanError) Error() string { return "the provider's plan does not fit the file: " + e.Reason }

func (e *PlanError) Unwrap() error { return ErrReply }
