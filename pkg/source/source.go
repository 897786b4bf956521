// Package source reads the local file: which file it is, whether it is still the
// same, and its bytes by section, hashed while they are read.
//
// It never writes to a file, never follows one that was replaced under its name, and
// never gives fewer bytes than a section promised without an error. It does not
// believe a file's size: the end of the last section is read past.
//
// # Mechanism
//
// [Open] opens a regular file and keeps it open. [File.Section] reads a range, with
// CRC-32C and, if wanted, MD5 of what was read. [File.Same] compares size,
// modification time and identity with those at Open, and with what the name leads to
// now; [File.Touched] reports that something was done to the file that neither size
// nor time shows. Parts that are read at once do not share a position.
//
// [Stream] makes a File of a pipe. Its bytes wait in a temporary file of a [Spool]
// until [File.Release] says that they are stored. Where the reader is a
// regular file, as after <, it is read in place and there is no spool.
//
// # Caveats
//
// On Windows and other systems than Linux and macOS a change that leaves size and
// time as they were is not seen. Everywhere, two writes within one tick of the file
// system's clock look like one.
package source

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/crc64nvme" // with SIMD: hash/crc64 is slower than most disks
)

// What is wrong with a file. Test with errors.Is.
var (
	// ErrNoInput: the file is missing, is not a regular file, or cannot be read.
	ErrNoInput = errors.New("cannot be read")
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

// UnfitError is what cannot be uploaded as a file. It wraps ErrNoInput.
type UnfitError struct {
	Path   string
	Reason string
	Pipe   bool // whether what it holds can be read from standard input instead
}

func (e *UnfitError) Error() string { return e.Path + ": " + e.Reason }
func (e *UnfitError) Unwrap() error { return ErrNoInput }

// PipeInstead reports whether what it holds can be read from standard input
// instead.
func (e *UnfitError) PipeInstead() bool { return e.Pipe }

// File is an open regular file. Its methods may be called from several
// goroutines.
type File struct {
	// Path is the absolute path as the file was named, with links not resolved:
	// what it is found again by. Of standard input it is one that no file
	// has, see Spool.Streamed.
	Path string
	Info Info // as it was when opened

	at    string // where it is opened; empty: it has no name
	f     *os.File
	fi    fs.FileInfo
	begin int64   // where in f it begins
	s     *stream // instead of f: it comes from a pipe
}

// String is how an error names the file.
func (f *File) String() string {
	if (Spool{}).Streamed(f.Path) {
		return "standard input"
	}
	return f.Path
}

// Open opens a regular file for reading. Whatever cannot be one, a directory, a
// device, a pipe, a file that lies about its size, is an error that wraps
// ErrNoInput.
func Open(path string) (*File, error) {
	abs, err := absolute(path)
	if err != nil {
		return nil, noInput(path, err)
	}
	// Asked before opening: opening a pipe would wait for its other end.
	fi, err := os.Stat(path)
	if err != nil {
		return nil, noInput(path, err)
	}
	if err := irregular(path, fi.Mode()); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, noInput(path, err)
	}
	if fi, err = f.Stat(); err != nil {
		f.Close()
		return nil, noInput(path, err)
	}
	if err = irregular(path, fi.Mode()); err == nil {
		err = checkEmpty(f, path, fi)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{Path: abs, Info: info(fi), at: path, f: f, fi: fi}, nil
}

// absolute is the absolute path of a file as it was named. What comes after a
// link is not taken away with "..": that would be another file.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if !strings.Contains(path, "..") {
		return abs, nil
	}
	if named, err := os.Stat(path); err != nil {
		return "", err
	} else if clean, err := os.Stat(abs); err == nil && os.SameFile(named, clean) {
		return abs, nil
	}
	name := filepath.Base(path)
	dir, err := filepath.EvalSymlinks(strings.TrimSuffix(path, name)) // filepath.Dir takes .. away too
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join(dir, name))
}

// checkEmpty refuses a file of the kernel's that says it has no bytes and has some,
// or that it has a page and has less, before anything is sent.
func checkEmpty(f *os.File, path string, fi fs.FileInfo) error {
	if fi.Size() == 0 {
		return pastEnd(f, path, 0)
	}
	if _, err := f.ReadAt(make([]byte, 1), fi.Size()-1); err == io.EOF {
		if now, err := f.Stat(); err == nil && now.Size() == fi.Size() {
			return &UnfitError{path, fmt.Sprintf("the file system reports %d bytes, but it has fewer", fi.Size()), true}
		}
	}
	return nil // what else is wrong shows when it is read
}

