package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/multiput/multiput/pkg/source"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>16 ^ i>>8 ^ i)
	}
	return b
}

func readAll(t *testing.T, f *source.File, off, size int64) []byte {
	t.Helper()
	s := f.Section(off, size, true)
	defer s.Close()
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func spool(t *testing.T, limit int64) source.Spool {
	return source.Spool{Dir: filepath.Join(t.TempDir(), "spool"), Limit: limit}
}

// Of a stream whose size is not known all is kept, and then read like a file.
func TestStreamOfUnknownSize(t *testing.T) {
	for _, n := range []int{0, 1, 1 << 20, 70 << 20} {
		want := pattern(n)
		s := spool(t, 200<<20)
		f, err := source.Stream(t.Context(), bytes.NewReader(want), -1, s)
		if err != nil {
			t.Fatal(err)
		}
		if f.Info.Size != int64(n) || f.Ready(t.Context(), int64(n)) != nil || f.Same() != nil || !f.Once() {
			t.Errorf("%d bytes: %+v, %v", n, f.Info, f.Same())
		}
		for _, off := range []int{0, n / 3, n} {
			if got := readAll(t, f, int64(off), int64(n-off)); !bytes.Equal(got, want[off:]) {
				t.Errorf("%d bytes from %d: others came", n, off)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

// A stream larger than the spool goes through it, as long as what is read is
// let go; nothing more is read from it before.
func TestStreamThroughASmallSpool(t *testing.T) {
	const part, parts = 40 << 20, 6
	want := pattern(part * parts)
	in := &counted{r: bytes.NewReader(want)}
	f, err := source.Stream(t.Context(), in, part*parts, spool(t, 2*part))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range int64(parts) {
		if err := f.Ready(t.Context(), (i+1)*part); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, f, i*part, part); !bytes.Equal(got, want[i*part:(i+1)*part]) {
			t.Errorf("part %d: others came", i)
		}
		if most := (i + 2) * part; in.n() > most {
			t.Errorf("%d bytes were read, and room was for %d", in.n(), most)
		}
		f.Release(i*part, part)
	}
	if err := f.Same(); err != nil {
		t.Error(err)
	}
}

// A stream that does not have the stated size is an error.
func TestStreamOfAnotherSize(t *testing.T) {
	for name, n := range map[string]int{"shorter": 999, "longer": 1001} {
		f, err := source.Stream(t.Context(), bytes.NewReader(pattern(n)), 1000, spool(t, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Ready(t.Context(), 1000); !errors.Is(err, source.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Same(); !errors.Is(err, source.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}

func TestStreamThatFails(t *testing.T) {
	boom := errors.New("boom")
	in := io.MultiReader(bytes.NewReader(pattern(100)), iotest.ErrReader(boom))
	if _, err := source.Stream(t.Context(), in, -1, spool(t, 1000)); !errors.Is(err, boom) || !errors.Is(err, source.ErrNoInput) {
		t.Errorf("%v", err)
	}
	if _, err := source.Stream(t.Context(), bytes.NewReader(pattern(1001)), -1, spool(t, 1000)); !errors.Is(err, source.ErrSpool) {
		t.Errorf("more than fits: %v", err)
	}
	if f, err := source.Stream(t.Context(), bytes.NewReader(pattern(1000)), -1, spool(t, 1000)); err != nil {
		t.Errorf("just what fits: %v", err)
	} else {
		f.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	cancel()
	if _, err := source.Stream(ctx, r, -1, spool(t, 1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// counted counts what is read.
type counted struct {
	r  io.Reader
	mu sync.Mutex
	c  int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c += int64(n)
	return n, err
}

func (c *counted) n() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.c
}

// A file that a shell opens is read where it is, and found again by what it is.
func TestStandardInputInPlace(t *testing.T) {
	want := pattern(300_000)
	path := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	take := func(skip int64, size int64) (*source.File, error) {
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		if _, err := in.Seek(skip, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		s := source.Spool{Dir: filepath.Join(t.TempDir(), "none"), Limit: 1}
		if s.Needed(in) {
			t.Error("it is to be spooled")
		}
		f, err := source.Stream(t.Context(), in, size, s)
		if _, there := os.Stat(s.Dir); there == nil {
			t.Error("a spool was made")
		}
		return f, err
	}
	var paths []string
	for _, skip := range []int64{0, 0, 1000, 300_000} {
		f, err := take(skip, -1)
		if err != nil {
			t.Fatal(err)
		}
		size := 300_000 - skip
		if f.Info.Size != size || f.Once() || f.Same() != nil || f.Touched() || f.Ready(t.Context(), size) != nil {
			t.Errorf("from %d: %+v, %v", skip, f.Info, f.Same())
		}
		if got := readAll(t, f, 0, size); !bytes.Equal(got, want[skip:]) {
			t.Errorf("from %d: others came", skip)
		}
		if size > 20 {
			if got := readAll(t, f, 10, 5); !bytes.Equal(got, want[skip+10:skip+15]) {
				t.Errorf("from %d: in the middle others came", skip)
			}
		}
		paths = append(paths, f.Path)
		if s := (source.Spool{}); !s.Streamed(f.Path) || s.Streamed(path) || s.Streamed("/-x") || s.Gone(f.Path) || f.String() != "standard input" {
			t.Errorf("it is called %s", f.Path)
		}
	}
	if paths[0] != paths[1] || paths[0] == paths[2] {
		t.Errorf("they are called %q", paths)
	}
	for _, size := range []int64{299_999, 300_001} {
		if _, err := take(0, size); !errors.Is(err, source.ErrChanged) {
			t.Errorf("said to have %d: %v", size, err)
		}
	}
	f, err := take(5, 299_995)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, want[:200_000], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Same(); !errors.Is(err, source.ErrChanged) {
		t.Errorf("it shrank: %v", err)
	}
	// Another file is another, though it is called the same.
	if err := os.Rename(path, path+".old"); err != nil {
		if runtime.GOOS == "windows" {
			return
		}
		t.Fatal(err)
	}
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := take(0, -1); err != nil || f.Path == paths[0] {
		t.Errorf("another file is called %v too, %v", f.Path, err)
	}
}

func TestSpoolThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := source.Stream(t.Context(), bytes.NewReader(pattern(10)), -1, source.Spool{Dir: filepath.Join(file, "spool"), Limit: 100})
	var e *source.SpoolError
	if !errors.As(err, &e) || errors.Is(err, source.ErrSpool) || e.SpoolDir() != filepath.Join(file, "spool") {
		t.Errorf("%v", err)
	}
}
