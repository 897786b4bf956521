//go:build unix

package source

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// tooLong reports whether a path is longer than the system takes: below a deep
// working directory only the relative one can be used.
func tooLong(err error) bool { return errors.Is(err, syscall.ENAMETOOLONG) }

// place is what tells an open file from others, wherever it is; empty: nothing
// does.
func place(f *os.File) string {
	fi, err := f.Stat()
	if err != nil {
		return ""
	}
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x:%x", s.Dev, s.Ino)
}
