package main

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// wasClosed reports whether one of the three standard streams is not there: it
// has no handle then.
func wasClosed(f *os.File) bool {
	kind, err := windows.GetFileType(windows.Handle(f.Fd()))
	return err != nil && kind == windows.FILE_TYPE_UNKNOWN
}

// pipeEnded reports whether a write failed because the reader is gone.
func pipeEnded(err error) bool {
	return errors.Is(err, windows.ERROR_BROKEN_PIPE) || errors.Is(err, windows.ERROR_NO_DATA)
}
