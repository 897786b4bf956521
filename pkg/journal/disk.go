package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Step is something that the journal does to the disk: what it wrote and did not
// sync may be lost with the power.
type Step struct {
	Kind   StepKind
	Path   string
	To     string // of Rename
	Offset int64  // of Write; the end of the file for Append
	Data   []byte // of Write and Append; not to be kept or changed
}

// StepKind says what a Step does.
type StepKind string

// The kinds of steps. What bbolt writes in a Commit is its own.
const (
	Create  StepKind = "create"   // an empty file
	Write   StepKind = "write"    // into a file
	Append  StepKind = "append"   // to a file
	Commit  StepKind = "commit"   // a transaction of bbolt, synced if it is not the first
	Sync    StepKind = "sync"     // a file
	SyncDir StepKind = "sync dir" // a directory
	Rename  StepKind = "rename"
	Remove  StepKind = "remove"
)

func (j *Journal) trace(s Step) {
	if j.Trace != nil {
		j.Trace(s)
	}
}

// syncDir makes new and changed names durable where directories can be synced.
// Where it fails, a power cut may undo them, and nothing else.
func (j *Journal) syncDir(dir string) {
	j.trace(Step{Kind: SyncDir, Path: dir})
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func (j *Journal) rename(from, to string) error {
	j.trace(Step{Kind: Rename, Path: from, To: to})
	return os.Rename(from, to)
}

func (j *Journal) remove(path string) error {
	j.trace(Step{Kind: Remove, Path: path})
	return os.Remove(path)
}

// writeFile writes a small file in place, by one call, and fills the rest of a
// longer one with blanks: there is no moment between two calls in which a process
// could be stopped, and for what a reader may see of one call there is the
// checksum. Renaming another file over it would have the file system flush both,
// which costs more than a receipt.
func (j *Journal) writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, err := f.Stat(); err == nil && info.Size() > int64(len(b)) {
		b = append(b, bytes.Repeat([]byte(" "), int(info.Size())-len(b))...)
	}
	j.trace(Step{Kind: Write, Path: path, Data: b})
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Close())
}

// leadsTo reports whether a path still leads to a file.
func leadsTo(path string, to os.FileInfo) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, to)
}

// aside moves a damaged file to a name that nothing has, unless it was replaced
// meanwhile.
func (j *Journal) aside(path string, what os.FileInfo) (string, error) {
	base := path + extDamaged + time.Now().UTC().Format("20060102T150405Z")
	name := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if !leadsTo(path, what) {
		return "", nil
	}
	if err := j.rename(path, name); err != nil {
		return "", err
	}
	keepPrivate(name)
	j.syncDir(j.dir)
	return name, nil
}
