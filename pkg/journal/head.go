package journal

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Holder is the process that has an upload.
type Holder struct {
	PID   int       `json:"pid"` // 0: not known
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// String tells people; empty if it is not known.
func (h Holder) String() string {
	if h.PID == 0 {
		return ""
	}
	since, now := h.Since.Local(), time.Now()
	layout := "15:04"
	if since.Year() != now.Year() || since.YearDay() != now.YearDay() {
		layout = "2006-01-02 15:04"
	}
	return fmt.Sprintf("process %d on %s, since %s", h.PID, printableName(h.Host), since.Format(layout))
}

// self is this process.
func self() *Holder {
	return &Holder{PID: os.Getpid(), Host: hostname(), Since: time.Now().Round(0)}
}

var hostname = sync.OnceValue(func() string { host, _ := os.Hostname(); return host })

// headOf is the head of a record.
func headOf(id string, r *upload.Record) Listed {
	l := Listed{ID: id, Record: *r, Parts: len(r.Upload.Parts)}
	for _, p := range r.Upload.Parts {
		l.PartSize, l.LastPart = max(l.PartSize, p.Size), p.Size
		if r.Has(p.Number) {
			l.PartsStored++
			l.BytesStored += p.Size
		}
	}
	for _, held := range r.Upload.Existing {
		l.BytesStored += held.Size
	}
	l.URLsExpire = firstExpiry(r.Presigned, func(part int) bool { _, stored := r.Receipts[part]; return !stored })
	l.Record.Receipts, l.Record.Presigned, l.Record.Outcome = nil, nil, nil
	l.Record.Upload.Parts, l.Record.Upload.Existing, l.Record.Upload.Data = nil, nil, nil
	return l
}

// firstExpiry is when the first of the presigned URLs that are needed expires, or
// of all if none is needed; zero: none does.
func firstExpiry(urls []upload.Presigned, needed func(part int) bool) time.Time {
	var first, ofAll time.Time
	earlier := func(at *time.Time, than time.Time) {
		if !than.IsZero() && (at.IsZero() || than.Before(*at)) {
			*at = than
		}
	}
	for _, g := range urls {
		if earlier(&ofAll, g.Expires); needed(g.Part) {
			earlier(&first, g.Expires)
		}
	}
	if first.IsZero() {
		return ofAll
	}
	return first
}

// writeHead writes a head; the lock of the upload is held. Nothing depends on it:
// its db tells the same.
func (j *Journal) writeHead(h Listed) { _ = j.writeFile(j.path(h.ID, extHead), h.encode(0)) }

// readHead reads a head, and when it was written; ok: there is one, and it is
// whole. It may be written just now: then it is read again.
func (j *Journal) readHead(id string) (h Listed, written time.Time, ok bool) {
	for range 3 {
		b, at, err := readSmall(j.path(id, extHead))
		if err != nil {
			break
		}
		if h, ok = parse(b); ok && h.ID == id {
			return h, at, true
		}
	}
	return Listed{}, time.Time{}, false
}

// busy says who has an upload.
func (j *Journal) busy(id string) error {
	h, _, _ := j.readHead(id)
	if h.Holder == nil {
		return &upload.BusyError{}
	}
	return &upload.BusyError{Holder: h.Holder.String()}
}

// headEvery is how often a head is written while parts are sent. That of an upload
// that is being created waits for headFirst: most have begun before.
const (
	headEvery = time.Second
	headFirst = 100 * time.Millisecond
)

// tell writes the head now.
func (e *entry) tell() {
	e.tellNoMore()
	e.head.Holder, e.headAt = e.holder, time.Now().Add(headEvery)
	e.head.URLsExpire = firstExpiry(e.urls, func(part int) bool { _, needed := e.sizes[part]; return needed })
	e.j.writeHead(e.head)
}

// tellSoon writes the head, unless it was written a moment ago: then in a
// moment.
func (e *entry) tellSoon() {
	if e.later != nil {
		return
	}
	if wait := time.Until(e.headAt); wait > 0 {
		e.later = time.AfterFunc(wait, e.tellLater)
		return
	}
	e.tell()
}

// tellNoMore forgets a head that was to be written.
func (e *entry) tellNoMore() {
	if e.later != nil {
		e.later.Stop()
		e.later = nil
	}
}

// tellLater writes the head, unless that was done meanwhile, or the file of the
// upload was replaced by another process's. It waits for no disk.
func (e *entry) tellLater() {
	if !e.mu.TryLock() {
		time.AfterFunc(headFirst, e.tellLater)
		return
	}
	defer e.mu.Unlock()
	if e.later != nil && e.d != nil && leadsTo(e.file(), e.d.info) {
		e.tell()
	}
}

// InFlight says how many bytes are in flight, for others to see. It waits for
// nothing: while a transaction is written, what it is told is forgotten.
func (e *entry) InFlight(bytes int64) {
	if !e.mu.TryLock() {
		return
	}
	defer e.mu.Unlock()
	if e.d != nil && e.rec != nil && e.head.InFlight != bytes {
		e.head.InFlight = bytes
		e.tellSoon()
	}
}
