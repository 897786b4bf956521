package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// sums writes SHA-256 sums as sha256sum does.
type sums struct{ f *os.File }

// sumsError: the file of the sums cannot be created or written.
type sumsError struct {
	path string
	err  error
}

func (e *sumsError) Error() string { return fmt.Sprintf("--checksums %s: %v", e.path, e.err) }
func (e *sumsError) Unwrap() error { return e.err }

// createSums replaces a file; nil if no path is given.
func createSums(path string) (*sums, error) {
	if path == "" {
		return nil, nil
	}
	if path == "-" {
		return nil, usagef("--checksums requires a file: stdout is for the results")
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, newSumsError(path, err)
	}
	return &sums{f}, nil
}

func newSumsError(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return &sumsError{path, err}
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
	if _, err := fmt.Fprintf(s.f, "%s%x  %s\n", mark, sum, escaped); err != nil {
		return newSumsError(s.f.Name(), err)
	}
	return nil
}

func (s *sums) close() {
	if s != nil {
		s.f.Close() //nolint:errcheck // each write said whether it went well
	}
}
