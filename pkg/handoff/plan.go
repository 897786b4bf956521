package handoff

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Plan is a plan file: an upload that was created, and its parts.
type Plan struct {
	Version  int    `json:"version"`
	ID       string `json:"id"` // the same as long as the upload is
	Provider string `json:"provider"`
	Base     string `json:"base"` // the URL of the API; empty: that of the sandbox, which changes
	Target   Target `json:"target"`
	File     File   `json:"file"`
	Upload   Upload `json:"upload"`
	Parts    []Part `json:"parts"`
	// Requests are presigned requests that end the upload, by what the provider
	// calls them; none: they need its key.
	Requests map[string]Request `json:"requests,omitempty"`
}

// Request is a presigned request.
type Request struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
}

// Target is the rest of where the file goes.
type Target struct {
	Name    text            `json:"name"` // the name the provider stores the file under
	Type    string          `json:"type"` // media type, if one was asked for
	Options json.RawMessage `json:"options,omitempty"`
}

// File is the file as it was planned.
type File struct {
	Path  text      `json:"path"` // where the planner had it
	Name  text      `json:"name"`
	Size  int64     `json:"size"` // bytes
	Type  string    `json:"type"`
	MTime time.Time `json:"mtime"`
	ID    string    `json:"id,omitempty"` // see upload.File
}

// Upload is what the provider said of the upload.
type Upload struct {
	ID        string          `json:"id"`
	Expires   time.Time       `json:"expires,omitzero"`
	Digest    string          `json:"digest,omitempty"`
	Renewable bool            `json:"renewable"` // whether the provider issues new URLs
	TakenOver bool            `json:"taken_over,omitempty"`
	PartSize  int64           `json:"part_size,omitempty"` // that was asked for
	Existing  []upload.Range  `json:"existing,omitempty"`  // ranges the provider had before
	Data      json.RawMessage `json:"data,omitempty"`      // the provider's own
}

// Part is a part, and where it goes.
type Part struct {
	Number  int               `json:"number"`
	Offset  int64             `json:"offset"`
	Size    int64             `json:"size"`
	CRC32C  string            `json:"crc32c,omitempty"` // of its bytes, 8 hex digits
	Digest  string            `json:"digest,omitempty"` // of its bytes, that the URL is signed with, in base64
	URL     string            `json:"url,omitempty"`    // none: it goes to the API, which needs the key
	Headers map[string]string `json:"headers,omitempty"`
	Expires time.Time         `json:"expires,omitzero"` // the URL; none: not known
}

// New makes a plan of an upload.
func New(t upload.Target, sh upload.Shared) *Plan {
	up, f := sh.Upload, sh.Upload.File
	p := &Plan{
		Version: Version, ID: id(t, up), Provider: t.Provider, Base: t.Base,
		Target: Target{Name: text(t.Name), Type: t.Type, Options: t.Options},
		File:   File{Path: text(f.Path), Name: text(f.Name), Size: f.Size, Type: f.Type, MTime: f.ModTime, ID: f.ID},
		Upload: Upload{
			ID: up.ID, Expires: up.Expires, Digest: up.Digest, Renewable: up.Renewable, TakenOver: up.TakenOver,
			PartSize: up.Asked, Existing: up.Existing, Data: up.Data,
		},
		Parts: make([]Part, len(up.Parts)),
	}
	for i, part := range up.Parts {
		p.Parts[i] = Part{Number: part.Number, Offset: part.Offset, Size: part.Size, Digest: part.Digest}
		if sum, ok := sh.CRC32C[part.Number]; ok {
			p.Parts[i].CRC32C = hexCRC(sum)
		}
	}
	p.SetURLs(sh)
	return p
}

// SetURLs replaces the presigned URLs. The sandbox's address changes, so that its
// URLs would not work later.
func (p *Plan) SetURLs(sh upload.Shared) {
	byPart := make(map[int]upload.Presigned, len(sh.URLs))
	for _, x := range sh.URLs {
		byPart[x.Part] = x
	}
	for i := range p.Parts {
		part := &p.Parts[i]
		x := byPart[part.Number]
		if p.Base == "" {
			x = upload.Presigned{}
		}
		part.URL, part.Headers, part.Expires = x.URL, x.Header, x.Expires
	}
	p.Requests = nil
	for name, x := range sh.Requests {
		if p.Requests == nil {
			p.Requests = make(map[string]Request, len(sh.Requests))
		}
		p.Requests[name] = Request{URL: x.URL, Headers: x.Header, Expires: x.Expires}
	}
}

// Signed are the presigned requests that end the upload; nil: none.
func (p *Plan) Signed() map[string]upload.Presigned {
	var signed map[string]upload.Presigned
	for name, r := range p.Requests {
		if signed == nil {
			signed = make(map[string]upload.Presigned, len(p.Requests))
		}
		signed[name] = upload.Presigned{URL: r.URL, Header: r.Headers, Expires: r.Expires}
	}
	return signed
}

