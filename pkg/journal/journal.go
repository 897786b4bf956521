package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Journal is an [upload.Journal] in a directory. Its fields are not changed after
// the first call of a method; all methods may be called concurrently. Two
// Journals of one directory, in one process or in several, are the same journal.
type Journal struct {
	// Dir is the directory. A relative one is taken from the working directory at
	// the first call. It is created when there is something to record.
	Dir string
	// Warn, if set, is told what is wrong with a file and does not stop the call:
	// a damaged one was moved aside, say. It may be called concurrently.
	Warn func(text string)
	// Trace, if set, is called with each step on the disk before it is made. It may be
	// called concurrently.
	Trace func(Step)

	once   sync.Once
	dir    string // absolute
	dirErr error

	mu     sync.Mutex
	names  listing         // of the directory, as of a short while ago
	held   map[string]bool // IDs of the uploads that are open here
	image  []byte          // what bbolt makes of an empty file
	added  atomic.Int64    // lines of the history
	opened func(*file)     // tests: a db was opened
}

var _ upload.Journal = (*Journal)(nil)

// Files of the directory.
const (
	extDB       = ".db"
	extHead     = ".json"
	nameHistory = "history.ndjson"
	extNew      = ".new" // of a history that is being written
	extDamaged  = ".damaged-"
)

func (j *Journal) path(id, ext string) string {
	return j.dir + string(filepath.Separator) + id + ext
}

func (j *Journal) warn(format string, args ...any) {
	if j.Warn != nil {
		j.Warn(fmt.Sprintf(format, args...))
	}
}

// prepare settles where the directory is, and makes it if create. Where there is
// none, and none is to be made, the error wraps fs.ErrNotExist.
func (j *Journal) prepare(create bool) error {
	j.once.Do(func() {
		if j.dir, j.dirErr = filepath.Abs(j.Dir); j.Dir == "" {
			j.dirErr = errors.New("it has no path")
		}
	})
	if j.dirErr != nil {
		return failed("find", j.Dir, j.dirErr)
	}
	info, err := os.Stat(j.dir)
	switch {
	case err == nil && !info.IsDir():
		return failed("open", j.dir, fmt.Errorf("%w: it is a file", errForeign))
	case err == nil:
		if create {
			closeToOthers(j.dir, info, isOurs)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist) || !create:
		return failed("open", j.dir, err)
	}
	if err := makePrivate(j.dir); err != nil {
		return failed("create", j.dir, err)
	}
	j.syncDir(filepath.Dir(j.dir))
	return nil
}

// writable reports why an upload could not be recorded as delivered: the user has to
// know before anything is sent.
func (j *Journal) writable() error {
	for _, path := range [...]string{j.dir, j.history()} {
		if err := writable(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failed("write", path, err)
		}
	}
	if err := isRegular(j.history()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("write", j.history(), err)
	}
	return nil
}

// isRegular reports why a path cannot be opened as a file. To open a named pipe
// would block.
func isRegular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	return nil
}

// isOurs reports whether a name in the directory is one that this package gives.
func isOurs(name string) bool {
	id, rest, _ := strings.Cut(name, ".")
	return isID(id) && (strings.HasPrefix(rest, "db") || rest == "json") || strings.HasPrefix(name, nameHistory)
}

// Open takes the lock of the upload with this target and path and returns its
// entry. A record that is damaged is moved aside, and Warn is told.
func (j *Journal) Open(ctx context.Context, t upload.Target, path string) (upload.Entry, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, failed("find", path, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := j.prepare(true); err != nil {
		return nil, err
	}
	if err := j.writable(); err != nil {
		return nil, err
	}
	e := &entry{j: j, id: ID(t, path), target: t, path: path}
	if err := e.openNew(true); err != nil {
		return nil, err
	}
	return e, nil
}

// Find reads the record of an upload without taking its lock.
func (j *Journal) Find(ctx context.Context, t upload.Target, path string) (*upload.Record, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if err := j.prepare(false); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	id := ID(t, path)
	r, err := j.read(id)
	if errors.Is(err, errDamaged) {
		j.warn("%v: an upload of this file moves it aside and starts over", failed("read", j.path(id, extDB), err))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if r != nil {
		r.Target, r.Path = t, path
	}
	return r, nil
}

// Moved lists the uploads to this target of a file of this size that are not
// delivered, whatever their path: the most recently changed first, receipts
// included. Those that a process has are left out.
func (j *Journal) Moved(ctx context.Context, t upload.Target, size int64) ([]upload.Record, error) {
	if err := j.prepare(false); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	ids, err := j.sameTarget(ID(t, ""))
	if err != nil {
		return nil, err
	}
	var rs []upload.Record
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if h, _, ok := j.readHead(id); ok && h.Record.State != "" && h.Record.Upload.File.Size != size {
			continue
		}
		r, err := j.read(id)
		if err == nil && r != nil && r.Upload.File.Size == size && r.State != upload.Delivered {
			rs = append(rs, *r)
		}
	}
	slices.SortStableFunc(rs, func(a, b upload.Record) int { return b.Updated.Compare(a.Updated) })
	return rs, nil
}

// listing is the names of the directory at some moment.
type listing struct {
	byTarget map[string][]string // IDs, by their second half
	modified time.Time           // of the directory
	read     time.Time
	took     time.Duration
}

// sameTarget gives the IDs of the uploads to the target of one that are not open
// here. A directory of thousands is not read again for each of thousands of uploads:
// at most a hundredth of the time goes into reading it.
func (j *Journal) sameTarget(id string) ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	info, err := os.Stat(j.dir)
	if err != nil {
		return nil, failed("read", j.dir, err)
	}
	l := &j.names
	if l.byTarget == nil || !l.modified.Equal(info.ModTime()) && time.Since(l.read) > 100*l.took {
		began := time.Now()
		names, err := readNames(j.dir)
		if err != nil {
			return nil, failed("read", j.dir, err)
		}
		*l = listing{byTarget: make(map[string][]string), modified: info.ModTime()}
		for _, name := range names {
			if id, ok := strings.CutSuffix(name, extDB); ok && isID(id) {
				l.byTarget[id[16:]] = append(l.byTarget[id[16:]], id)
			}
		}
		l.read, l.took = time.Now(), time.Since(began)
	}
	others := slices.Clone(l.byTarget[id[16:]])
	return slices.DeleteFunc(others, func(id string) bool { return j.held[id] }), nil
}

// hold remembers which uploads are open here.
func (j *Journal) hold(id string, held bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !held {
		delete(j.held, id)
		return
	}
	if j.held == nil {
		j.held = make(map[string]bool)
	}
	j.held[id] = true
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	return d.Readdirnames(-1)
}
