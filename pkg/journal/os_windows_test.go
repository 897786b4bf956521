package journal

import (
	"os"
	"testing"
)

func umask(int) int { return 0 }

// freeze does nothing: Windows has no signal that stops a process.
func freeze(*testing.T, *os.Process) (thaw func()) { return func() {} }
