package manifest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Put sends one part. A reply without a receipt wraps upload.ErrReply and is
// temporary: to send the part again is safe. Where the part completes the
// upload, errors mean what they mean of CompleteStep.
func (p *speaker) Put(ctx context.Context, u upload.Upload, g upload.Presigned, part upload.Part, body io.Reader) (upload.Receipt, error) {
	st := p.m.stepsFor(u.File)
	step := st.part
	op := fmt.Sprintf("%s: send part %d", p.m.title, part.Number)
	s, err := p.scope(u)
	if err != nil {
		return upload.Receipt{}, &unsent{err}
	}
	sums := map[string][]byte{}
	if names := st.partDigests["part"]; len(names) > 0 {
		if sums, err = sum(names, func(w io.Writer) error { return upload.HashAhead(w, body, part.Size) }); err != nil {
			return upload.Receipt{}, &unsent{fmt.Errorf("%s: %w", op, err)}
		}
	}
	s.part = partValue(u.Parts, part, sums)
	r, err := p.buildPart(ctx, step, u, g, s, transport.Request{
		Op: op, Method: step.method, Header: http.Header{}, Body: body, Size: part.Size, Bulk: true, Signed: !step.fixed() || p.m.keptInURL(&step.request),
	})
	if err != nil {
		return upload.Receipt{}, &unsent{inOp(op, err)}
	}
	// What a store compares is proof that the part is stored as it was sent.
	proofs := claims(r.Header)
	hashed := newHasher(proofs, sums, body)
	if hashed != nil && step.form == "" {
		r.Body = hashed
	}
	a, err := p.exchange(ctx, r, s)
	if err != nil {
		return upload.Receipt{}, unanswered(ctx, err, g)
	}
	keyed := step.auth && p.own(r.URL)
	api := step.fixed() || keyed
	switch {
	case u.Whole:
		return p.putWhole(ctx, u, step, a, s, api)
	case a.Status >= 300:
		return upload.Receipt{}, p.partRefused(ctx, u, g, a, s, refusal{api: api, created: true, given: step.path == nil && !keyed})
	}
	receipt := upload.Receipt{Part: part.Number, Verified: hashed.proves(proofs, sums)}
	return p.partStored(ctx, u, receipt, known(st.partDigests[later], sums), a, s, api)
}

// partRefused says what it means that a part was refused.
func (p *speaker) partRefused(ctx context.Context, u upload.Upload, g upload.Presigned, a *answer, s *scope, r refusal) error {
	now, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		now = a.At
	}
	r.expired = a.Status == http.StatusForbidden && !r.api && past(g, now)
	err = p.refusal(ctx, a, s, r)
	if r.api {
		err = p.sendingTo(ctx, u, a, s, err)
	}
	return err
}

// partStored completes the receipt of a part, if ok says that it is stored.
func (p *speaker) partStored(ctx context.Context, u upload.Upload, r upload.Receipt, known map[string]any, a *answer, s *scope, api bool) (_ upload.Receipt, err error) {
	step := p.m.stepsFor(u.File).part
	kept := p.keep(ctx, &step.request, a, s) // ok sees what is kept
	if step.ok != nil {
		if err = p.confirmed(ctx, &step.request, a, s); err != nil && a.notAnAPI() {
			err = p.unusableFor(a, step.ok.key, true, "the answer was %s", a.kind)
		}
	}
	if err = cmp.Or(err, kept); err != nil {
		return upload.Receipt{}, err
	}
	p.remember(u.ID, &step.request, s)
	r.Known, err = knowing(s, known)
	if err == nil && step.confirm != nil {
		r.Unconfirmed, err = marshal(partReply{a.value, s.header, a.Status})
	}
	if err != nil {
		return upload.Receipt{}, p.unusableFor(a, "", true, "%v", err)
	}
	if step.confirm == nil || step.confirm.receipt != nil {
		if r.Value, err = p.receipt(ctx, step.receipt, a, s, api); err != nil {
			return upload.Receipt{}, err
		}
		r.Own = step.receipt.own()
	}
	// One that the API itself sends with a reply may be of the reply.
	if etag := p.hidden.Replace(a.Header.Get("ETag")); !api || etag == r.Value {
		r.ETag = etag
	}
	return r, nil
}

