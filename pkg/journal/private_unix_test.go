//go:build unix

package journal

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Whatever the umask, and however open the directory was that the journal came
// into: all its files are for their owner alone, a damaged one included.
func TestPrivateWhereNothingIs(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // of the whole process: no parallel tests here
	open := filepath.Join(t.TempDir(), "open")
	must(t, os.Mkdir(open, 0o777))
	for _, path := range []string{filepath.Join(open, "journal.db"), filepath.Join(open, "made", "by us", "journal.db")} {
		j := &Journal{Path: path}
		e := openEntry(t, j, "/data/a.bin")
		must(t, e.Begin(t.Context(), sample()))
		must(t, e.Close())
		// A damaged one that somebody opened to all.
		image, err := os.ReadFile(path)
		must(t, err)
		for i := len(image) / 2; i < len(image); i++ {
			image[i] ^= 0xff
		}
		must(t, os.WriteFile(path, image, 0o666))
		must(t, os.Chmod(path, 0o666))
		if _, err := (&Journal{Path: path}).Moved(t.Context(), target, 30); err == nil {
			t.Fatal("the damage was not found")
		}
		must(t, openEntry(t, &Journal{Path: path}, "/data/a.bin").Begin(t.Context(), sample()))
	}
	damaged := 0
	must(t, filepath.WalkDir(open, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == open {
			return err
		}
		if strings.Contains(path, ".damaged-") {
			damaged++
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	}))
	if info, err := os.Stat(open); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("the directory that was there: %v %v", info.Mode(), err)
	}
	if damaged != 2 {
		t.Errorf("%d damaged journals", damaged)
	}
}
