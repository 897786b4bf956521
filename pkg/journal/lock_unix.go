//go:build linux || darwin

package journal

import (
	"os"
	"syscall"
)

// tryLock locks a file that bbolt is about to lock, by the same lock.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
