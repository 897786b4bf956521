// Package handoff reads and writes the files by which several machines share one
// upload: the plan, which says what to send and where, and the receipts, which say
// what is stored.
//
// It promises that a file which is damaged or was edited is refused, and that a
// file is written as a whole or not at all. It sends nothing, and a plan holds no
// key and no secret option; its presigned URLs let anyone send the parts until
// they expire.
//
// # Mechanism
//
// A plan is one line of JSON that ends in the SHA-256 of what stands before it; a
// receipts file has a line for each part, which ends in its CRC-32C, so that such files
// can be joined. The checksums find damage and careless edits; they are no signature.
// Plan.ID is computed from the upload, so that receipts stay valid when the URLs of
// the plan are renewed.
//
// A [Shard] is a run of neighboring parts, computed from the plan alone: machines need
// not know of each other. [Receipts] merges what they wrote, in any order. The same
// receipt twice is fine; two that differ are [ErrContradiction]. What is missing is
// named by parts and, where all shards had the same N, by shards.
//
// # Use
//
// The engine does the rest: upload.Uploader plans (Plan, Share), sends (Join, Send) and
// completes (Join, Finish); [Plan.Share] is what Join takes. The example shows all of it.
//
// # Caveats
//
// A plan is a bearer token: pass it on as you would a password. It has the path and the
// name of the file. Both files are of [Version]; one of a newer version is refused.
package handoff

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// What is wrong with a file. Test with errors.Is.
var (
	// ErrDamaged: a plan or receipts are damaged, were edited, or are of a newer
	// version.
	ErrDamaged = errors.New("not as it was written")
	// ErrContradiction: receipts contradict each other or the plan, or belong to
	// another plan.
	ErrContradiction = errors.New("the receipts do not fit")
)

// Version is that of both files.
const Version = 1

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), ErrDamaged)
}

// NewerError is a plan or a receipt of a version that this package does not read
// yet. It wraps ErrDamaged: where a flipped bit made it so cannot be told.
type NewerError struct {
	Path    string // and line
	Version int
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s: it is of version %d, and this release reads version %d", e.Path, e.Version, Version)
}

func (e *NewerError) Unwrap() error { return ErrDamaged }

// newer gives a NewerError if b, which begins with the key of a version, is one.
func newer(path string, b []byte) error {
	digits, _, _ := bytes.Cut(b[len(versionKey):min(len(b), 32)], []byte(","))
	if n, err := strconv.Atoi(string(digits)); err == nil && n > Version {
		return &NewerError{path, n}
	}
	return nil
}

// versionKey is how a plan and a receipt begin.
const versionKey = `{"version":`
