//go:build !windows

package journal

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// readSmall is os.ReadFile with half of its system calls, of which os.Open alone
// makes six to find out that a file is not to be polled. It also says when the
// file was written at the latest, as of before it was read.
func readSmall(path string) ([]byte, time.Time, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, time.Time{}, err
	}
	var fd, n int
	again(func() error { fd, err = syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0); return err })
	if err != nil {
		return nil, time.Time{}, err
	}
	b := make([]byte, info.Size())
	again(func() error { n, err = syscall.Read(fd, b); return err })
	return b[:max(n, 0)], info.ModTime(), errors.Join(err, syscall.Close(fd))
}

// again repeats what a signal interrupted.
func again(call func() error) {
	for errors.Is(call(), syscall.EINTR) {
	}
}
