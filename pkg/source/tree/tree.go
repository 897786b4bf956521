// Package tree finds the files below a directory, in the byte order of their
// paths, as they are asked for: it holds the names of the directories that it is
// in, never the whole list.
//
// It opens no file: what is found may be gone, or unreadable, when it is opened.
package tree

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/source"
)

// Walk says which files are wanted. It is for one goroutine.
type Walk struct {
	Patterns Patterns
	// Follow has symbolic links to directories followed. Those to files always
	// are.
	Follow bool
	// Warn reports what is left out. It may be nil.
	Warn func(Skipped)
}

// Skipped is what a walk leaves out, though the patterns do not.
type Skipped struct {
	Path   string
	Reason string
	Link   bool // it is a link to a directory, for want of Walk.Follow
}

func (s Skipped) String() string { return s.Path + " is a " + s.Reason }

// File is a file below a directory.
type File struct {
	Path string // of the directory as it was named, and what is below it
	Rel  string // below the directory, with slashes
}

// Files gives the files below a directory. An error wraps source.ErrNoInput and
// comes with the path that it is about; what follows it is given all the same. A
// directory without a file that is wanted is an error too.
func (w *Walk) Files(dir string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		r := run{Walk: w, yield: yield}
		if !r.below(dir, "", nil) || r.given > 0 {
			return
		}
		var err error = &NoMatchError{dir, given(w.Patterns.include), given(w.Patterns.exclude)}
		if r.found == 0 {
			err = &source.UnfitError{Path: dir, Reason: "the directory has no files"}
		}
		yield(File{Path: dir}, err)
	}
}

// run is one walk.
type run struct {
	*Walk
	yield func(File, error) bool
	given int // files and errors
	found int // files, wanted or not
}

// below gives what is below one directory; false: no more is wanted. above are
// the directories that it is in, where links are followed.
func (r *run) below(dir, rel string, above []fs.FileInfo) bool {
	if r.Follow {
		info, err := os.Stat(dir)
		if err != nil {
			return r.fail(dir, err)
		}
		if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
			r.warn(Skipped{Path: dir, Reason: "link to a directory that contains it: not followed"})
			return true
		}
		above = append(slices.Clip(above), info)
	}
	entries, err := read(dir)
	if err != nil && !r.fail(dir, err) {
		return false
	}
	for _, e := range entries {
		path, rel := join(dir, e.name), rel+e.name
		switch {
		case e.mode.IsDir():
			if r.Patterns.prunes(rel) {
				r.found++ // there may be files in it
				continue
			}
			if e.link && !r.Follow {
				r.warn(Skipped{Path: path, Reason: "link to a directory: not followed", Link: true})
				continue
			}
			if !r.below(path, rel+"/", above) {
				return false
			}
		case e.err != nil:
			if r.Patterns.wants(rel) && !r.fail(path, e.err) {
				return false
			}
		case !e.mode.IsRegular():
			if r.Patterns.wants(rel) {
				r.warn(Skipped{Path: path, Reason: kind(e.mode) + ": skipped"})
			}
		default:
			r.found++
			if !r.Patterns.wants(rel) {
				continue
			}
			r.given++
			if !r.yield(File{path, rel}, nil) {
				return false
			}
		}
	}
	return true
}

func (r *run) fail(path string, err error) bool {
	r.given++
	return r.yield(File{Path: path}, &source.UnreadableError{Path: path, Err: err})
}

func (r *run) warn(s Skipped) {
	if r.Warn != nil {
		r.Warn(s)
	}
}

// entry is what a directory has.
type entry struct {
	name string
	mode fs.FileMode // of what a link leads to
	link bool
	err  error // of a link that leads nowhere
}

// key orders an entry as the path of what is in it.
func (e entry) key() string {
	if e.mode.IsDir() {
		return e.name + "/"
	}
	return e.name
}

// read gives the entries of a directory in the byte order of paths. With an error
// it gives those that could be read.
func read(dir string) ([]entry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []entry
	for {
		const some = 1024 // at a time: what the system says of each is large
		found, more := f.ReadDir(some)
		for _, d := range found {
			e := entry{name: d.Name(), mode: d.Type()}
			if e.link = e.mode&fs.ModeSymlink != 0; e.link {
				var info fs.FileInfo
				if info, e.err = os.Stat(join(dir, e.name)); e.err == nil {
					e.mode = info.Mode().Type()
				}
			}
			all = append(all, e)
		}
		if more != nil || len(found) == 0 {
			if !errors.Is(more, io.EOF) {
				err = more
			}
			break
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.key(), b.key()) })
	return all, err
}

// join puts a name behind a directory as it was named: nothing of it is cleaned
// away, as what follows a link cannot be.
func join(dir, name string) string {
	if dir != "" && os.IsPathSeparator(dir[len(dir)-1]) {
		return dir + name
	}
	return dir + string(os.PathSeparator) + name
}

func kind(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}
