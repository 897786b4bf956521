//go:build unix

package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// wasClosed reports whether one of the three standard streams was closed when the
// program was started. The runtime opens /dev/null for reading and writing in
// its place, each on its own; a shell's redirection opens it for one of both, and
// what starts services shares one among the streams. A program that opens /dev/null
// for reading and writing, for each output on its own, cannot be told from one that
// closed them: that no result is lost without a word matters more.
func wasClosed(f *os.File) bool {
	fd := f.Fd()
	if !isNull(fd, unix.O_RDWR) {
		return false
	}
	for other := range uintptr(3) {
		if other != fd && isNull(other, unix.O_RDWR) && shared(fd, other) {
			return false
		}
	}
	return true
}

// isNull reports whether a descriptor is /dev/null, open in this mode.
func isNull(fd uintptr, mode int) bool {
	var is, null unix.Stat_t
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != mode || flags&(unix.O_APPEND|unix.O_NONBLOCK) != 0 {
		return false
	}
	return unix.Fstat(int(fd), &is) == nil && unix.Stat(os.DevNull, &null) == nil && is.Mode == null.Mode && is.Rdev == null.Rdev
}

// shared reports whether two descriptors were opened as one: what is set of one
// shows in the other.
func shared(a, b uintptr) bool {
	flags, err := unix.FcntlInt(a, unix.F_GETFL, 0)
	if err != nil {
		return false
	}
	if _, err := unix.FcntlInt(a, unix.F_SETFL, flags|unix.O_APPEND); err != nil {
		return false
	}
	seen, err := unix.FcntlInt(b, unix.F_GETFL, 0)
	_, undo := unix.FcntlInt(a, unix.F_SETFL, flags)
	return errors.Join(err, undo) == nil && seen&unix.O_APPEND != 0
}

// pipeEnded reports whether a write failed because the reader is gone.
func pipeEnded(err error) bool { return errors.Is(err, unix.EPIPE) }