// id tells an upload from all others.
func id(t upload.Target, up upload.Upload) string {
	h := sha256.New()
	for _, s := range []string{t.Provider, t.Base, up.ID, string(up.Data), strconv.FormatInt(up.File.Size, 10), strconv.Itoa(len(up.Parts))} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Share is what the engine needs of the plan, for a file at a path and these of
// its parts.
func (p *Plan) Share(path string, parts []upload.Part) upload.Share {
	f := upload.File{Path: string(p.File.Path), Name: string(p.File.Name), Type: p.File.Type, Size: p.File.Size, ModTime: p.File.MTime, ID: p.File.ID}
	s := upload.Share{
		Plan:   p.ID,
		Target: upload.Target{Provider: p.Provider, Base: p.Base, Name: string(p.Target.Name), Type: p.Target.Type, Options: p.Target.Options},
		Path:   path, Parts: parts,
		Upload: upload.Upload{
			ID: p.Upload.ID, File: f, Expires: p.Upload.Expires, Digest: p.Upload.Digest, Renewable: p.Upload.Renewable,
			TakenOver: p.Upload.TakenOver, Asked: p.Upload.PartSize, Existing: p.Upload.Existing, Data: p.Upload.Data,
			Parts: p.parts(), Planned: true,
		},
	}
	for _, part := range p.Parts {
		// A part that goes to the API itself has no URL, and needs none.
		if part.URL != "" || p.Base != "" {
			s.URLs = append(s.URLs, upload.Presigned{Part: part.Number, URL: part.URL, Header: part.Headers, Expires: part.Expires})
		}
		if sum, err := parseCRC(part.CRC32C); err == nil {
			if s.CRC32C == nil {
				s.CRC32C = make(map[int]uint32, len(p.Parts))
			}
			s.CRC32C[part.Number] = sum
		}
	}
	return s
}

func (p *Plan) parts() []upload.Part {
	parts := make([]upload.Part, len(p.Parts))
	for i, part := range p.Parts {
		parts[i] = upload.Part{Number: part.Number, Offset: part.Offset, Size: part.Size, Digest: part.Digest}
	}
	return parts
}

// The end of a plan is the checksum of what stands before it.
const (
	sumKey  = `,"sha256":"`
	sumTail = `"}` + "\n"
	sumSize = len(sumKey) + 2*sha256.Size + len(sumTail)
)

func sumOf(b []byte) []byte {
	return fmt.Appendf(nil, "%s%x%s", sumKey, sha256.Sum256(b), sumTail)
}

// Encode is the plan as it is written: JSON in one line.
func (p *Plan) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // URLs have & in them
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	doc := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	return append(doc, sumOf(doc)...), nil
}

// Decode reads what Encode wrote. An error wraps ErrDamaged and names path.
func Decode(path string, b []byte) (*Plan, error) {
	at := len(b) - sumSize
	if at < 0 || !bytes.HasPrefix(b, []byte(versionKey)) {
		return nil, damaged(path, "it is not a plan, or it is truncated")
	}
	if err := newer(path, b); err != nil {
		return nil, err
	}
	if !bytes.Equal(b[at:], sumOf(b[:at])) {
		return nil, damaged(path, "the plan does not match its checksum: it was edited or truncated")
	}
	p := new(Plan)
	if err := strict(append(bytes.Clone(b[:at]), '}'), p); err != nil {
		return nil, damaged(path, "%v", err)
	}
	if err := p.check(); err != nil {
		return nil, damaged(path, "%v", err)
	}
	return p, nil
}

// check checks what the engine relies on.
func (p *Plan) check() error {
	for _, part := range p.Parts {
		if _, err := parseCRC(part.CRC32C); part.CRC32C != "" && err != nil {
			return fmt.Errorf("part %d: %w", part.Number, err)
		}
	}
	switch s := p.Share("", nil); {
	case p.Version != Version || p.Provider == "" || p.Upload.ID == "":
		return fmt.Errorf("it lacks its version, provider or upload")
	case p.ID != id(s.Target, s.Upload):
		return fmt.Errorf("its id is another plan's")
	default:
		return upload.Tile(p.File.Size, s.Upload.Parts, p.Upload.Existing)
	}
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func hexCRC(n uint32) string { return fmt.Sprintf("%08x", n) }

func parseCRC(s string) (uint32, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, fmt.Errorf("%q is not a CRC-32C", s)
	}
	return binary.BigEndian.Uint32(b), nil
}

// hexCRC64 is empty for one that is not known.
func hexCRC64(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", n)
}

func parseCRC64(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, fmt.Errorf("%q is not a CRC-64", s)
	}
	return binary.BigEndian.Uint64(b), nil
}

// Expires is when the first of the presigned URLs expires; zero: not known.
func (p *Plan) Expires() (first time.Time) {
	for _, part := range p.Parts {
		if !part.Expires.IsZero() && (first.IsZero() || part.Expires.Before(first)) {
			first = part.Expires
		}
	}
	return first
}

// Expired reports whether a presigned URL of a part is no longer valid.
func (p *Plan) Expired(now time.Time) bool {
	end := p.Expires()
	return !end.IsZero() && !now.Before(end)
}
