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
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	// with SIMD: hash/crc64 is slower than most disks
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
