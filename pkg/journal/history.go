package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/multiput/multiput/pkg/upload"
)

// The bounds of the history.
const (
	keepFor   = 30 * 24 * time.Hour
	keepLines = 100_000
	mostLine  = 1 << 10 // bytes, with its end; what is not needed is left out
)

func (j *Journal) history() string { return filepath.Join(j.dir, nameHistory) }

// addHistory appends a line. No lock is taken: who trims the history copies what
// comes meanwhile, and what came too late for that is appended once more.
// The first line of a day has the journal looked through for what is useless and
// old.
func (j *Journal) addHistory(ctx context.Context, l Listed) error {
	line := l.encode(mostLine)
	was, err := j.appendHistory(line)
	if err != nil {
		return failed("write", j.history(), err)
	}
	before := time.Now().Add(-keepFor)
	size := was.Size()
	crossed := func(bits int) bool { return size>>bits != (size+int64(len(line)))>>bits }
	const least = 200 // bytes of a line
	if size > keepLines*least && crossed(20) || (j.added.Add(1) == 1 || crossed(16)) && j.beginsOld() {
		_, _ = j.trimHistory(before) // or the next time
	}
	if size == 0 || time.Since(was.ModTime()) > 24*time.Hour {
		_, _ = j.sweep(ctx, before) // or the next day
	}
	return nil
}

// appendHistory appends lines, and says what the file was before.
func (j *Journal) appendHistory(b []byte) (was os.FileInfo, err error) {
	for range 10_000 {
		f, err := os.OpenFile(j.history(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			end := []byte{'\n'}
			if info.Size() > 0 {
				_, _ = f.ReadAt(end, info.Size()-1)
			}
			if end[0] != '\n' { // of a line that is torn
				b = append([]byte{'\n'}, b...)
			}
			j.trace(Step{Kind: Append, Path: f.Name(), Data: b})
			_, err = f.Write(b)
		}
		// Once it is closed, the file that replaced it may have its number.
		there := err == nil && leadsTo(j.history(), info)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if there {
			return info, nil
		}
	}
	return nil, errors.New("it is replaced each time that it is written")
}

// beginsOld reports whether the first line of the history is older than it has to
// be.
func (j *Journal) beginsOld() bool {
	f, err := os.Open(j.history())
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	first, _ := bufio.NewReaderSize(f, 2*mostLine).ReadSlice('\n')
	l, ok := parse(first)
	return !ok || time.Since(l.Record.Updated) > keepFor+24*time.Hour
}

// trimHistory drops the lines of what was delivered before a moment, what is torn,
// and the oldest beyond keepLines. It says how many uploads are gone. One process
// does so at a time; if another is at it, nothing is done.
func (j *Journal) trimHistory(before time.Time) (dropped int, _ error) {
	path := j.history()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if runtime.GOOS != "windows" { // there, a file that is open is not replaced
		l := flock.New(path, flock.SetFlag(os.O_RDWR))
		if ok, err := l.TryLock(); err != nil || !ok {
			return 0, err
		}
		defer func() { _ = l.Unlock() }()
		if info, err := l.Stat(); err != nil || !leadsTo(path, info) || !sameFile(f, info) {
			return 0, err
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	// What is still being written stays for the copy below.
	whole := b[:bytes.LastIndexByte(b, '\n')+1]
	lines, kept := parseHistory(whole)
	for i := range lines {
		if lines[i].Record.Updated.Before(before) {
			kept[i] = nil
		}
	}
	kept = slices.DeleteFunc(kept, func(l []byte) bool { return l == nil })
	kept = kept[max(0, len(kept)-keepLines):]
	var rest bytes.Buffer
	for _, l := range kept {
		rest.Write(l)
		rest.WriteByte('\n')
	}
	if len(kept) == len(lines) && rest.Len() == len(whole) {
		return 0, nil
	}
	fresh := path + extNew
	_ = os.Remove(fresh)
	if err := j.writeFile(fresh, rest.Bytes()); err != nil {
		return 0, errors.Join(err, os.Remove(fresh))
	}
	if runtime.GOOS == "windows" {
		_ = f.Close()
	}
	if err := j.rename(fresh, path); err != nil {
		return 0, errors.Join(err, os.Remove(fresh))
	}
	if late, err := io.ReadAll(f); err == nil {
		if late = append(slices.Clone(b[len(whole):]), late...); len(late) > 0 {
			if late[len(late)-1] != '\n' { // who is still writing that line writes it again
				late = append(late, '\n')
			}
			_, err = j.appendHistory(late)
		}
		if err != nil {
			return len(lines) - len(kept), err
		}
	}
	return len(lines) - len(kept), nil
}

func sameFile(f *os.File, info fs.FileInfo) bool {
	mine, err := f.Stat()
	return err == nil && os.SameFile(mine, info)
}

// parseHistory reads lines, as they are and as they were found, and skips what is
// torn. Of several lines of one upload the last counts.
func parseHistory(b []byte) (lines []Listed, found [][]byte) {
	type key struct {
		id, upload string
		started    int64
	}
	found = bytes.Split(b, []byte("\n"))
	lines = make([]Listed, len(found))
	inParallel(len(found), func(i int) {
		if !lines[i].parse(found[i]) {
			lines[i] = Listed{}
		}
	})
	at := make(map[key]int, len(found))
	n := 0
	for i := range lines {
		l := &lines[i]
		if l.Record.State != upload.Delivered {
			continue
		}
		k := key{l.ID, l.Record.Upload.ID, l.Record.Started.UnixNano()}
		to, twice := at[k]
		if !twice {
			to = n
			at[k] = n
			n++
		}
		if to != i {
			lines[to], found[to] = *l, found[i]
		}
	}
	return lines[:n], found[:n]
}

// listHistory gives what was delivered within keepFor.
func (j *Journal) listHistory() ([]Listed, error) {
	var b []byte
	err := isRegular(j.history())
	if err == nil {
		b, err = os.ReadFile(j.history())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, failed("read", j.history(), err)
	}
	lines, _ := parseHistory(b)
	lines = lines[max(0, len(lines)-keepLines):]
	return slices.DeleteFunc(lines, func(l Listed) bool { return time.Since(l.Record.Updated) > keepFor }), nil
}
