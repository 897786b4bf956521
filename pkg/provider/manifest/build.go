package manifest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// build makes a request to the API.
func (p *speaker) build(ctx context.Context, c call, s *scope) (r transport.Request, err error) {
	r = transport.Request{Op: p.m.title + ": " + c.what, Method: c.method, Header: http.Header{}, Slow: c.slow}
	if r.URL, err = p.address(ctx, c.request, s); err != nil {
		return r, fmt.Errorf("%s: %w", r.Op, err)
	}
	// What was kept may be a token: it is as secret in a path as in a query.
	r.Signed = p.m.keptInURL(c.request)
	body, fields, err := p.content(ctx, c.request, r.Header, s)
	if err != nil {
		return r, err
	}
	r.Header.Set("Accept", "application/json")
	if c.text != nil {
		r.Header.Set("Accept", "*/*")
	}
	if p.own(r.URL) {
		if err := p.setHeaders(ctx, r.Header, p.m.headers, s, true); err != nil {
			return r, err
		}
	}
	if err := p.setHeaders(ctx, r.Header, c.headers, s, c.auth); err != nil {
		return r, err
	}
	if c.auth {
		if err := p.ownField(c.request, fields); err != nil {
			return r, err
		}
		if err := p.authorize(r.Header, fields, r.URL); err != nil {
			return r, fmt.Errorf("%s: %w", r.Op, err)
		}
	}
	switch {
	case fields != nil && c.multipart:
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		if err := writeFields(w, fields); err != nil {
			return r, err
		}
		if err := w.Close(); err != nil {
			return r, fmt.Errorf("build the form: %w", err)
		}
		r.Header.Set("Content-Type", w.FormDataContentType())
		body = form.Bytes()
	case fields != nil:
		body = []byte(fields.Encode())
	}
	if body != nil {
		r.Body, r.Size = bytes.NewReader(body), int64(len(body))
	}
	return r, nil
}

// content is a request's body, or the fields of its form; the headers get its type.
func (p *speaker) content(ctx context.Context, r *request, h http.Header, s *scope) (body []byte, fields url.Values, err error) {
	kind := ""
	switch {
	case r.body != nil:
		kind = "application/json"
		body, err = p.body(ctx, r.body, s)
	case r.text != nil:
		var text string
		if text, err = p.text(ctx, r.text, s); err == nil {
			kind, err = p.text(ctx, r.kind, s)
		}
		if err == nil && !mediaText().MatchString(kind) {
			err = p.wrong(s, r.kind, fmt.Errorf("yields %s, not a content type such as application/xml", show(p.scrub(kind))))
		}
		body = []byte(text)
	case r.fields != nil:
		kind = "application/x-www-form-urlencoded"
		fields, err = p.values(ctx, r.fields, s)
	default:
		return nil, nil, nil
	}
	h.Set("Content-Type", kind)
	return body, fields, err
}

func writeFields(w *multipart.Writer, fields url.Values) error {
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		for _, v := range fields[k] {
			if err := w.WriteField(k, v); err != nil {
				return fmt.Errorf("build the form: %w", err)
			}
		}
	}
	return nil
}

