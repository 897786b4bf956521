package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

// anotherHome begins a path in another user's home directory, as shells have it.
var anotherHome = text.Pattern(`^~[\pL_][\pL\pN_.-]*(?:[/\\]|$)`)

// Expand puts the home directory in the place of ~ or ~/ at the beginning of a
// path. A shell does that only for a word of its own: not behind a =, in a
// variable or in quotes.
func Expand(path string) (string, error) {
	below, ok := strings.CutPrefix(path, "~/")
	if !ok && runtime.GOOS == "windows" {
		below, ok = strings.CutPrefix(path, `~\`)
	}
	if strings.HasPrefix(path, "~") && anotherHome().MatchString(path) { // the pattern is compiled only then
		return "", fmt.Errorf("%q: ~ is only supported for your own home directory; use ./%s for a file of this name", path, path)
	}
	switch {
	case path == "~":
		below = ""
	case !ok:
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		variable := "HOME"
		if runtime.GOOS == "windows" {
			variable = "USERPROFILE"
		}
		return "", fmt.Errorf("%q is in the home directory, which is not known: set %s", path, variable)
	}
	return filepath.Join(home, below), nil
}
