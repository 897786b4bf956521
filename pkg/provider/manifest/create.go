package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// data is what an upload keeps of its making and of what came after: with the
// secret, all that the later calls need.
type data struct {
	Upload  map[string]any `json:"upload"`
	Options map[string]any `json:"options,omitempty"`
	Digests map[string]any `json:"digests,omitempty"` // of the whole file, known ahead
	// Created and Completed are how many requests of create and of complete were
	// clearly answered; Created is only there while there are more.
	Created   int `json:"created,omitempty"`
	Completed int `json:"completed,omitempty"`
}

// Create opens an upload of f. Where the API opened one and it cannot be used, the
// Upload comes with the error, so that it can be aborted, unless it says that it was
// taken over: then it may be another's.
func (p *speaker) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	st := p.m.stepsFor(f)
	s := &scope{file: fileValue(f), options: p.options, partSize: sizeOrNull(w.PartSize), base: p.base, digests: digestFieldsOf(nil)}
	u := upload.Upload{File: f, Renewable: st.presign != nil || st.part.fixed(), Whole: st.complete == nil}
	if u.Whole && w.Shared {
		return upload.Upload{}, nil, &unsent{fmt.Errorf("%s: it takes a file of %d bytes in one request, which cannot be shared: %w", p.m.title, f.Size, upload.ErrLimit)}
	}
	switch {
	case u.Whole || p.m.small != nil && st == p.m.small:
		u.Parts = []upload.Part{{Number: 1, Size: f.Size}}
	case p.m.plans(st):
		parts, err := upload.Split(f.Size, w.PartSize, p.m.limits)
		if err != nil {
			return upload.Upload{}, nil, fmt.Errorf("%s: %w", p.m.title, err)
		}
		u.Parts = parts
	}
	sums, err := aheadOf(st.partDigests["create"], f, u.Parts)
	if err != nil {
		return upload.Upload{}, nil, fmt.Errorf("%s: %w", p.m.title, err)
	}
	if u.Parts != nil {
		s.parts = partsValue(u.Parts, nil, sums)
	}
	if err := p.m.overwritten(st, s); err != nil {
		return upload.Upload{}, nil, &unsent{err}
	}
	kept := data{Options: p.m.options.Open(p.options)}
	if st.create == nil {
		u.ID = f.Name // the API has no name for it
		s.upload = map[string]any{}
		return u, nil, p.record(&u, kept, s)
	}
	if w.Begun.Begun {
		if err := p.continueWith(w.Begun, s, &kept); err != nil {
			return upload.Upload{}, nil, &unsent{err}
		}
	} else if names := st.create.digestNames(); len(names) > 0 {
		sums, err := ahead(names, f, 0, f.Size)
		if err != nil {
			return upload.Upload{}, nil, &unsent{fmt.Errorf("%s: %w", p.m.title, err)}
		}
		s.digests, kept.Digests = digestFieldsOf(sums), known(names, sums)
	}
	var a *answer
	for ; kept.Created < len(st.create.requests); kept.Created++ {
		before := s.upload
		if a, err = p.ask(ctx, call{request: st.create.requests[kept.Created], what: "create the upload"}, s); err == nil {
			continue
		}
		if kept.Created > 0 && a != nil && p.wantsAgain(ctx, a, s, err) {
			s.upload = before
			return p.begun(kept, s), nil, err
		}
		return p.opened(s), nil, err
	}
	kept.Created = 0
	if err := p.identify(ctx, st, a, s, &u); err != nil {
		return p.opened(s), nil, err
	}
	if err := p.record(&u, kept, s); err != nil {
		return p.opened(s), nil, err
	}
	err = p.m.overwritten(st, s) // now by what was kept
	if err == nil {
		err = p.reachable(ctx, st, s)
	}
	if err != nil {
		var wrong *spec.Error
		if !errors.As(err, &wrong) {
			err = fmt.Errorf("%s: %w", a.op, err)
		}
		return u, nil, err
	}
	resumed, err := p.resumed(ctx, st, a, s, u)
	u.TakenOver = resumed || err != nil // then it may be
	if err != nil {
		return u, nil, err
	}
	urls, err := p.readPlan(ctx, st, a, s, &u, resumed)
	return u, urls, err
}

