package upload

import (
	"context"
	"io"
	"time"
)

// Provider speaks one upload API. Every method is one attempt: retrying is the
// engine's. All methods may be called from several goroutines.
//
// Errors say what they mean by wrapping the sentinels of this package
// ([ErrExpired], [ErrGone], [ErrDenied], [ErrRefused], [ErrReply]) and, where a
// retry may help, by implementing [Temporary].
type Provider interface {
	// Create opens an upload of f. It returns the plan and the urls that the
	// API gave with it, if any.
	Create(ctx context.Context, f File, w Hint) (Upload, []Presigned, error)
	// Presign asks for leave to send the given parts, each of them once. The urls come in any
	// order and may cover fewer parts; none at all is an error.
	Presign(ctx context.Context, u Upload, parts []Part) ([]Presigned, error)
	// Put sends one part, whose bytes are body, and returns the receipt with
	// its Part, Value and ETag; the digests are the engine's.
	Put(ctx context.Context, u Upload, g Presigned, p Part, body io.Reader) (Receipt, error)
	// Complete ends the upload with the receipts of all parts, in the order of
	// the plan. Where the provider says that it was completed before, that is
	// no error: the result is of then.
	Complete(ctx context.Context, u Upload, rs []Receipt, d Digests) (Result, error)
	// Abort gives the upload up. One that is already gone is no error; one that
	// was completed is ErrCompleted.
	Abort(ctx context.Context, u Upload) error
}

// Hashable is the body of a part that can be read before it is sent, for an API
// that wants a digest ahead of the bytes. Bodies that the engine hands to Put
// are.
type Hashable interface {
	// Hash writes the whole part to w, and leaves the body where it is.
	Hash(w io.Writer) error
}

// Checkpointer is a Provider that takes receipts before the end, so that it
// remembers them too. Repeating a receipt is no error.
type Checkpointer interface {
	Checkpoint(ctx context.Context, u Upload, rs []Receipt) error
}

// Prober is a Provider that can be asked whether an upload was completed.
type Prober interface {
	// Probe asks. A result comes with Completed alone; where it cannot be read
	// the error is ErrCompleted.
	Probe(ctx context.Context, u Upload) (Answer, Result, error)
}

// Answer is what a provider says when it is asked whether an upload was
// completed.
type Answer int

// The answers there are.
const (
	Unknown      Answer = iota // what it says tells neither
	Completed                  // it clearly was
	NotCompleted               // it clearly was not
)

// Limiter is a Provider that knows what it will not take.
type Limiter interface {
	Limits() Limits
}

// Clock is a Provider that has seen what time it is at the API.
type Clock interface {
	// Skew is how far this machine's clock is ahead of the API's; false as long
	// as nothing is known.
	Skew() (time.Duration, bool)
}

// Limits are a provider's. Zero means not known.
type Limits struct {
	MinSize  int64 // bytes of a file
	MaxSize  int64 // bytes of a file
	MinPart  int64 // bytes of a part that is not the last
	MaxPart  int64 // bytes of a part
	MaxParts int   // parts of an upload

	// URLLife is how long a presigned URL is good for where the provider says so
	// beforehand.
	URLLife time.Duration
	// TakesHint says that the provider's own plan heeds Hint.PartSize.
	TakesHint bool
	// Plans says that the plan is the provider's own.
	Plans bool
}
