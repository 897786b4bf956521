package source

import (
	"bytes"
	"crypto/md5"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestCombineCRC32C(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 7, 8, 1000, 65537} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		whole := crc32.Checksum(data, castagnoli)
		for _, cut := range []int{0, n / 3, n / 2, n} {
			a, b := data[:cut], data[cut:]
			got := CombineCRC32C(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b)))
			if got != whole {
				t.Errorf("%d bytes cut at %d: %08x, want %08x", n, cut, got, whole)
			}
		}
	}
}

// The check value of CRC-32C (RFC 3720, appendix B.4, among others).
func TestCRC32CCheckValue(t *testing.T) {
	f := open(t, write(t, []byte("123456789")))
	d, err := f.Hash(0, 9, true, func() error { return nil })
	if err != nil || d.CRC32C != 0xe3069283 {
		t.Fatalf("%08x, %v", d.CRC32C, err)
	}
	if sum := md5.Sum([]byte("123456789")); !bytes.Equal(d.MD5, sum[:]) {
		t.Errorf("MD5 %x, want %x", d.MD5, sum)
	}
}

func TestSectionHashesWhatItGives(t *testing.T) {
	content := []byte("0123456789abcdef")
	f := open(t, write(t, content))
	s := f.Section(4, 8, true)
	if _, done := s.Digest(); done {
		t.Error("complete before it was read")
	}
	got, err := io.ReadAll(s)
	if err != nil || string(got) != "456789ab" {
		t.Fatalf("%q, %v", got, err)
	}
	d, done := s.Digest()
	if sum := md5.Sum(got); !done || !bytes.Equal(d.MD5, sum[:]) || d.CRC32C != crc32.Checksum(got, castagnoli) {
		t.Errorf("digest %+v, complete %t", d, done)
	}
}

func TestSectionOfATruncatedFile(t *testing.T) {
	path := write(t, make([]byte, 100))
	f := open(t, path)
	if err := os.Truncate(path, 50); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(f.Section(0, 100, false)); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
}

func TestSame(t *testing.T) {
	changes := map[string]func(path string) error{
		"grown":    func(p string) error { return os.Truncate(p, 200) },
		"shrunk":   func(p string) error { return os.Truncate(p, 1) },
		"touched":  func(p string) error { return os.Chtimes(p, time.Time{}, time.Unix(1, 0)) },
		"deleted":  os.Remove,
		"replaced": func(p string) error { return replace(p) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			path := write(t, make([]byte, 100))
			f := open(t, path)
			if err := f.Same(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if err := f.Same(); !errors.Is(err, ErrChanged) {
				t.Errorf("error %v, want ErrChanged", err)
			}
		})
	}
}

// replace puts another file of the same size and time in the place of path.
func replace(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	other := path + ".new"
	if err := os.WriteFile(other, make([]byte, fi.Size()), 0o600); err != nil {
		return err
	}
	if err := os.Chtimes(other, time.Time{}, fi.ModTime()); err != nil {
		return err
	}
	return os.Rename(other, path)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{
		"missing":   filepath.Join(dir, "none"),
		"directory": dir,
		"device":    os.DevNull,
	} {
		if f, err := Open(path); !errors.Is(err, ErrNoInput) {
			t.Errorf("%s: file %v, error %v, want ErrNoInput", name, f, err)
		}
	}
}

func TestOneFileHasOneIdentity(t *testing.T) {
	path := write(t, []byte("x"))
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if a, b := open(t, path).Path, open(t, link).Path; a != b {
		t.Errorf("%s and %s", a, b)
	}
}

func TestType(t *testing.T) {
	f := open(t, write(t, []byte("\x89PNG\r\n\x1a\n")))
	for name, want := range map[string]string{
		"a.jsonl":  "text/jsonl",
		"a.TXT":    "text/plain",
		"a.html":   "text/html",
		"no-ext":   "image/png", // from its first bytes
		"a.qqq":    "image/png",
		"a.tar.gz": "application/gzip",
	} {
		if got := f.Type(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := open(t, write(t, nil)).Type("empty"); got != "application/octet-stream" {
		t.Errorf("empty: %s", got)
	}
}