// values are the fields of a form, or of a query: null is left out, and a list
// stands there as often as it has elements.
func (p *speaker) values(ctx context.Context, e *expr, s *scope) (url.Values, error) {
	v, err := e.one(ctx, s.in, s)
	if err != nil {
		return nil, p.wrong(s, e, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, p.wrong(s, e, fmt.Errorf("yields %s, not an object", show(p.scrub(v))))
	}
	values := url.Values{}
	for k, v := range m {
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, v := range list {
			text, ok := toText(v)
			switch b, isBool := v.(bool); {
			case v == nil:
				continue
			case isBool:
				text = strconv.FormatBool(b)
			case !ok:
				return nil, p.wrong(s, e, fmt.Errorf("%s is %s, neither text nor a number nor a boolean", k, show(p.scrub(v))))
			}
			values.Add(k, text)
		}
	}
	return values, nil
}

// text is the text that an expression of a request yields.
func (p *speaker) text(ctx context.Context, e *expr, s *scope) (string, error) {
	v, err := e.one(ctx, s.in, s)
	text, ok := v.(string)
	if err == nil && !ok {
		err = fmt.Errorf("yields %s, not text", show(p.scrub(v)))
	}
	if err != nil {
		return "", p.wrong(s, e, err)
	}
	return text, nil
}

// inOp says of an error that the manifest words itself what it is about.
func inOp(op string, err error) error {
	var own *unusable
	if errors.As(err, &own) && own.own && own.op == "" {
		own.op = op
		return own
	}
	return err
}

// keptInURL reports whether the URL of a request may have something in it that
// is not to be shown: what a request before kept, but for the upload's id, which
// people are told; a reply; a secret option.
func (m *Manifest) keptInURL(r *request) bool {
	secret := func(name string) bool {
		o, _ := m.options.Find(name)
		return o.Secret
	}
	if r.path != nil {
		return slices.ContainsFunc(r.path.fields, func(f field) bool {
			return f.of == "upload" && f.name != "id" || f.of == "options" && secret(f.name)
		})
	}
	if r.url == nil {
		return false
	}
	return r.url.mentions("$upload") || r.url.readsReply() || r.url.mentions("$options") && slices.ContainsFunc(m.options.Names(), secret)
}

// unsent is an error that was found before anything was sent.
type unsent struct{ error }

func (e *unsent) Unwrap() []error { return []error{upload.ErrUnsent, e.error} }

// address is where a request goes, with its query.
func (p *speaker) address(ctx context.Context, r *request, s *scope) (string, error) {
	address := ""
	if r.path != nil {
		path, err := r.path.expand(s)
		if up, ok := s.upload.(map[string]any); err != nil && ok {
			for _, f := range r.path.fields {
				if _, there := up[f.name]; f.of == "upload" && !there {
					return "", p.m.lacks(r, f.name)
				}
			}
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", upload.ErrReply, err)
		}
		address = p.base + path
	} else {
		v, err := r.url.one(ctx, s.in, s)
		if err != nil {
			return "", p.wrong(s, r.url, err)
		}
		to, ok := v.(string)
		if !ok || to == "" {
			return "", fmt.Errorf("%w: %s yields %s, not a URL", upload.ErrReply, r.url.key, p.shown(s, show(p.scrub(v))))
		}
		if address, err = p.resolve(to); err != nil {
			return "", fmt.Errorf("%w: %s: %w", upload.ErrReply, r.url.key, err)
		}
		if r.auth && p.m.auth != nil && !p.own(address) {
			return "", fmt.Errorf("%w: %s: %w", upload.ErrReply, r.url.key, errElsewhere)
		}
	}
	return p.withQuery(ctx, address, r.query, s)
}

// withQuery adds what a query yields to an address.
func (p *speaker) withQuery(ctx context.Context, address string, query *expr, s *scope) (string, error) {
	if query == nil {
		return address, nil
	}
	values, err := p.values(ctx, query, s)
	if err != nil || len(values) == 0 {
		return address, err
	}
	sign := "?"
	if strings.Contains(address, "?") {
		sign = "&"
	}
	return address + sign + values.Encode(), nil
}

// resolve makes a relative address whole, by RFC 3986: /x is the origin's
// root, x lies below the base. One that is whole stays as it came.
func (p *speaker) resolve(to string) (string, error) {
	base, err := url.Parse(p.base + "/")
	if err != nil {
		return "", err
	}
	t, err := url.Parse(transport.EscapeInvalid(to))
	if err != nil {
		return "", errors.New("is not a URL")
	}
	if !t.IsAbs() {
		to = base.ResolveReference(t).String()
	}
	_, err = transport.CheckURL(to)
	return to, err
}

// own reports whether an address is of the API's origin.
func (p *speaker) own(address string) bool {
	if strings.HasPrefix(address, p.base+"/") {
		return true // as most are, which need not be parsed
	}
	to, err := transport.Origin(address)
	return err == nil && to == p.origin
}

// body builds a request's body.
func (p *speaker) body(ctx context.Context, e *expr, s *scope) ([]byte, error) {
	v, err := e.one(ctx, s.in, s)
	if err != nil {
		return nil, p.wrong(s, e, err)
	}
	switch v.(type) {
	case map[string]any, []any:
	default:
		return nil, p.wrong(s, e, fmt.Errorf("yields %s, neither an object nor a list", show(p.scrub(v))))
	}
	b, err := marshal(v)
	if err != nil {
		return nil, p.wrong(s, e, fmt.Errorf("yields what JSON cannot hold: %w", err))
	}
	return b, nil
}

// wrong says that an expression failed on what this program gave it. What the
// manifest says itself, with error(), is about the reply that led there.
func (p *speaker) wrong(s *scope, e *expr, err error) error {
	if own := ownError(err); own != "" {
		return &unusable{key: e.key, reason: p.shown(s, own), own: true}
	}
	return &spec.Error{File: p.m.file, Problems: []spec.Problem{{Line: e.at.line, Column: e.at.column, Key: e.key, Text: p.hiding(s)(err.Error())}}}
}
