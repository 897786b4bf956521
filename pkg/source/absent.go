package source

import "fmt"

// Absent is a file that is not on this machine: all that is known of it is where
// it was and what identified it. It never changes, and reading it is an error that
// wraps ErrNoInput.
func Absent(path string, i Info) *File { return &File{Path: path, Info: i} }

// Absent reports whether it is one of Absent.
func (f *File) Absent() bool { return f.f == nil && f.s == nil }

func (f *File) notHere() error {
	return fmt.Errorf("%s: %w: it has to be read, but the planned file is not on this machine", f, ErrNoInput)
}
