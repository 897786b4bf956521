package handoff

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile is the most bytes of a plan or of receipts: more than any upload needs.
const maxFile = 512 << 20

// Load reads a plan file. What is wrong with its content is ErrDamaged.
func Load(path string) (*Plan, error) {
	b, err := Read(path)
	if err != nil {
		return nil, err
	}
	return Decode(path, b)
}

// Read reads a file of this package as it is.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = damaged(path, "it has more than %d bytes", maxFile)
	}
	return b, err
}

// CanWrite reports whether a file can be written at path, before anything is
// sent.
func CanWrite(path string) error {
	path = target(path)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return &fs.PathError{Op: "write", Path: path, Err: errors.New("is a directory")}
		}
		return nil
	}
	f, err := create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Write writes a file as a whole or not at all, readable by its owner alone. What
// is not a regular file, such as a pipe or a terminal, is written to.
func Write(path string, b []byte) (err error) {
	path = target(path)
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return errors.Join(err, f.Close())
	}
	f, err := create(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// target is where a link leads: what it names is replaced, not the link.
func target(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// create makes the file that takes the place of path when it is whole. Its error
// names the path that was asked for.
func create(path string) (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	var at *fs.PathError
	if errors.As(err, &at) {
		at.Op, at.Path = "write", path
	}
	return f, err
}
