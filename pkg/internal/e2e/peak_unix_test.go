//go:build linux || darwin

package e2e

import (
	"os"
	"runtime"
	"syscall"
)

// peakMemory is the most resident memory that a process had, in bytes.
func peakMemory(s *os.ProcessState) int64 {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return u.Maxrss
	}
	return u.Maxrss << 10 // Linux counts in KiB
}
