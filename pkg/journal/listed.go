package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/upload"
)

// Listed is what the journal has of one upload, for people to look at. A head
// and a line of the history each hold one.
type Listed struct {
	// ID names the upload: 32 hex digits, of which the first few will do. It
	// stays as long as the target and the path of the file do.
	ID string
	// Record has no parts, receipts or presigned URLs, and an Outcome only if it
	// is delivered: see Record of Journal.
	Record      upload.Record
	Parts       int       // of the plan
	PartSize    int64     // bytes of the largest part
	LastPart    int64     // bytes of the last one
	PartsStored int       // parts with a receipt
	BytesStored int64     // of those, and of what the provider had before
	InFlight    int64     // bytes on their way, as far as known
	URLsExpire  time.Time // the first of the presigned URLs that are not issued again and still needed; zero: none
	Holder      *Holder   // the process that has it; nil: none
	Err         error     // why its record cannot be read: all of this is as the head had it, if there is one
}

// field is one key of a Listed as JSON, and where its value is.
type field struct {
	name string
	at   any // *string, *int, *int64, *bool, *time.Time or *json.RawMessage
}

// fields are in the order in which they are written; what is empty is left out.
func (l *Listed) fields(h *Holder, o *upload.Outcome) [30]field {
	r := &l.Record
	return [...]field{
		{"id", &l.ID},
		{"state", (*string)(&r.State)}, // empty: nothing is recorded yet
		{"pid", &h.PID},
		{"host", &h.Host},
		{"since", &h.Since},
		{"provider", &r.Target.Provider},
		{"base", &r.Target.Base},
		{"path", &r.Path},
		{"name", &r.Target.Name},
		{"type", &r.Target.Type},
		{"share", &r.Target.Share},
		{"upload", &r.Upload.ID},
		{"taken_over", &r.Upload.TakenOver},
		{"planned", &r.Upload.Planned},
		{"manifest", &r.Upload.Origin.Path},
		{"manifest_sum", &r.Upload.Origin.Sum},
		{"size", &r.Upload.File.Size},
		{"mtime", &r.Upload.File.ModTime},
		{"parts", &l.Parts},
		{"part_size", &l.PartSize},
		{"last_part", &l.LastPart},
		{"stored", &l.PartsStored},
		{"bytes_stored", &l.BytesStored},
		{"bytes_in_flight", &l.InFlight},
		{"started", &r.Started},
		{"updated", &r.Updated},
		{"expires", &r.Upload.Expires},
		{"urls_expire", &l.URLsExpire},
		{"result", &o.Result.Value},
		{"verification", &o.Verification},
	}
}

// extras are the fields that are left out, from the last one, where the whole
// would be too long.
func (l *Listed) extras(o *upload.Outcome) [3]field {
	return [...]field{
		{"content_type", &l.Record.Upload.File.Type},
		{"options", &l.Record.Target.Options},
		{"reply", &o.Result.Reply},
	}
}

// The text begins and ends with these; the checksum is of what stands before it.
const (
	textBegin = `{"v":1`
	textSum   = `,"crc32c":"00000000"}`
)

func textChecksum(b []byte) []byte {
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli))
	return append(hex.AppendEncode([]byte(`,"crc32c":"`), sum), `"}`...)
}

// encode gives l as one line of JSON, of at most so many bytes if that can be;
// most 0: any number. A value that JSON cannot hold is left out.
func (l *Listed) encode(most int) []byte {
	h, o := new(Holder), new(upload.Outcome)
	if l.Holder != nil {
		h = l.Holder
	}
	if l.Record.Outcome != nil {
		o = l.Record.Outcome
	}
	b := make([]byte, 0, mostLine)
	b = append(b, textBegin...)
	for _, f := range l.fields(h, o) {
		b = f.append(b)
	}
	for _, f := range l.extras(o) {
		if more := f.append(b); most == 0 || len(more)+len(textSum) < most {
			b = more
		}
	}
	return append(append(b, textChecksum(b)...), '\n')
}

