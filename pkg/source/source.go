// Package source reads the local file: who it is, whether it is still the same,
// and its bytes by section, hashed on their way out.
//
// It never writes, never follows a file that was replaced under its name, and
// never gives fewer bytes than a section promised without an error.
package source

import (
	"crypto/md5" // the digest that stores answer with
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// What is wrong with a file. Test with errors.Is.
var (
	// ErrNoInput: it is missing, is no regular file, or cannot be read.
	ErrNoInput = errors.New("cannot be read as a file")
	// ErrChanged: it is no longer what it was.
	ErrChanged = errors.New("the file changed")
)

// Info is what identifies a version of a file without reading it.
type Info struct {
	Size    int64 // bytes
	ModTime time.Time
	// ID differs whenever the file was written to, renamed or replaced, also
	// where its size and time were set back; it may differ when neither was.
	// Empty where the system does not tell.
	ID string
}

// File is an open regular file. Its methods may be called from several
// goroutines.
type File struct {
	Path string // absolute, symbolic links resolved
	Info Info   // as it was when opened

	f  *os.File
	fi fs.FileInfo
	s  *stream // instead of f: it comes from a pipe
}

// Open opens a regular file for reading. Whatever cannot be one, a directory, a
// device, a pipe, is an error that wraps ErrNoInput.
func Open(path string) (*File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, noInput(path, err)
	}
	// Asked before opening: opening a pipe would wait for its other end.
	fi, err := os.Stat(abs)
	if err != nil {
		return nil, noInput(path, err)
	}
	if kind := irregular(fi.Mode()); kind != "" {
		return nil, fmt.Errorf("%s is a %s, which multiput cannot upload (only regular files): %w", path, kind, ErrNoInput)
	}
	// One file has one identity, whatever link it was reached by.
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	f, err := os.Open(abs)
	if err != nil {
		return nil, noInput(path, err)
	}
	if fi, err = f.Stat(); err != nil {
		f.Close()
		return nil, noInput(path, err)
	}
	if kind := irregular(fi.Mode()); kind != "" {
		f.Close()
		return nil, fmt.Errorf("%s is a %s: %w", path, kind, ErrNoInput)
	}
	return &File{Path: abs, Info: info(fi), f: f, fi: fi}, nil
}

func noInput(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("%s: %w: %w", path, ErrNoInput, err)
}

func info(fi fs.FileInfo) Info { return Info{Size: fi.Size(), ModTime: fi.ModTime(), ID: id(fi)} }

func irregular(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return ""
	case m.IsDir():
		return "directory"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// Close closes the file.
func (f *File) Close() error {
	if f.s != nil {
		return f.s.close()
	}
	return f.f.Close()
}

// Same returns nil while the file is, by size, modification time and place, what
// it was when opened; else an error that wraps ErrChanged and says what differs.
func (f *File) Same() error {
	if f.s != nil {
		return f.s.failed()
	}
	held, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", f.Path, ErrChanged, err)
	}
	named, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it was deleted or moved", f.Path, ErrChanged)
	case err != nil:
		return fmt.Errorf("%s: %w: %w", f.Path, ErrChanged, err)
	case !os.SameFile(named, f.fi):
		return fmt.Errorf("%s: %w: another file took its place", f.Path, ErrChanged)
	case held.Size() != f.Info.Size:
		return fmt.Errorf("%s: %w: it had %d bytes and has %d", f.Path, ErrChanged, f.Info.Size, held.Size())
	case !held.ModTime().Equal(f.Info.ModTime):
		return fmt.Errorf("%s: %w: it was modified at %s", f.Path, ErrChanged, held.ModTime().Format(time.RFC3339))
	}
	return nil
}

// Touched reports whether something was done to the file since it was opened
// that its size and modification time do not show: perhaps it was written to and
// its time set back. Only reading it tells.
func (f *File) Touched() bool {
	if f.s != nil {
		return false
	}
	fi, err := f.f.Stat()
	return err != nil || id(fi) != f.Info.ID
}

// Digest is what a run of bytes hashes to.
type Digest struct {
	CRC32C uint32
	MD5    []byte // nil if not asked for
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Section reads one run of bytes once, hashing what it reads. It is for one
// goroutine at a time, and is to be closed.
type Section struct {
	file *File
	own  *os.File // nil: the file's
	off  int64
	left int64
	crc  uint32
	md5  hashState
}

type hashState interface {
	io.Writer
	Sum(b []byte) []byte
}

// Section gives the bytes [off, off+size). CRC32C is always computed, MD5 if
// wanted.
func (f *File) Section(off, size int64, wantMD5 bool) *Section {
	s := &Section{file: f, off: off, left: size}
	if f.s == nil {
		s.own = f.again()
	}
	if wantMD5 {
		s.md5 = md5.New()
	}
	return s
}

// again opens the file once more. The system reads ahead for each handle, and
// several readers of one handle, each at a place of its own, look to it like one
// that jumps. Nil if that cannot be had: the shared handle does as well, slowly.
func (f *File) again() *os.File {
	own, err := os.Open(f.Path)
	if err != nil {
		return nil
	}
	if fi, err := own.Stat(); err != nil || !os.SameFile(fi, f.fi) {
		own.Close() // another file took its place: whoever asks Same is told
		return nil
	}
	return own
}

// Close gives up what the section holds.
func (s *Section) Close() error {
	if s.own == nil {
		return nil
	}
	return s.own.Close()
}

// Read reads on. A file that ends early is an error that wraps ErrChanged.
func (s *Section) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > s.left {
		p = p[:s.left]
	}
	var at io.ReaderAt = s.own
	switch {
	case s.file.s != nil:
		at = s.file.s
	case s.own == nil:
		at = s.file.f
	}
	n, err := at.ReadAt(p, s.off)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	if s.md5 != nil {
		s.md5.Write(p[:n]) //nolint:errcheck // a hash never fails
	}
	s.off += int64(n)
	s.left -= int64(n)
	switch {
	case s.left == 0:
		return n, nil
	case err == io.EOF:
		return n, fmt.Errorf("%s: %w: it ends at byte %d", s.file.Path, ErrChanged, s.off)
	case err != nil:
		return n, fmt.Errorf("read %s at byte %d: %w: %w", s.file.Path, s.off, ErrNoInput, err)
	}
	return n, nil
}

// Digest is that of the bytes read so far; complete is false while some are
// not.
func (s *Section) Digest() (d Digest, complete bool) {
	d.CRC32C = s.crc
	if s.md5 != nil {
		d.MD5 = s.md5.Sum(nil)
	}
	return d, s.left == 0
}

// Hash reads the bytes [off, off+size) for their digest alone. It stops between
// reads when stop returns an error.
func (f *File) Hash(off, size int64, wantMD5 bool, stop func() error) (Digest, error) {
	if f.s != nil && off == 0 && size == f.Info.Size && wantMD5 {
		return f.s.whole()
	}
	s := f.Section(off, size, wantMD5)
	defer s.Close()
	buf := make([]byte, 256<<10)
	for s.left > 0 {
		if err := stop(); err != nil {
			return Digest{}, err
		}
		if _, err := s.Read(buf); err != nil {
			return Digest{}, err
		}
	}
	d, _ := s.Digest()
	return d, nil
}
