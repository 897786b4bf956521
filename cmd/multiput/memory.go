package main

import (
	"os"
	"runtime/debug"
)

// frugal makes the collector thrifty, unless the user has ideas of their own.
// File bytes pass through small buffers; what takes memory is the moment in
// which a plan of 10,000 parts with their URLs is read, and waiting with its
// garbage until the heap has doubled would cost more than collecting it.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(32 << 20)
	}
}