// append adds the field to an object, unless its value is empty.
func (f field) append(b []byte) []byte {
	was := len(b)
	b = append(append(append(b, `,"`...), f.name...), `":`...)
	begin := len(b)
	switch v := f.at.(type) {
	case *string:
		if *v != "" {
			b = appendText(b, *v)
		}
	case *int:
		if *v != 0 {
			b = strconv.AppendInt(b, int64(*v), 10)
		}
	case *int64:
		if *v != 0 {
			b = strconv.AppendInt(b, *v, 10)
		}
	case *bool:
		if *v {
			b = append(b, "true"...)
		}
	case *time.Time:
		if !v.IsZero() {
			b = append(storable(*v).AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
		}
	case *json.RawMessage:
		var compact bytes.Buffer
		if len(*v) > 0 && json.Compact(&compact, *v) == nil {
			b = append(b, compact.Bytes()...)
		}
	}
	if len(b) == begin {
		return b[:was]
	}
	return b
}

// appendText adds a JSON string; an array of its bytes in base64 where it is not
// UTF-8, as the names of files may be.
func appendText(b []byte, s string) []byte {
	var quoted []byte
	switch {
	case !utf8.ValidString(s):
		quoted, _ = json.Marshal([][]byte{[]byte(s)}) //nolint:errchkjson // it cannot fail
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }):
		quoted, _ = json.Marshal(s) //nolint:errchkjson // it cannot fail
	default:
		return append(append(append(b, '"'), s...), '"')
	}
	return append(b, quoted...)
}

// parse reads what encode gave, and white space behind it; false: it is not whole.
func parse(b []byte) (Listed, bool) {
	l := new(Listed)
	if !l.parse(b) {
		return Listed{}, false
	}
	return *l, true
}

// parse is parse into a zero l. It knows the order of the fields, and needs no map
// and no reflection: a history has up to 100,000 lines.
func (l *Listed) parse(b []byte) (ok bool) {
	b = bytes.TrimRight(b, " \n")
	at := len(b) - len(textSum)
	if at < len(textBegin) || !bytes.Equal(textChecksum(b[:at]), b[at:]) {
		return false
	}
	s, ok := strings.CutPrefix(string(b[:at]), textBegin)
	if !ok {
		return false
	}
	h, o := new(Holder), new(upload.Outcome)
	fields, extras := l.fields(h, o), l.extras(o)
	for _, some := range [][]field{fields[:], extras[:]} {
		for _, f := range some {
			if s, ok = f.parse(s); !ok {
				return false
			}
		}
	}
	r := &l.Record
	if s != "" || !isID(l.ID) || !h.Since.IsZero() && h.PID == 0 {
		return false
	}
	if h.PID != 0 {
		l.Holder = h
	}
	if r.State == upload.Delivered {
		r.Outcome = o
	}
	r.Upload.File.Path, r.Upload.File.Name = r.Path, r.Target.Name
	return true
}

// parse takes the field off the beginning of s, if it is there.
func (f field) parse(s string) (rest string, ok bool) {
	if n := len(f.name); len(s) < n+5 || s[0] != ',' || s[2:2+n] != f.name || s[2+n:4+n] != `":` {
		return s, true // it is empty
	}
	s = s[4+len(f.name):]
	value := s[:valueEnd(s)]
	rest = s[len(value):]
	plain := len(value) >= 2 && value[0] == '"' && strings.IndexByte(value, '\\') < 0
	var err error
	switch v := f.at.(type) {
	case *string:
		if plain {
			*v = value[1 : len(value)-1]
			break
		}
		if value != "" && value[0] == '[' {
			var raw [1][]byte
			err = json.Unmarshal([]byte(value), &raw)
			*v = string(raw[0])
			break
		}
		err = json.Unmarshal([]byte(value), v)
	case *int:
		*v, err = strconv.Atoi(value)
	case *int64:
		*v, err = strconv.ParseInt(value, 10, 64)
	case *bool:
		*v = value == "true"
	case *time.Time:
		if !plain {
			return "", false
		}
		*v, err = time.Parse(time.RFC3339Nano, value[1:len(value)-1])
	case *json.RawMessage:
		*v = json.RawMessage(value)
	}
	return rest, err == nil
}

// valueEnd is where the JSON value at the beginning of s ends.
func valueEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(s)
}
