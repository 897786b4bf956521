package main

import (
	"errors"
	"io/fs"
	"os"
)

// closedOut is the standard output of a program that was started without one.
type closedOut struct{}

func (closedOut) Write([]byte) (int, error) { return 0, errors.New("standard output is closed") }

// brokenPipe reports whether an error is that the reader of standard output has
// gone.
func brokenPipe(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == os.Stdout.Name() && pipeEnded(p.Err)
}
