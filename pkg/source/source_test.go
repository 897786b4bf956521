package source

import (
	"bytes"
	"crypto/md5"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
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
		nvme := crc64.MakeTable(nvmeReversed)
		whole := crc32.Checksum(data, castagnoli)
		for _, cut := range []int{0, n / 3, n / 2, n} {
			a, b := data[:cut], data[cut:]
			if got, want := CombineCRC64NVME(crc64.Checksum(a, nvme), crc64.Checksum(b, nvme), int64(len(b))), crc64.Checksum(data, nvme); got != want {
				t.Errorf("CRC-64/NVME of %d and %d bytes: %016x, want %016x", len(a), len(b), got, want)
			}
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
	d, err := f.Hash(0, 9, true, true, func() error { return nil })
	if err != nil || d.CRC32C != 0xe3069283 || d.CRC64NVME != 0xae8b14860a799888 {
		t.Fatalf("%08x, %016x, %v", d.CRC32C, d.CRC64NVME, err)
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
		"replaced": replace,
		"same size, other time": func(p string) error {
			return os.WriteFile(p, bytes.Repeat([]byte{1}, 100), 0o600)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && (name == "deleted" || name == "replaced") {
				t.Skip("Windows does not allow deleting or renaming an open file")
			}
			path := write(t, make([]byte, 100))
			f := open(t, path)
			if err := f.Same(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			// File systems differ in how finely they tell the time.
			old := f.Info.ModTime.Add(-time.Minute)
			if err := os.Chtimes(path, time.Time{}, old); err != nil {
				t.Fatal(err)
			}
			f = open(t, path)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			err := f.Same()
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want ErrChanged with the path", err)
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

// A file is what it was named: links to one file are files of their own.
func TestLinksAreFilesOfTheirOwn(t *testing.T) {
	path := write(t, []byte("x"))
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	a, b := open(t, path), open(t, link)
	if a.Path != path || b.Path != link || a.Same() != nil || b.Same() != nil {
		t.Errorf("%s and %s: %v, %v", a.Path, b.Path, a.Same(), b.Same())
	}
	// A link that leads elsewhere now is a file that was replaced.
	other := write(t, []byte("x"))
	if err := errors.Join(os.Remove(link), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	if err := b.Same(); !errors.Is(err, ErrChanged) {
		t.Errorf("the link leads elsewhere: %v", err)
	}
}

// What follows a link to a directory is there, and not beside the link.
func TestDotsAfterALink(t *testing.T) {
	top := t.TempDir()
	for path, content := range map[string]string{"f": "wrong", "deep/f": "right", "deep/er/g": ""} {
		path = filepath.Join(top, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(top, "deep", "er"), filepath.Join(top, "link")); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows takes .. away itself")
	}
	f := open(t, top+"/link/../f")
	b, err := io.ReadAll(f.Section(0, f.Info.Size, false))
	want, _ := filepath.EvalSymlinks(filepath.Join(top, "deep"))
	if err != nil || string(b) != "right" || f.Path != filepath.Join(want, "f") {
		t.Errorf("%s: %q, %v", f.Path, b, err)
	}
	if f := open(t, top+"/deep/er/../f"); f.Path != filepath.Join(top, "deep", "f") {
		t.Errorf("%s", f.Path)
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

// Whatever happens under its name, what was opened is read.
func TestSectionsReadWhatWasOpened(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not allow replacing an open file")
	}
	path := write(t, bytes.Repeat([]byte("old"), 100))
	f := open(t, path)
	if err := replace(path); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f.Section(0, 300, false)); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("old"), 100)) {
		t.Errorf("%q, %v", got, err)
	}
}

// Parts are read by several goroutines at once.
func TestSectionsAtOnce(t *testing.T) {
	const n, size = 16, 10_000
	content := make([]byte, n*size)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	f := open(t, write(t, content))
	var readers sync.WaitGroup
	for i := range n {
		readers.Go(func() {
			want := content[i*size : (i+1)*size]
			s := f.Section(int64(i*size), size, true)
			var got bytes.Buffer
			buf := make([]byte, 7+i)
			for {
				n, err := s.Read(buf)
				got.Write(buf[:n])
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			d, complete := s.Digest()
			sum := md5.Sum(want)
			if !bytes.Equal(got.Bytes(), want) || !complete || d.CRC32C != crc32.Checksum(want, castagnoli) || !bytes.Equal(d.MD5, sum[:]) {
				t.Errorf("section %d: other bytes or digests than the file's", i)
			}
		})
	}
	readers.Wait()
}

func TestEmptySection(t *testing.T) {
	s := open(t, write(t, nil)).Section(0, 0, true)
	got, err := io.ReadAll(s)
	d, complete := s.Digest()
	if sum := md5.Sum(nil); err != nil || len(got) != 0 || !complete || d.CRC32C != 0 || !bytes.Equal(d.MD5, sum[:]) {
		t.Errorf("%q, %v, %+v, %t", got, err, d, complete)
	}
}

// The bytes that were read before the end are given, and their digest is not
// taken for the whole's.
func TestTruncatedWhileRead(t *testing.T) {
	path := write(t, make([]byte, 100))
	f := open(t, path)
	s := f.Section(10, 90, true)
	buf := make([]byte, 20)
	if n, err := s.Read(buf); n != 20 || err != nil {
		t.Fatal(n, err)
	}
	if err := os.Truncate(path, 35); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, s)
	if n != 5 || !errors.Is(err, ErrChanged) {
		t.Errorf("%d bytes, %v; want 5 and ErrChanged", n, err)
	}
	if _, complete := s.Digest(); complete {
		t.Error("called complete")
	}
	if _, err := f.Hash(0, 100, false, false, func() error { return nil }); !errors.Is(err, ErrChanged) {
		t.Errorf("Hash: %v, want ErrChanged", err)
	}
}

// Bytes that came later are not part of the file as it was, and it is no longer
// that.
func TestGrownFile(t *testing.T) {
	path := write(t, []byte("0123456789"))
	f := open(t, path)
	if err := os.WriteFile(path, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f.Section(0, 5, false)); err != nil || string(got) != "01234" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := io.ReadAll(f.Section(5, 5, false)); !errors.Is(err, ErrChanged) || string(got) != "56789" {
		t.Errorf("its end: %q, %v; want ErrChanged", got, err)
	}
	if _, err := f.Hash(0, 10, true, false, func() error { return nil }); !errors.Is(err, ErrChanged) {
		t.Errorf("Hash: %v, want ErrChanged", err)
	}
}

func TestHashStops(t *testing.T) {
	f := open(t, write(t, make([]byte, 1<<20)))
	enough, asked := errors.New("enough"), 0
	_, err := f.Hash(0, 1<<20, false, true, func() error {
		if asked++; asked > 1 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// unreadableEnv names a file to the child of TestUnreadable.
const unreadableEnv = "SOURCE_UNREADABLE"

// Root may read any file, so the test continues as another user.
func TestUnreadable(t *testing.T) {
	path := os.Getenv(unreadableEnv)
	if path == "" {
		path = write(t, []byte("x"))
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if f, err := os.Open(path); err == nil {
			_ = f.Close()
			asNobody(t, "^TestUnreadable$", path)
			return
		}
	}
	if _, err := Open(path); !errors.Is(err, ErrNoInput) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want ErrNoInput", err)
	}
}

// The directory of the file may go too, or turn into something else.
func TestSameWithoutItsDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not allow renaming the directory of an open file")
	}
	dir := filepath.Join(t.TempDir(), "dir")
	path := filepath.Join(dir, "file")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := f.Same(); !errors.Is(err, ErrChanged) {
		t.Errorf("moved: %v, want ErrChanged", err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Same(); !errors.Is(err, ErrChanged) {
		t.Errorf("no directory: %v, want ErrChanged", err)
	}
}

func FuzzCombineCRC32C(f *testing.F) {
	f.Add([]byte("123456789"), uint(4))
	f.Add([]byte{}, uint(0))
	f.Fuzz(func(t *testing.T, data []byte, cut uint) {
		a, b := data[:int(cut%uint(len(data)+1))], data[int(cut%uint(len(data)+1)):]
		got := CombineCRC32C(crc32.Checksum(a, castagnoli), crc32.Checksum(b, castagnoli), int64(len(b)))
		if want := crc32.Checksum(data, castagnoli); got != want {
			t.Errorf("%x | %x: %08x, want %08x", a, b, got, want)
		}
	})
}
