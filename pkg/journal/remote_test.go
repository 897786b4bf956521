package journal

import (
	"path/filepath"
	"testing"
)

// This machine's own disk is none, also where the journal and its directory
// are still to be made.
func TestNotRemote(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "journal"), filepath.Join(dir, "a", "b", "journal"), "journal", ""} {
		if kind := Remote(path); kind != "" {
			t.Errorf("%q is said to be on %s", path, kind)
		}
	}
}
