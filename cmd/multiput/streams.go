package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// closedOut is the standard output of a program that was started without one.
type closedOut struct{}

func (closedOut) Write([]byte) (int, error) {
	return 0, errors.New("standard output is closed, or is /dev/null opened for reading and writing")
}

// watched remembers the first error of standard output.
type watched struct {
	w   io.Writer
	err error
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

// brokenPipe reports whether an error is that the reader of standard output has
// gone, where what was written is not needed.
func brokenPipe(err error) bool {
	var p *fs.PathError
	var o *outputError
	return !(errors.As(err, &o) && o.lost) && errors.As(err, &p) && p.Path == os.Stdout.Name() && pipeEnded(p.Err)
}