// pastEnd reads where a file should have ended. One that has more, though it
// says that it did not grow, cannot say what it has.
func pastEnd(f *os.File, path string, end int64) error {
	n, err := f.ReadAt(make([]byte, 1), end)
	switch {
	case n > 0:
		return &UnfitError{path, fmt.Sprintf("the file system reports %d bytes, but it has more", end), true}
	case err != nil && err != io.EOF:
		return noInput(path, err)
	}
	return nil
}

func noInput(path string, err error) error { return &UnreadableError{path, err} }

// UnreadableError is a file or a directory that cannot be opened or read. It wraps
// ErrNoInput.
type UnreadableError struct {
	Path string
	Err  error
}

func (e *UnreadableError) Error() string {
	var p *fs.PathError
	switch {
	case errors.Is(e.Err, fs.ErrNotExist):
		return e.Path + ": no such file"
	case errors.As(e.Err, &p):
		return e.Path + ": cannot be read: " + p.Err.Error()
	}
	return e.Path + ": cannot be read: " + e.Err.Error()
}

func (e *UnreadableError) Unwrap() []error { return []error{ErrNoInput, e.Err} }

func info(fi fs.FileInfo) Info { return Info{Size: fi.Size(), ModTime: fi.ModTime(), ID: id(fi)} }

func irregular(path string, m fs.FileMode) error {
	switch {
	case m.IsRegular():
		return nil
	case m.IsDir():
		return &UnfitError{path, "is a directory", false}
	case m&fs.ModeNamedPipe != 0:
		return &UnfitError{path, "is a pipe", true}
	case m&fs.ModeSocket != 0:
		return &UnfitError{path, "is a socket", false}
	case m&fs.ModeDevice != 0:
		return &UnfitError{path, "is a device", true}
	}
	return &UnfitError{path, "is a special file", false}
}

// Close closes the file.
func (f *File) Close() error {
	if f.s != nil {
		return f.s.close()
	}
	if f.Absent() {
		return nil
	}
	return f.f.Close()
}

// Same returns nil while the file is, by size, modification time and place, what
// it was when opened; else an error that wraps ErrChanged and says what differs.
func (f *File) Same() error {
	if f.s != nil {
		return f.s.failed()
	}
	if f.Absent() {
		return nil
	}
	held, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", f, ErrChanged, err)
	}
	named := held
	if f.at != "" {
		named, err = os.Stat(f.at)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: it was deleted or moved", f, ErrChanged)
	case err != nil:
		return fmt.Errorf("%s: %w: %w", f, ErrChanged, err)
	case !os.SameFile(named, f.fi):
		return fmt.Errorf("%s: %w: it was replaced by another file", f, ErrChanged)
	case held.Size()-f.begin != f.Info.Size:
		return fmt.Errorf("%s: %w: it had %d bytes and has %d", f, ErrChanged, f.Info.Size, max(0, held.Size()-f.begin))
	case !held.ModTime().Equal(f.Info.ModTime):
		return fmt.Errorf("%s: %w: it was modified at %s", f, ErrChanged, held.ModTime().Format(time.RFC3339))
	}
	return nil
}

// Touched reports whether something was done to the file since it was opened
// that its size and modification time do not show: perhaps it was written to and
// its time set back. Only reading it tells.
func (f *File) Touched() bool {
	if f.s != nil || f.Absent() {
		return false
	}
	fi, err := f.f.Stat()
	return err != nil || id(fi) != f.Info.ID
}

// Digest is what a run of bytes hashes to.
type Digest struct {
	CRC32C    uint32
	CRC64NVME uint64 // 0 if not asked for
	MD5       []byte // nil if not asked for
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
	long bool   // whether the CRC-64/NVME is wanted
	nvme uint64 // it, so far
	size int64
	want bool     // whether the MD5 is wanted
	md5  md5State // nil: not wanted, or nothing is read yet
}