// putWhole is the end of an upload that its one part completes.
func (p *speaker) putWhole(ctx context.Context, u upload.Upload, step *partStep, a *answer, s *scope, api bool) (upload.Receipt, error) {
	r := step.request // the manifest does not change
	r.auth = api
	if err := p.succeeded(ctx, call{request: &r}, a, s); err != nil {
		return upload.Receipt{}, err
	}
	result, err := p.result(ctx, step.result, a, s)
	if err != nil {
		err = p.misread(a, step.result, err)
	}
	receipt := upload.Receipt{Part: 1, Value: result.Value, Own: step.result.own(), Result: &result}
	if err == nil && step.keep != nil {
		receipt.Data, err = p.recordMore(u, s, 0)
	}
	return receipt, err
}

// buildPart makes the request of a part out of r, which has its bytes.
func (p *speaker) buildPart(ctx context.Context, step *partStep, u upload.Upload, g upload.Presigned, s *scope, r transport.Request) (transport.Request, error) {
	var err error
	if step.fixed() {
		r.URL, err = p.address(ctx, &step.request, s)
	} else {
		r.URL, err = p.withQuery(ctx, g.URL, step.query, s)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.Op, err)
	}
	if step.form != "" {
		fields := url.Values{}
		if step.fields != nil {
			if fields, err = p.values(ctx, step.fields, s); err != nil {
				return r, err
			}
		}
		if step.auth && p.m.auth.field != "" {
			if err := p.ownField(&step.request, fields); err != nil {
				return r, err
			}
			if err := p.authorize(nil, fields, r.URL); err != nil {
				return r, fmt.Errorf("%s: %w", r.Op, err)
			}
		}
		if err := formBody(&r, step.form, u.File.Name, fields); err != nil {
			return r, fmt.Errorf("%s: %w", r.Op, err)
		}
	}
	if (step.fixed() || step.auth) && p.own(r.URL) {
		if err := p.setHeaders(ctx, r.Header, p.m.headers, s, true); err != nil {
			return r, err
		}
	}
	if err := p.setHeaders(ctx, r.Header, step.headers, s, step.auth); err != nil {
		return r, err
	}
	for k, v := range g.Header {
		if step.auth && strings.EqualFold(k, p.m.auth.header) {
			return r, p.m.Fault("part.auth", "the presigned URL comes with %s, which auth sets: it would be overwritten", k)
		}
		r.Header.Set(k, v)
	}
	if step.auth && p.m.auth.header != "" {
		if err := p.authorize(r.Header, nil, r.URL); err != nil {
			return r, fmt.Errorf("%s: %w", r.Op, err)
		}
	}
	return r, nil
}

// partReply is what confirm sees of the part's own reply.
type partReply struct {
	Value  any `json:"value"`
	Header any `json:"header"`
	Status int `json:"status"`
}

// Confirm makes the request that confirms a stored part.
func (p *speaker) Confirm(ctx context.Context, u upload.Upload, part upload.Part, r upload.Receipt) (upload.Receipt, error) {
	step := p.m.stepsFor(u.File).part
	c := step.confirm
	s, err := p.scope(u, r)
	if err != nil || c == nil {
		return r, &unsent{errors.Join(err, fmt.Errorf("%s: confirm part %d: %w", p.m.title, part.Number, errors.ErrUnsupported))}
	}
	v, err := exact.Decode(r.Unconfirmed)
	reply, ok := v.(map[string]any)
	if err != nil || !ok {
		return r, &unsent{fmt.Errorf("%s: confirm part %d: what is kept of its reply cannot be read", p.m.title, part.Number)}
	}
	value := partValue(u.Parts, part, nil)
	value["receipt"] = orNull(r.Value)
	recall(value, r)
	s.part, s.in, s.header, s.status = value, reply["value"], reply["header"], reply["status"]
	a, err := p.ask(ctx, call{request: &c.request, what: fmt.Sprintf("confirm part %d", part.Number), created: true}, s)
	if err != nil {
		return r, p.sendingTo(ctx, u, a, s, err)
	}
	p.remember(u.ID, &c.request, s)
	known := map[string]any{}
	recall(known, r)
	if r.Known, err = knowing(s, known); err != nil {
		return r, p.unusableFor(a, "", true, "%v", err)
	}
	e := cmp.Or(c.receipt, step.receipt)
	if r.Value, err = p.receipt(ctx, e, a, s, true); err != nil {
		return r, err
	}
	r.Unconfirmed, r.Own = nil, e.own()
	return r, nil
}

