package upload

import (
	"context"
	"encoding/json"
	"errors"
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
	// Create opens an upload of f. It returns the plan and the URLs that the
	// API gave with it, if any.
	Create(ctx context.Context, f File, w Hint) (Upload, []Presigned, error)
	// Presign requests presigned URLs for the given parts, each of them once. The
	// URLs come in any order and may cover fewer parts; none at all is an error.
	Presign(ctx context.Context, u Upload, parts []Part) ([]Presigned, error)
	// Put sends one part, whose bytes are body, and returns the receipt with
	// its Part, Value and ETag; the digests are the engine's.
	Put(ctx context.Context, u Upload, g Presigned, p Part, body io.Reader) (Receipt, error)
	// Complete completes the upload with the receipts of all parts, in the order of
	// the plan. If the provider says that it was completed before, that is not an
	// error: it returns the result of that time.
	Complete(ctx context.Context, u Upload, rs []Receipt, d Digests) (Result, error)
	// Abort aborts the upload. One that is already gone is not an error; for one
	// that was completed it is ErrCompleted.
	Abort(ctx context.Context, u Upload) error
}

// Hashable is the body of a part that can be read before it is sent, for an API
// that requires a digest before the bytes. The bodies that the engine passes to Put
// implement it.
type Hashable interface {
	// Hash writes the whole part to w, and does not change the position of the body.
	Hash(w io.Writer) error
}

// HashAhead writes to w the body of a part of size bytes that is still to be sent:
// a [Hashable], or an [io.ReadSeeker] at the part's begin, where it is afterwards too.
func HashAhead(w io.Writer, body io.Reader, size int64) error {
	switch b := body.(type) {
	case Hashable:
		return b.Hash(w)
	case io.ReadSeeker:
		n, err := io.Copy(w, io.LimitReader(b, size))
		if err == nil {
			_, err = b.Seek(-n, io.SeekCurrent)
		}
		return err
	}
	return errors.New("the part cannot be read before it is sent")
}

// Checkpointer is a Provider that accepts receipts before complete, so that it
// remembers them too. Repeating a receipt is not an error.
type Checkpointer interface {
	Checkpoint(ctx context.Context, u Upload, rs []Receipt) error
}

// Prober is a Provider that can be asked whether an upload was completed.
type Prober interface {
	// Probe requests the status. Only Completed has a result; if that cannot be
	// read, the error is ErrCompleted.
	Probe(ctx context.Context, u Upload) (Answer, Result, error)
}

// Stepper is a Provider that completes an upload with several requests. It is
// called instead of Complete.
type Stepper interface {
	// CompleteStep makes the first request that u.Data does not say was
	// answered. Its error is that of Complete, and concerns this request alone;
	// More is valid with it.
	CompleteStep(ctx context.Context, u Upload, rs []Receipt, d Digests) (Answered, error)
}

// Answered is a request of complete that was clearly answered.
type Answered struct {
	// Data replaces Upload.Data, and is on disk before the next request. Nil: it
	// does not change.
	Data json.RawMessage
	// More says that there is another request; without it, Result is that of
	// Complete.
	More   bool
	Result Result
}

// Confirmer is a Provider whose parts count as stored only after another
// request confirmed them, if Receipt.Unconfirmed is not nil.
type Confirmer interface {
	// Confirm makes that request and returns the receipt without Unconfirmed.
	// It may be repeated.
	Confirm(ctx context.Context, u Upload, p Part, r Receipt) (Receipt, error)
}

// Readier is a Provider whose file may not be ready yet when it was completed.
type Readier interface {
	// Readiness says how to wait for a file; nil: there is nothing to wait for.
	Readiness(u Upload) *Readiness
	// Ready asks once. If done, its result replaces r. An error that is neither
	// Temporary nor ErrDenied nor ErrNotReady says that the provider failed to
	// process the file.
	Ready(ctx context.Context, u Upload, r Result) (done bool, res Result, err error)
}

// Keeper is a Provider whose Create may resume an upload that already has parts
// (Upload.TakenOver).
type Keeper interface {
	// Stored are the receipts of the parts of the plan that the provider has, with
	// the digests that it has of them: those without any, or with others than the
	// file's, are sent again.
	Stored(ctx context.Context, u Upload) ([]Receipt, error)
}

// Readiness says how to wait until a completed file is ready.
type Readiness struct {
	Every, Timeout time.Duration
	// Required says that the upload counts as complete only when it is ready.
	Required bool
}

// Answer is a provider's answer to the question whether an upload was completed.
type Answer int

// The answers there are.
const (
	Unknown      Answer = iota // the provider's answer is not clear
	Completed                  // it clearly was
	NotCompleted               // it clearly was not
)

// Limiter is a Provider that knows the limits of its API.
type Limiter interface {
	Limits() Limits
}

// Signer is a Provider that answers some requests itself: nothing is sent, so the
// answer does not show whether the API can be reached.
type Signer interface {
	// Signs reports whether op, OpCreate or OpPresign of this upload, is such a
	// request.
	Signs(op Op, u Upload) bool
}

// Clock is a Provider that knows the time of the API.
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

	Multiple int64 // of which the sizes of parts are multiples, but for the last; bytes

	// URLLife is how long a presigned URL is valid, if that is known beforehand.
	URLLife time.Duration
	// TakesHint says that the provider plans the parts and respects Hint.PartSize.
	TakesHint bool
	// URLsAtOnce is the most parts that one Presign asks for; where it is 1, the
	// requests for several parts run side by side.
	URLsAtOnce int
	// ReadsAhead says that the file is read once more before it is sent.
	ReadsAhead bool
	// Plans says that the provider plans the parts.
	Plans bool
}
