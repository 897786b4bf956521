//go:build unix

package source

import (
	"fmt"
	"os"
	"syscall"
)

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