// digestNames are the digests that create wants ahead.
func (c *createStep) digestNames() (names []string) {
	for _, r := range c.requests {
		names = append(names, r.digests...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wantsAgain reports whether an answer clearly says that the same request is to be
// made again later, so that those before it need not be repeated.
func (p *speaker) wantsAgain(ctx context.Context, a *answer, s *scope, err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Retry && (a.Status == http.StatusTooManyRequests || p.says(ctx, p.m.failure.retry, a, s))
}

// begun is an upload of whose create some requests are still to be made.
func (p *speaker) begun(d data, s *scope) upload.Upload {
	u := upload.Upload{Begun: true}
	if up, ok := s.upload.(map[string]any); ok {
		u.ID, _ = toText(up["id"])
	} else {
		s.upload = map[string]any{} // none of them kept anything
	}
	if p.record(&u, d, s) != nil {
		return p.opened(s)
	}
	return u
}

// continueWith restores what begun made.
func (p *speaker) continueWith(u upload.Upload, s *scope, d *data) error {
	was, err := p.scope(u)
	if err != nil {
		return err
	}
	var begun data
	if err := json.Unmarshal(u.Data, &begun); err != nil {
		return err
	}
	s.upload, s.digests = was.upload, was.digests
	d.Digests, d.Created = begun.Digests, begun.Created
	return nil
}

// opened is an upload that a failed create may have opened: as much of it as
// abort needs. It has no ID if there is none that is known of.
func (p *speaker) opened(s *scope) (u upload.Upload) {
	up, _ := s.upload.(map[string]any)
	id, ok := toText(up["id"])
	if !ok || id == "" {
		return upload.Upload{}
	}
	u.ID = id
	if p.record(&u, data{Options: p.m.options.Open(p.options)}, s) != nil {
		return upload.Upload{}
	}
	return u
}

// identify reads the upload's id, and the digest that complete takes.
func (p *speaker) identify(ctx context.Context, st *steps, a *answer, s *scope, u *upload.Upload) error {
	up, _ := s.upload.(map[string]any)
	last := st.create.requests[len(st.create.requests)-1]
	switch id, there := up["id"]; {
	case !there:
		return p.unusable(a, last.key, "no keep gave $upload an id")
	default:
		var ok bool
		if u.ID, ok = toText(id); !ok {
			return p.unusable(a, last.key, "id is %s, neither text nor a whole number", show(id))
		}
	}
	e := st.create.digest
	if e == nil {
		return nil
	}
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return p.misread(a, e, err)
	}
	name, isText := v.(string)
	switch name = strings.ToLower(name); {
	case v == nil, isText && (name == "" || name == "none"):
	case isText && slices.Contains(digestNames, name):
		u.Digest = name
	default:
		return p.misread(a, e, fmt.Errorf("yields %s; known are %s and none", show(v), strings.Join(digestNames, ", ")))
	}
	return nil
}

// record puts what later calls need into the upload.
func (p *speaker) record(u *upload.Upload, d data, s *scope) (err error) {
	d.Upload, _ = s.upload.(map[string]any)
	if u.Data, err = marshal(d); err != nil {
		return fmt.Errorf("%s: %w: what is kept of the upload: %w", p.m.title, upload.ErrReply, err)
	}
	return nil
}

// resumed reports whether create took over an upload that was there.
func (p *speaker) resumed(ctx context.Context, st *steps, a *answer, s *scope, u upload.Upload) (bool, error) {
	e := st.create.resumed
	if e == nil {
		return false, nil
	}
	v, err := e.one(ctx, a.value, s)
	resumed := false
	if err == nil {
		resumed, err = truth(v)
	}
	if err != nil {
		return false, p.misread(a, e, err)
	}
	if resumed && u.Digest != upload.DigestCRC32C {
		return false, fmt.Errorf("%s: %w: the upload that was taken over (%s) is not checked with crc32c, so its parts may be of another file; it is left as it is",
			a.op, upload.ErrUnverified, transport.Clean(u.ID))
	}
	return resumed, nil
}

// reachable makes certain that every later request has an address, as far as
// that is known now. Found out only at the last of them, it would have cost the
// whole transfer.
func (p *speaker) reachable(ctx context.Context, st *steps, s *scope) (err error) {
	up, _ := s.upload.(map[string]any)
	st.requests(func(step string, r *request) {
		if err != nil || step == "create" {
			return
		}
		if r.path != nil {
			for _, f := range r.path.fields {
				if _, there := up[f.name]; f.of == "upload" && !there && !p.m.keptLater(f.name, st, r) {
					err = p.m.lacks(r, f.name)
					return
				}
			}
			if !r.path.uses("part") && !r.path.uses("upload") {
				_, err = r.path.expand(s)
			}
			return
		}
		if r.url == nil || slices.ContainsFunc(laterValues, r.url.mentions) {
			return
		}
		for _, found := range uploadOf().FindAllStringSubmatch(r.url.text, -1) {
			if _, there := up[found[1]]; !there && p.m.keptLater(found[1], st, r) {
				return
			}
		}
		if _, err = p.address(ctx, &request{key: r.key, url: r.url, auth: r.auth}, s); err == nil {
			return
		}
		for _, found := range uploadOf().FindAllStringSubmatch(r.url.text, -1) {
			if _, there := up[found[1]]; !there {
				err = p.m.lacks(r, found[1])
			}
		}
	})
	return err
}

// laterValues are what is not known when the upload was created.
var laterValues = []string{"$part", "$digests", "$header", "$status"}

// uploadOf is a field of $upload in an expression.
var uploadOf = text.Pattern(`\$upload\s*\.\s*"?([A-Za-z_]\w*)`)

// lacks is the fault of a request whose address needs a field that nothing kept.
func (m *Manifest) lacks(r *request, name string) *spec.Error {
	if r.path != nil {
		return m.Fault(r.key+".send", "$upload has no %s, which the path needs: no keep made it", name)
	}
	return m.Fault(r.key+".url", "$upload has no %s, which the URL needs: no keep made it", name)
}

// keptLater reports whether a request after create, and before this one, keeps a
// field. Parts have their requests over and over, so that what one of them keeps
// is there for those of the next.
func (m *Manifest) keptLater(name string, st *steps, before *request) (later bool) {
	seen, done := false, false
	st.requests(func(step string, r *request) {
		seen = seen || r == before
		done = done || seen && !slices.Contains([]string{"presign", "part", "confirm", "checkpoint"}, step)
		if !done && step != "create" && r.keep != nil {
			names, known := keysOf(r.keep)
			later = later || names[name] || !known
		}
	})
	return later
}

// readPlan reads what create's answer says of the parts.
func (p *speaker) readPlan(ctx context.Context, st *steps, a *answer, s *scope, u *upload.Upload, resumed bool) ([]upload.Presigned, error) {
	c := st.create
	if c.size != nil {
		size, err := p.whole(ctx, c.size, a, s)
		if err != nil {
			return nil, err
		}
		if size != u.File.Size {
			return nil, p.misfit(a, "it planned for %d bytes, but the file has %d", size, u.File.Size)
		}
	}
	if c.expires != nil {
		v, err := c.expires.one(ctx, a.value, s)
		if err != nil {
			return nil, p.misread(a, c.expires, err)
		}
		t, err := toTime(v)
		if err != nil {
			return nil, p.unusable(a, c.expires.key, "%s %v", show(v), err)
		}
		u.Expires = a.local(t)
	}
	switch {
	case c.parts != nil:
		if err := p.readParts(ctx, c, a, s, u); err != nil {
			return nil, err
		}
		if resumed {
			u.Existing = gaps(u.File.Size, u.Parts)
		}
	case c.partSize != nil && u.Parts == nil:
		each, err := p.partSize(ctx, c, a, s)
		if err != nil {
			return nil, err
		}
		if u.Parts, err = upload.Split(u.File.Size, each, upload.Limits{}); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", a.op, upload.ErrReply, err)
		}
	}
	if c.urls == nil {
		return nil, nil
	}
	if s.parts == nil && u.Parts != nil {
		sums, err := aheadOf(st.partDigests["create"], u.File, u.Parts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.m.title, err)
		}
		s.parts = partsValue(u.Parts, nil, sums)
	}
	gs, err := p.readURLs(ctx, c.urls, a, s, u.Parts, u.Parts)
	if err != nil {
		return nil, err
	}
	if !u.Renewable {
		return gs, p.covers(a, u.File, gs, u.Parts)
	}
	return gs, nil
}

// whole is the whole number that an expression reads out of an answer.
func (p *speaker) whole(ctx context.Context, e *expr, a *answer, s *scope) (int64, error) {
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return 0, p.misread(a, e, err)
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
