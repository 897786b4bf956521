package sandbox

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Store holds what the APIs take: parts that are sent to URLs it has signed.
// Its errors are a [*StoreError] where the request is to blame.
type Store interface {
	// Create opens an upload of the object that key names. A key is
	// "AREA/UPLOAD/NAME".
	Create(ctx context.Context, key string) (Ref, error)
	// Presign signs a URL to which one part may be PUT for so long. It is for
	// the origin base; if that is empty, for the store's own.
	Presign(ctx context.Context, base string, r Ref, part int, life time.Duration) (string, time.Time, error)
	// Parts says what is stored under these numbers; what is not, is left out.
	Parts(ctx context.Context, r Ref, numbers []int) ([]Part, error)
	// Complete makes the object of its parts, which come in ascending order.
	// The object is visible only once check accepts its bytes.
	Complete(ctx context.Context, r Ref, parts []Part, check Check) (Object, error)
	// Abort forgets the upload and its parts.
	Abort(ctx context.Context, r Ref) error
}

// Joiner is a Store that also takes what an API received itself, without
// numbers, and joins it in any order. OpenAI's API needs one.
type Joiner interface {
	Put(ctx context.Context, r Ref, body io.Reader) (Blob, error)
	Join(ctx context.Context, r Ref, blobs []Blob, check Check) (Object, error)
}

// Remote is a Store with a server of its own. If the sandbox has an address
// for its store ([Server.StoreListen]), it passes on what comes there: so the
// requests are recorded, and faults can happen to them.
type Remote interface {
	Store
	Origin() string // "http://host:port"
}

// Check is shown all bytes of an object and then asked for its opinion.
type Check interface {
	io.Writer
	Check() error
}

// Ref is an upload as its store knows it.
type Ref struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// Part is a part as its store knows it. Stores count from 1.
type Part struct {
	Number int
	ETag   string
	Size   int64 // of a part given to Complete: what it must be; below zero: anything
}

// Blob is what Put stored.
type Blob struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Object is what an upload came to.
type Object struct {
	Key      string `json:"key"`
	ETag     string `json:"etag"` // quoted
	Size     int64  `json:"size"`
	Location string `json:"location"`       // a URL
	Path     string `json:"path,omitempty"` // absolute; empty where it is not a local file
}

// StoreError is a refusal, in S3's words.
type StoreError struct {
	Status  int    // of HTTP
	Code    string // NoSuchUpload, InvalidPart, ...
	Message string
}

func (e *StoreError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

func errNoSuchUpload() *StoreError {
	return &StoreError{404, "NoSuchUpload", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."}
}
