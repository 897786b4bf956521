// Package handoff reads and writes the files by which several machines share one
// upload: the plan, which says what to send and where, and the receipts, which say
// what is stored.
//
// It promises that a file which is damaged or was edited is refused, and that a
// file is written as a whole or not at all. It sends nothing, and a plan holds no
// key and no secret option; its presigned URLs let anyone send the parts until
// they expire.
package handoff

import (
	"errors"
	"fmt"
)

// What is wrong with a file. Test with errors.Is.
var (
	// ErrDamaged: a plan or receipts are damaged, were edited, or are of a newer
	// version.
	ErrDamaged = errors.New("not a file that multiput wrote")
	// ErrContradiction: receipts contradict each other or the plan, or belong to
	// another plan.
	ErrContradiction = errors.New("the receipts do not fit")
)

// Version is that of both files.
const Version = 1

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), ErrDamaged)
}
