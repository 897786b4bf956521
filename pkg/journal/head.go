package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"time"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/upload"
)

// head is ID.json: what others need to know of an upload without opening its db,
// which they cannot while a process has it.
type head struct {
	Version  int             `json:"version"`
	ID       string          `json:"id"`
	State    upload.State    `json:"state"` // empty: nothing is recorded yet
	Holder   *Holder         `json:"holder"`
	Provider string          `json:"provider"`
	Base     string          `json:"base"`
	Path     text            `json:"path"`
	Name     text            `json:"name"`
	Type     string          `json:"type,omitempty"` // as asked for
	Options  json.RawMessage `json:"options,omitempty"`

	Upload      string    `json:"upload"` // the provider's name for it
	TakenOver   bool      `json:"taken_over,omitempty"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`
	Parts       int       `json:"parts"`
	PartSize    int64     `json:"part_size"` // of the largest
	LastPart    int64     `json:"last_part"`
	PartsStored int       `json:"parts_stored"`
	BytesStored int64     `json:"bytes_stored"`
	InFlight    int64     `json:"bytes_in_flight"`
	Started     time.Time `json:"started"`
	Updated     time.Time `json:"updated"`
	Expires     time.Time `json:"expires,omitzero"`     // the upload
	URLsExpire  time.Time `json:"urls_expire,omitzero"` // the first of those that are not issued again
}

// text is a name or a path: a JSON string, or what it has in base64 in an array
// where it is not UTF-8.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([][]byte{[]byte(t)})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var raw [1][]byte
		err := json.Unmarshal(b, &raw)
		*t = text(raw[0])
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}

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
	host, _ := os.Hostname()
	return &Holder{PID: os.Getpid(), Host: host, Since: time.Now().Round(0)}
}

// headOf is the head of a record.
func headOf(id string, r *upload.Record) head {
	t, u := r.Target, r.Upload
	h := head{
		ID: id, State: r.State, Provider: t.Provider, Base: t.Base, Path: text(r.Path), Name: text(t.Name), Type: t.Type, Options: t.Options,
		Upload: u.ID, TakenOver: u.TakenOver, ContentType: u.File.Type, Size: u.File.Size, Parts: len(u.Parts),
		Started: r.Started, Updated: r.Updated, Expires: u.Expires,
	}
	for _, p := range u.Parts {
		h.PartSize, h.LastPart = max(h.PartSize, p.Size), p.Size
		if _, ok := r.Receipts[p.Number]; ok {
			h.PartsStored++
			h.BytesStored += p.Size
		}
	}
	for _, held := range u.Held {
		h.BytesStored += held.Size
	}
	h.URLsExpire = firstExpiry(r.Presigned, func(part int) bool { _, stored := r.Receipts[part]; return !stored })
	return h
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

// The end of a head is the checksum of what stands before it.
const headSum = `,"crc32c":"00000000"}` + "\n"

func headChecksum(b []byte) []byte {
	return fmt.Appendf(nil, `,"crc32c":"%08x"}`+"\n", crc32.Checksum(b, castagnoli))
}

// writeHead writes a head; the lock of the upload is held. Nothing depends on it:
// its db tells the same.
func (j *Journal) writeHead(h head) {
	h.Version = version
	h.Started, h.Updated, h.Expires, h.URLsExpire = storable(h.Started), storable(h.Updated), storableOrZero(h.Expires), storableOrZero(h.URLsExpire)
	b, err := json.Marshal(h)
	if err != nil {
		return
	}
	b = b[:len(b)-1]
	_ = j.writeFile(j.path(h.ID, extHead), append(b, headChecksum(b)...))
}

func storableOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return storable(t)
}

// readHead reads a head; ok: there is one, and it is whole. It may have been
// written just now: then it is read again.
func (j *Journal) readHead(id string) (h head, ok bool) {
	for range 3 {
		b, err := os.ReadFile(j.path(id, extHead))
		if err != nil {
			return head{}, false
		}
		if h, ok = parseHead(b); ok && h.ID == id {
			return h, true
		}
	}
	return head{}, false
}

func parseHead(b []byte) (h head, ok bool) {
	at := len(b) - len(headSum)
	if at < 0 || !bytes.Equal(headChecksum(b[:at]), b[at:]) || json.Unmarshal(b, &h) != nil || h.Version != version {
		return head{}, false
	}
	return h, true
}

// busy says who has an upload.
func (j *Journal) busy(id string) error {
	h, _ := j.readHead(id)
	if h.Holder == nil {
		return &upload.BusyError{}
	}
	return &upload.BusyError{Holder: h.Holder.String()}
}