// Section gives the bytes [off, off+size). CRC32C is always computed, MD5 if
// wanted.
func (f *File) Section(off, size int64, wantMD5 bool) *Section {
	s := &Section{file: f, off: off, left: size, size: size, want: wantMD5}
	if f.s == nil && size < f.Info.Size {
		s.own = f.again()
	}
	if wantMD5 {
		md5s.announce(1)
	}
	return s
}

// WithCRC64NVME has the section compute that too. It is called before the first
// Read.
func (s *Section) WithCRC64NVME() *Section {
	s.long = true
	return s
}

// again opens the file once more. The system reads ahead for each handle, and
// several readers of one handle, each at a place of its own, look to it like one
// that jumps. Nil if that cannot be had: the shared handle does as well, slowly.
func (f *File) again() *os.File {
	if f.at == "" {
		return nil
	}
	own, err := os.Open(f.at)
	if err != nil {
		return nil
	}
	if fi, err := own.Stat(); err != nil || !os.SameFile(fi, f.fi) {
		own.Close() // it was replaced by another file: Same reports it
		return nil
	}
	return own
}

// WithoutMD5 has it not be computed any more.
func (s *Section) WithoutMD5() {
	if !s.want {
		return
	}
	s.want = false
	md5s.announce(-1)
	if s.md5 != nil {
		s.md5.giveBack()
		s.md5 = nil
	}
}

// Close releases the resources of the section.
func (s *Section) Close() error {
	s.WithoutMD5()
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
	if s.file.Absent() {
		return 0, s.file.notHere()
	}
	var at io.ReaderAt = s.own
	switch {
	case s.file.s != nil:
		at = s.file.s
	case s.own == nil:
		at = s.file.f
	}
	n, err := at.ReadAt(p, s.file.begin+s.off)
	s.crc = crc32.Update(s.crc, castagnoli, p[:n])
	if s.long {
		s.nvme = crc64nvme.Update(s.nvme, p[:n])
	}
	if s.want {
		s.sum().Write(p[:n]) //nolint:errcheck // a hash never fails
	}
	s.off += int64(n)
	s.left -= int64(n)
	switch {
	case s.left == 0 && s.off == s.file.Info.Size && s.file.s == nil:
		return n, s.pastEnd()
	case s.left == 0:
		return n, nil
	case err == io.EOF && s.file.steady():
		return n, &UnfitError{s.file.String(), fmt.Sprintf("the file system reports %d bytes, but it has %d", s.file.Info.Size, s.off), true}
	case err == io.EOF:
		return n, fmt.Errorf("%s: %w: it ends at byte %d", s.file, ErrChanged, s.off)
	case err != nil:
		return n, fmt.Errorf("read %s at byte %d: %w: %w", s.file, s.off, ErrNoInput, err)
	}
	return n, nil
}

// sum is the MD5 of what was read.
func (s *Section) sum() md5State {
	if s.md5 == nil {
		s.md5 = md5s.get(s.size)
	}
	return s.md5
}

// pastEnd makes certain that the file ends where its last part does.
func (s *Section) pastEnd() error {
	err := pastEnd(s.file.f, s.file.String(), s.file.begin+s.off)
	if errors.As(err, new(*UnfitError)) && !s.file.steady() {
		return fmt.Errorf("%s: %w: it had %d bytes and has more", s.file, ErrChanged, s.file.Info.Size)
	}
	return err
}

// steady reports whether the file still says what it said when it was opened.
func (f *File) steady() bool {
	if f.s != nil {
		return false
	}
	fi, err := f.f.Stat()
	return err == nil && fi.Size()-f.begin == f.Info.Size && fi.ModTime().Equal(f.Info.ModTime)
}

// Digest is that of the bytes read so far; complete is false while some are
// not.
func (s *Section) Digest() (d Digest, complete bool) {
	d.CRC32C, d.CRC64NVME = s.crc, s.nvme
	if s.want {
		d.MD5 = s.sum().Sum(nil)
	}
	return d, s.left == 0
}

// Hash reads the bytes [off, off+size) for their digest alone. It stops between
// reads when stop returns an error.
func (f *File) Hash(off, size int64, wantMD5, wantCRC64NVME bool, stop func() error) (Digest, error) {
	if f.s != nil && off == 0 && size == f.Info.Size && wantMD5 {
		return f.s.whole()
	}
	s := f.Section(off, size, wantMD5)
	s.long = wantCRC64NVME
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
