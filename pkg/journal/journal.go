package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// DefaultWait is how long a Journal waits for other processes.
const DefaultWait = 30 * time.Second

// keep is how long a delivered upload is remembered.
const keep = 30 * 24 * time.Hour

// Journal is an [upload.Journal] in one file. Its fields are not changed after
// the first call of a method. Two Journals of one path, in one process or in
// several, are the same journal.
type Journal struct {
	// Path of the file. A relative one is taken from the working directory at
	// the first call. The file and its directory are created when there is
	// something to record.
	Path string
	// Wait is how long to wait for other processes that have the journal open,
	// which each has for a moment. Zero: DefaultWait. After it the error wraps
	// upload.ErrUnfinished.
	Wait time.Duration

	once    sync.Once
	path    string // absolute, links resolved
	pathErr error
	turn    chan struct{} // held by the one goroutine that is at the file
	sound   os.FileInfo   // the file that was examined and found in order; guarded by turn
	commits int           // how many transactions were committed; guarded by turn

	mu     sync.Mutex
	queue  []*change
	queued func() // tests: a change was queued
	noSync bool   // tests: where durability is not the question, spare the disk
}

var _ upload.Journal = (*Journal)(nil)

func (j *Journal) wait() time.Duration {
	if j.Wait > 0 {
		return j.Wait
	}
	return DefaultWait
}

// prepare settles where the journal is. What is there and is no journal is
// refused before anything is put beside it.
func (j *Journal) prepare() error {
	j.once.Do(func() {
		j.turn = make(chan struct{}, 1)
		j.path, j.pathErr = resolve(j.Path)
	})
	if j.pathErr != nil {
		return &Error{Path: j.Path, Op: "find", Err: j.pathErr, Advice: advice(j.pathErr)}
	}
	return nil
}

// resolve makes a path absolute and follows links, so that every name of a
// journal leads to the same locks.
func resolve(path string) (string, error) {
	if path == "" {
		return "", errors.New("it has no path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("%w: it is a directory", errForeign)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: it is no regular file", errForeign)
	}
	// A journal appears whole, by a rename: a file without any trace of one
	// cannot be one that is being written.
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	if _, _, marked, err := findMeta(f); err != nil {
		return "", err
	} else if info.Size() > 0 && !marked && !bboltLike(f) {
		return "", errForeign
	}
	return path, nil
}

// Open takes the lock of the upload with this target and path and returns its
// entry. The journal itself is not read yet.
func (j *Journal) Open(ctx context.Context, t upload.Target, path string) (upload.Entry, error) {
	if err := j.prepare(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, j.interrupted(err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, j.broken("find", err)
	}
	e := &entry{j: j, target: t, path: path, to: targetKey(t)}
	e.key = uploadKey(e.to, path)
	if e.held, err = j.hold(ctx, e.key); err != nil {
		return nil, err
	}
	return e, nil
}

// Moved lists the uploads to this target of a file of this size that are not
// delivered, whatever their path: the most recently changed first, receipts
// included.
func (j *Journal) Moved(ctx context.Context, t upload.Target, size int64) ([]upload.Record, error) {
	var rs []upload.Record
	to := targetKey(t)
	err := j.read(ctx, func(uploads *bbolt.Bucket) error {
		rs = nil
		return uploads.ForEachBucket(func(key []byte) error {
			b := uploads.Bucket(key)
			h, err := openHead(b.Get([]byte(keyHead)))
			if err != nil {
				return err
			}
			if h.To != to || h.File.Size != size || h.State == upload.Delivered {
				return nil
			}
			r, err := load(b)
			if err != nil {
				return err
			}
			rs = append(rs, *r)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rs, func(a, b upload.Record) int { return b.Updated.Compare(a.Updated) })
	return rs, nil
}
