package main

import (
	"os"
	"runtime/debug"
)

// limitMemory tells the collector when to work, unless the user has ideas of their
// own. File bytes pass through small buffers, so that a small upload ends before
// there is anything worth collecting; what takes memory is the moment in which a
// plan of 10,000 parts with their URLs is read, and its garbage must not wait
// until the heap has doubled. The heap grows to the limit with 10,000 parts; the
// program itself and its stacks take 20 MiB more, and 64 MiB are promised.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(36 << 20)
	}
}
