package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Expand puts the home directory in the place of ~/ at the beginning of a path.
// A shell does that only for a word of its own: not behind a =, in a variable or
// in quotes.
func Expand(path string) string {
	below, ok := strings.CutPrefix(path, "~/")
	if !ok && runtime.GOOS == "windows" {
		below, ok = strings.CutPrefix(path, `~\`)
	}
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, below)
}
