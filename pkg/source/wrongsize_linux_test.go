package source_test

import (
	"errors"
	"os"
	"testing"

	"github.com/multiput/multiput/pkg/source"
)

// The kernel's own files say that they have no bytes, or a page.
func TestFilesThatLieAboutTheirSize(t *testing.T) {
	for _, path := range []string{"/proc/cpuinfo", "/proc/self/status", "/proc/meminfo"} {
		f, err := source.Open(path)
		var unfit *source.UnfitError
		if !errors.As(err, &unfit) || !errors.Is(err, source.ErrNoInput) || !unfit.PipeInstead() {
			t.Errorf("%s: %+v, %v", path, f, err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s := spool(t, 1<<20)
		if !s.Needed(in) {
			t.Errorf("%s is read in place", path)
		}
		f, err = source.Stream(t.Context(), in, -1, s)
		if err != nil {
			t.Fatal(err)
		}
		if !f.Once() || f.Info.Size == 0 {
			t.Errorf("%s as standard input: %+v", path, f.Info)
		}
		f.Close()
		in.Close()
	}
	const page = "/sys/kernel/mm/transparent_hugepage/enabled"
	if fi, err := os.Stat(page); err != nil || fi.Size() == 0 {
		t.Skip("this kernel has no file that says it has a page")
	}
	_, err := source.Open(page)
	var unfit *source.UnfitError
	if !errors.As(err, &unfit) || !unfit.PipeInstead() {
		t.Errorf("%s, which says that it has a page: %v", page, err)
	}
}
