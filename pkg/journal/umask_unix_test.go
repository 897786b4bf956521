//go:build unix

package journal

import "syscall"

func umask(mask int) int { return syscall.Umask(mask) }
