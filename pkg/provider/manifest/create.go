package manifest

import (
	"context"
	"fmt"
	"strings"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// data is what an upload keeps of its making: with the secret, all that the
// later calls need.
type data struct {
	Upload  map[string]any `json:"upload"`
	Options map[string]any `json:"options,omitempty"`
}

// Create opens an upload of f. Where the API opened one and its plan cannot be
// used, the Upload comes with the error, so that it can be aborted; not so if
// it is one that was taken over, which may be another's.
func (p *speaker) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	s := &scope{file: fileValue(f), options: p.options, want: wantValue(w)}
	c := &p.m.create
	u := upload.Upload{File: f, Renewable: p.m.presign != nil || p.m.part.path != nil}
	if p.m.plans() {
		parts, err := upload.Split(f.Size, w.PartSize, p.m.limits)
		if err != nil {
			return upload.Upload{}, nil, fmt.Errorf("%s: %w", p.m.title, err)
		}
		u.Parts, s.parts = parts, partsValue(parts)
	}
	a, err := p.ask(ctx, step{what: "create the upload", call: &c.call}, s)
	if err != nil {
		return upload.Upload{}, nil, err
	}
	if err := p.readUpload(ctx, a, s, &u); err != nil {
		return upload.Upload{}, nil, err
	}
	if err := p.reachable(a, s); err != nil {
		return upload.Upload{}, nil, err
	}
	resumed := false
	if c.resumed != nil {
		v, err := c.resumed.one(ctx, a.value, s)
		if err == nil {
			resumed, err = truth(v)
		}
		if err != nil {
			return upload.Upload{}, nil, p.unusable(a, c.resumed.key, "%v", err) // it may be one that was taken over
		}
	}
	if resumed && u.Digest != upload.DigestCRC32C {
		return upload.Upload{}, nil, fmt.Errorf("%s: %w: the upload that was taken over (%s) is not checked with crc32c, so its parts may be of another file; it is left as it is",
			a.op, upload.ErrUnverified, transport.Clean(u.ID))
	}
	u.TakenOver = resumed
	gs, err := p.readPlan(ctx, a, s, &u, resumed)
	if err != nil && resumed {
		u = upload.Upload{}
	}
	return u, gs, err
}

// reachable makes certain that every later call has an address. Found out only
// at the last of them, it would have cost the whole transfer.
func (p *speaker) reachable(a *answer, s *scope) error {
	for _, c := range []*call{
		p.m.presignCall(), &p.m.part.call, p.m.checkpoint, &p.m.complete.call, p.m.probeCall(), p.m.abort,
	} {
		if c == nil || c.path == nil {
			continue
		}
		if _, err := p.address(c, s); err != nil {
			return p.unusable(a, "", "%v", err)
		}
	}
	return nil
}

// readPlan reads what create's answer says of the parts.
func (p *speaker) readPlan(ctx context.Context, a *answer, s *scope, u *upload.Upload, resumed bool) ([]upload.Presigned, error) {
	c := &p.m.create
	if c.size != nil {
		size, err := p.whole(ctx, c.size, a, s)
		if err != nil {
			return nil, err
		}
		if size != u.File.Size {
			return nil, p.misfit(a, "it planned for %d bytes, and the file has %d", size, u.File.Size)
		}
	}
	if c.expires != nil {
		v, err := c.expires.one(ctx, a.value, s)
		if err != nil {
			return nil, p.unusable(a, c.expires.key, "%v", err)
		}
		t, err := toTime(v)
		if err != nil {
			return nil, p.unusable(a, c.expires.key, "%s %v", show(v), err)
		}
		u.Expires = a.local(t)
	}
	if c.parts != nil {
		if err := p.readParts(ctx, a, s, u); err != nil {
			return nil, err
		}
		if resumed {
			u.Held = gaps(u.File.Size, u.Parts)
		}
	}
	if c.urls == nil {
		return nil, nil
	}
	gs, err := p.readURLs(ctx, c.urls, a, s, u.Parts, u.Parts)
	if err != nil {
		return nil, err
	}
	if !u.Renewable {
		return gs, p.covers(a, gs, u.Parts)
	}
	return gs, nil
}

// readUpload makes $upload, and of it what the engine knows of an upload.
func (p *speaker) readUpload(ctx context.Context, a *answer, s *scope, u *upload.Upload) error {
	e := p.m.create.upload
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return p.unusable(a, e.key, "%v", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return p.unusable(a, e.key, "yields %s, not an object", show(v))
	}
	for k, v := range m {
		if k != "digest" && (v == nil || v == "") {
			return p.unusable(a, e.key, "the answer has no value for %s", k)
		}
	}
	if u.ID, ok = toText(m["id"]); !ok {
		return p.unusable(a, e.key, "id is %s, neither text nor a whole number", show(m["id"]))
	}
	switch d, isText := m["digest"].(string); {
	case m["digest"] == nil, isText && (d == "" || strings.EqualFold(d, "none")):
	case isText && strings.EqualFold(d, upload.DigestCRC32C):
		u.Digest = upload.DigestCRC32C
	case isText && strings.EqualFold(d, upload.DigestMD5):
		u.Digest = upload.DigestMD5
	case isText && strings.EqualFold(d, upload.DigestSHA1):
		u.Digest = upload.DigestSHA1
	default:
		return p.unusable(a, e.key, "digest is %s; known are crc32c, md5, sha1 and none", show(m["digest"]))
	}
	s.upload = m
	if u.Data, err = marshal(data{Upload: m, Options: p.m.options.Open(p.options)}); err != nil {
		return p.unusable(a, e.key, "%v", err)
	}
	return nil
}

// whole is the whole number that an expression reads out of an answer.
func (p *speaker) whole(ctx context.Context, e *expr, a *answer, s *scope) (int64, error) {
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return 0, p.unusable(a, e.key, "%v", err)
	}
	n, ok := toInt64(v)
	if !ok {
		return 0, p.unusable(a, e.key, "yields %s, not a whole number", show(v))
	}
	return n, nil
}

// misfit is an answer whose plan is not one for the file.
func (p *speaker) misfit(a *answer, format string, args ...any) error {
	return fmt.Errorf("%s: %w", a.op, &upload.PlanError{Reason: fmt.Sprintf(format, args...)})
}
