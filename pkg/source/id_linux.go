package source

import (
	"fmt"
	"io/fs"
	"syscall"
)

// id is made of the file's place on its device and the time of its last change
// of any kind, which a program cannot set.
func id(fi fs.FileInfo) string {
	s, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x:%x:%x.%x", s.Dev, s.Ino, s.Ctim.Sec, s.Ctim.Nsec)
}
