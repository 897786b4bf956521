// Package check is the one suite that providers are held to. [Run] tries every
// claim of upload.Provider, for tests: the built-in providers against the
// sandbox and against real S3 servers. [Samples] plays the documented exchanges
// that come with a definition, and sends nothing. [Live] takes a small file
// through every step of a real API; a [Transcript] writes its exchanges down as
// samples.
//
// It exercises [upload.Provider] alone, without the engine: what that
// interface says of its methods is what is tried here. It promises to skip
// nothing in silence: where a provider lacks an ability, that is proven too,
// and what cannot be seen from where the suite stands is logged.
//
// It refuses to know any one API: all it is told is in a [Subject].
package check

import (
	"context"

	"github.com/multiput/multiput/pkg/upload"
)

// TB is what a test is to the suite. Fatalf does not return.
type TB interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Test is a TB that runs others below it. A *testing.T is one, and a command
// can bring its own: nothing here needs package testing.
type Test[T any] interface {
	TB
	Run(name string, f func(T)) bool
}

// Subject describes a provider to the suite.
type Subject struct {
	// Open opens the provider again, as a new process does.
	Open func(o Opening) (upload.Provider, error)
	// Key is one that the API takes, BadKey one that it refuses.
	Key, BadKey string
	// Object fetches what a completed upload came to, and the name that the
	// API knows it by: empty if that cannot be seen.
	Object func(ctx context.Context, u upload.Upload, r upload.Result) (name string, body []byte, err error)

	// PartSize is the size of the parts: what the API plans with, or takes
	// where it leaves the plan to the client. In bytes.
	PartSize int64
	// What the provider can do. The suite holds it to the noes as well.
	Empty       bool   // it takes an empty file
	Renewable   bool   // it issues urls again
	Checkpoints bool   // it takes receipts early
	Aborts      bool   // it has a call that aborts an upload
	Probes      bool   // it can be asked whether an upload was completed
	Digest      string // the whole-file digest that its complete takes; empty: none
	// TakeOver are the options with which create resumes an upload of the
	// same name that is under way; nil: it cannot.
	TakeOver map[string]string

	// Wire records the requests; nil: they are not recorded.
	Wire *Recorder
	// Backdate has urls issued as if that had been long ago, until undo: so
	// they are past their end. Nil: not possible.
	Backdate func() (undo func())
	// Tries is how often a call is made before its temporary error counts: 1,
	// unless the store is known to answer only now and then. 0 is 1.
	Tries int
	// Only are the names of the cases to run; nil: all.
	Only []string
}

// Opening says how a provider is to be opened.
type Opening struct {
	Key     string
	Options map[string]string // beside those that the subject always has
}
