package journal

import (
	"bytes"
	"encoding/json"
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

// line is an upload that was delivered.
type line struct {
	Version      int             `json:"v"`
	ID           string          `json:"id"`
	Provider     string          `json:"provider"`
	Base         string          `json:"base,omitempty"`
	Upload       string          `json:"upload"`
	Path         text            `json:"path"`
	Name         text            `json:"name,omitempty"` // if it is not that of the path
	Size         int64           `json:"size"`
	ModTime      time.Time       `json:"mtime"`
	Result       text            `json:"result"`
	Verification string          `json:"verification"`
	Parts        int             `json:"parts"`
	PartSize     int64           `json:"part_size,omitempty"`
	LastPart     int64           `json:"last_part,omitempty"`
	Started      time.Time       `json:"started"`
	Delivered    time.Time       `json:"delivered"`
	ContentType  string          `json:"content_type,omitempty"`
	Type         string          `json:"type,omitempty"` // as asked for
	Options      json.RawMessage `json:"options,omitempty"`
	Reply        json.RawMessage `json:"reply,omitempty"` // where there is room
}

func lineOf(id string, r upload.Record, h head) line {
	l := line{
		Version: version, ID: id, Provider: r.Target.Provider, Base: r.Target.Base, Upload: r.Upload.ID,
		Path: text(r.Path), Name: text(r.Target.Name), Size: r.Upload.File.Size, ModTime: storable(r.Upload.File.ModTime),
		Result: text(r.Outcome.Result.Value), Verification: r.Outcome.Verification,
		Parts: h.Parts, PartSize: h.PartSize, LastPart: h.LastPart, Started: storable(r.Started), Delivered: storable(r.Updated),
		ContentType: r.Upload.File.Type, Type: r.Target.Type, Options: r.Target.Options, Reply: r.Outcome.Result.Reply,
	}
	if r.Target.Name == filepath.Base(r.Path) {
		l.Name = ""
	}
	return l
}

// encode gives the line with its end. Where it is too long, what can be missed is
// left out.
func (l line) encode() ([]byte, error) {
	for _, drop := range []func(){func() {}, func() { l.Reply = nil }, func() { l.Options = nil }, func() { l.ContentType = "" }} {
		drop()
		b := bytes.Buffer{}
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
		if b.Len() <= mostLine {
			return b.Bytes(), nil
		}
	}
	b, err := json.Marshal(l) // its path and its result are what it is for
	return append(b, '\n'), err
}

func parseLine(b []byte) (l line, ok bool) {
	if json.Unmarshal(b, &l) != nil || l.Version != version || !isID(l.ID) || l.Delivered.IsZero() {
		return line{}, false
	}
	if l.Name == "" {
		l.Name = text(filepath.Base(string(l.Path)))
	}
	return l, true
}

func (j *Journal) history() string { return filepath.Join(j.dir, nameHistory) }

// addHistory appends a line. No lock is taken: who trims the history copies what
// comes meanwhile, and what came too late for that is appended once more.
func (j *Journal) addHistory(l line) error {
	b, err := l.encode()
	if err != nil {
		return failed("encode", j.history(), err)
	}
	old, err := j.appendHistory(b)
	if err != nil {
		return failed("write", j.history(), err)
	}
	if old {
		_, _ = j.trimHistory(time.Now().Add(-keepFor)) // or the next time
	}
	return nil
}

// appendHistory appends lines. old: the history begins with a line that is to be
// dropped, or is long.
func (j *Journal) appendHistory(b []byte) (old bool, err error) {
	for range 100 {
		f, err := os.OpenFile(j.history(), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return false, err
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
		if err == nil {
			old = tooOld(f, info.Size(), len(b))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		if leadsTo(j.history(), info) {
			return old, nil
		}
	}
	return false, errors.New("it is replaced each time that it is written")
}

// tooOld reports whether a history is to be trimmed: its first line is older than
// it has to be, or it has grown by another mebibyte and may be too long.
func tooOld(f *os.File, size int64, added int) bool {
	first := make([]byte, 2*mostLine)
	n, _ := f.ReadAt(first, 0)
	if at := bytes.IndexByte(first[:n], '\n'); at >= 0 {
		if l, ok := parseLine(first[:at]); !ok || time.Since(l.Delivered) > keepFor+24*time.Hour {
			return true
		}
	}
	const least = 200 // bytes of a line
	return size > keepLines*least && size>>20 != (size+int64(added))>>20
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
	lines := parseHistory(whole)
	kept := slices.DeleteFunc(slices.Clone(lines), func(l *parsed) bool { return l.Delivered.Before(before) })
	if n := len(kept) - keepLines; n > 0 {
		kept = kept[n:]
	}
	var rest bytes.Buffer
	for _, l := range kept {
		rest.Write(append(slices.Clip(l.found), '\n'))
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

// parsed is a line as it was found.
type parsed struct {
	line
	found []byte
}

// parseHistory reads lines, and skips what is torn. Of several lines of one
// upload the last counts.
func parseHistory(b []byte) (lines []*parsed) {
	type key struct {
		id, upload string
		started    int64
	}
	found := bytes.Split(b, []byte("\n"))
	read := make([]*parsed, len(found))
	inParallel(len(found), func(i int) {
		if l, ok := parseLine(found[i]); ok {
			read[i] = &parsed{l, found[i]}
		}
	})
	at := make(map[key]int, len(found))
	for _, l := range read {
		if l == nil {
			continue
		}
		k := key{l.ID, l.Upload, l.Started.UnixNano()}
		if i, twice := at[k]; twice {
			lines[i] = l
		} else {
			at[k] = len(lines)
			lines = append(lines, l)
		}
	}
	return lines
}

// listHistory gives what was delivered within keepFor.
func (j *Journal) listHistory() ([]Listed, error) {
	b, err := os.ReadFile(j.history())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, failed("read", j.history(), err)
	}
	lines := parseHistory(b)
	lines = lines[max(0, len(lines)-keepLines):]
	all := make([]Listed, 0, len(lines))
	for _, l := range lines {
		if time.Since(l.Delivered) > keepFor {
			continue
		}
		path, name := string(l.Path), string(l.Name)
		r := upload.Record{
			Target: upload.Target{Provider: l.Provider, Base: l.Base, Name: name, Type: l.Type, Options: l.Options},
			Path:   path, State: upload.Delivered, Started: l.Started, Updated: l.Delivered,
			Upload:  upload.Upload{ID: l.Upload, File: upload.File{Path: path, Name: name, Type: l.ContentType, Size: l.Size, ModTime: l.ModTime}},
			Outcome: &upload.Outcome{Result: upload.Result{Value: string(l.Result), Reply: l.Reply}, Verification: l.Verification},
		}
		all = append(all, Listed{ID: l.ID, Record: r, Parts: l.Parts, PartSize: l.PartSize, LastPart: l.LastPart, PartsStored: l.Parts, BytesStored: l.Size})
	}
	return all, nil
}
