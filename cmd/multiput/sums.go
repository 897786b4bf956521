package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// sums writes SHA-256 sums as sha256sum does.
type sums struct {
	f     *os.File // the file of the user's
	lines *os.File // where lines go until close: f, or a temporary file
	keep  bool     // f as it was: it turned out to be one of the files to upload
}

// sumsError: the file of the sums cannot be created or written.
type sumsError struct {
	path string
	err  error
}

func (e *sumsError) Error() string { return fmt.Sprintf("--checksums %s: %v", e.path, e.err) }
func (e *sumsError) Unwrap() error { return e.err }

// createSums replaces a file; nil if no path is given. While more names are to come,
// the file may be one of them: then close replaces it.
func createSums(path string, more bool) (*sums, error) {
	if path == "" {
		return nil, nil
	}
	if path == "-" {
		return nil, usagef("--checksums requires a file: stdout is for the results")
	}
	if info, err := os.Stat(path); !more || err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		f, err := os.Create(path)
		if err != nil {
			return nil, newSumsError(path, err)
		}
		return &sums{f: f, lines: f}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, newSumsError(path, err)
	}
	lines, err := os.CreateTemp("", "multiput-checksums-*")
	if err != nil {
		f.Close() //nolint:errcheck // nothing was written
		return nil, newSumsError(path, err)
	}
	return &sums{f: f, lines: lines}, nil
}

func newSumsError(path string, err error) error {
	return &sumsError{path, cause(err)}
}

// cause is why a path cannot be used, without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// write writes the line of a file, by the path that the user gave. No sum, no
// line.
func (s *sums) write(path string, sum []byte) error {
	if s == nil || sum == nil {
		return nil
	}
	escaped := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(path)
	mark := ""
	if escaped != path {
		mark = "\\"
	}
	if _, err := fmt.Fprintf(s.lines, "%s%x  %s\n", mark, sum, escaped); err != nil {
		return newSumsError(s.f.Name(), err)
	}
	return nil
}

// ended looks at what became of a file.
func (s *sums) ended(err error) {
	if s != nil && errors.Is(err, errReplaced) {
		s.keep = true
	}
}

// close replaces the file if that was put off. Where that fails, the sums of all that
// was uploaded are not lost.
func (s *sums) close() error {
	if s == nil {
		return nil
	}
	defer s.f.Close() //nolint:errcheck // each write said whether it went well
	if s.lines == s.f {
		return nil
	}
	var err error
	if !s.keep {
		err = s.replace()
	}
	s.lines.Close() //nolint:errcheck // it was read to its end
	if err != nil {
		return newSumsError(s.f.Name(), fmt.Errorf("%w; the checksums are in %s", cause(err), s.lines.Name()))
	}
	os.Remove(s.lines.Name()) //nolint:errcheck // the system removes it some day
	return nil
}

// replace replaces what the file has by the lines.
func (s *sums) replace() error {
	_, err := s.lines.Seek(0, io.SeekStart)
	if err == nil {
		err = s.f.Truncate(0)
	}
	if err == nil {
		_, err = io.Copy(s.f, s.lines)
	}
	return err
}