// receipt reads the proof that a part is stored.
func (p *speaker) receipt(ctx context.Context, e *expr, a *answer, s *scope, api bool) (string, error) {
	bad := func(format string, args ...any) error {
		return p.unusableFor(a, e.key, true, format, args...)
	}
	v, err := e.one(ctx, a.value, s)
	if err == nil && v != nil && v != "" {
		if value, ok := toText(v); ok && valueText().MatchString(value) {
			return value, nil
		}
		return "", bad("the receipt is %s", show(v))
	}
	switch lacks := e.lacks(a.Header); {
	case err != nil && lacks == "":
		return "", bad("%v", err)
	case lacks == "ETag" && !api:
		return "", bad("the store sent no ETag, so there is no proof that the part is stored")
	case lacks != "":
		return "", bad("the answer (status %d, %s) has no %s header, so there is no proof that the part is stored", a.Status, a.kind, lacks)
	}
	return "", bad("the answer (status %d, %s) has no proof that the part is stored: %s yields %s", a.Status, a.kind, e.text, show(v))
}

// headerOf is a header of the reply in an expression.
var headerOf = text.Pattern(`\$header` + access + `([\w-]+)`)

// lacks are the headers that an expression reads, and the reply does not have;
// empty: there are none.
func (e *expr) lacks(h http.Header) string {
	var names []string
	for _, found := range headerOf().FindAllStringSubmatch(e.text, -1) {
		name := found[1]
		if name == "etag" {
			name = "ETag" // as everybody knows it
		}
		if h.Get(name) == "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// own reports whether an expression may make a receipt out of what this side
// knows, such as a digest of the part.
func (e *expr) own() bool { return e.mentions("$part") || e.mentions("$digests") }

// unanswered says what it means that no answer came: some stores break the
// connection instead of refusing a presigned URL that is past its end.
func unanswered(ctx context.Context, err error, g upload.Presigned) error {
	var e *transport.Error
	if ctx.Err() == nil && errors.As(err, &e) && e.Status == 0 && e.Retry && !e.Unsent && past(g, time.Now()) {
		return &failure{upload.ErrExpired, e}
	}
	return err
}

// hasher computes, while a part is sent, the digests that its request carries.
type hasher struct {
	io.Reader
	sums map[string]hash.Hash
}

// newHasher is nil where there is nothing to compute.
func newHasher(cs []claim, known map[string][]byte, body io.Reader) *hasher {
	h := &hasher{Reader: body, sums: map[string]hash.Hash{}}
	for _, c := range cs {
		if known[c.name] == nil && h.sums[c.name] == nil {
			h.sums[c.name] = upload.NewHash(c.name)
			h.Reader = io.TeeReader(h.Reader, h.sums[c.name])
		}
	}
	if len(h.sums) == 0 {
		return nil
	}
	return h
}

// proves reports whether a request carried digests, and those of its bytes.
func (h *hasher) proves(cs []claim, known map[string][]byte) bool {
	if h != nil {
		known = maps.Clone(known)
		for name, x := range h.sums {
			known[name] = x.Sum(nil)
		}
	}
	return proved(cs, known)
}

// formBody makes the body of r a form with these fields and the one file field,
// read as it goes.
func formBody(r *transport.Request, field, filename string, fields url.Values) error {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	if err := writeFields(w, fields); err != nil {
		return err
	}
	if _, err := w.CreateFormFile(field, strings.Map(printing, filename)); err != nil {
		return fmt.Errorf("build the form: %w", err)
	}
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	r.Header.Set("Content-Type", w.FormDataContentType())
	size := int64(head.Len()) + r.Size + int64(len(tail))
	r.Body = io.MultiReader(&head, io.LimitReader(r.Body, r.Size), strings.NewReader(tail))
	r.Size = size
	return nil
}

// printing replaces a character that the header of a form's part cannot carry;
// the writer escapes quotes and line breaks. The API has the file's name from
// create: here it only says that the field is a file.
func printing(r rune) rune {
	if r < ' ' && r != '\r' && r != '\n' || r == 0x7f {
		return '_'
	}
	return r
}

// past reports whether a presigned URL has expired: by its own word, which is
// the store's, or by the provider's.
func past(g upload.Presigned, now time.Time) bool {
	end := storeerr.URLExpiry(g.URL)
	if end.IsZero() {
		end = g.Expires
	}
	return !end.IsZero() && !now.Before(end)
}
