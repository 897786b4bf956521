package manifest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// answer is a reply that has been read, without any secret in it.
type answer struct {
	*transport.Reply
	op     string
	from   string // the address, redacted
	isJSON bool
	value  any    // of the JSON; nil otherwise
	text   string // the body, where it is no JSON
	kind   string // what the body is, for people
}

// step is one call to the API.
type step struct {
	what string // for people: "create the upload"
	*call
	created bool // whether there is an upload, which can be gone
	empty   bool // whether an answer without a body will do
	slow    bool // whether the answer may take minutes
}

// ask sends one request to the API. Its answer is a success, as far as the
// status says, and JSON. An error before the request wraps upload.ErrUnsent.
func (p *speaker) ask(ctx context.Context, st step, s *scope) (*answer, error) {
	a, err := p.send(ctx, st, s)
	if err == nil {
		err = p.succeeded(ctx, st, a, s)
	}
	return a, err
}

// send sends one request to the API and reads its answer, whatever it says.
func (p *speaker) send(ctx context.Context, st step, s *scope) (*answer, error) {
	r, err := p.request(ctx, st, s)
	if err != nil {
		return nil, &unsent{err}
	}
	a, err := p.exchange(ctx, r, s)
	if err != nil {
		return nil, err
	}
	a.from = transport.Redact(r.URL)
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		skew := a.At.Round(0).Sub(date)
		p.skew.Store(&skew)
	}
	return a, nil
}

// succeeded reports whether an answer is a success, as far as the status says,
// and JSON; its error says what else it is.
func (p *speaker) succeeded(ctx context.Context, st step, a *answer, s *scope) error {
	if a.Status >= 300 {
		return p.refusal(ctx, a, s, refusal{api: true, created: st.created})
	}
	if a.isJSON || st.empty && strings.TrimSpace(a.text) == "" {
		return nil
	}
	if x := storeerr.Read(a.Body); x != nil {
		return p.refusal(ctx, a, s, refusal{api: true, created: st.created}) // an error, whatever the status
	}
	if a.Encoding != "" {
		return p.unusable(a, "", "%s answered with status %d and %s", a.from, a.Status, a.kind)
	}
	if strings.HasSuffix(a.kind, "json") {
		a.kind = "broken JSON"
	}
	return p.unusable(a, "", "%s answered with status %d and %s, not with JSON: is this the API's address?", a.from, a.Status, a.kind)
}

// request builds a request to the API.
func (p *speaker) request(ctx context.Context, st step, s *scope) (r transport.Request, err error) {
	r = transport.Request{Op: p.m.title + ": " + st.what, Method: st.method, Header: http.Header{}, Slow: st.slow}
	if r.URL, err = p.address(st.call, s); err != nil {
		return r, fmt.Errorf("%s: %w: %w", r.Op, upload.ErrReply, err)
	}
	if st.query != nil {
		values, err := p.values(ctx, st.query, s)
		if err != nil {
			return r, err
		}
		if len(values) > 0 {
			sign := "?"
			if strings.Contains(r.URL, "?") {
				sign = "&"
			}
			r.URL += sign + values.Encode()
		}
	}
	var (
		b      []byte
		fields url.Values
	)
	switch {
	case st.body != nil:
		if b, err = p.body(ctx, st.body, s); err != nil {
			return r, err
		}
		r.Header.Set("Content-Type", "application/json")
	case st.fields != nil:
		if fields, err = p.values(ctx, st.fields, s); err != nil {
			return r, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "application/json")
	for k, v := range p.m.headers {
		r.Header.Set(k, v)
	}
	if err := p.setHeaders(ctx, r.Header, st.headers, s); err != nil {
		return r, err
	}
	if err := p.authorize(r.Header, fields, r.URL); err != nil {
		return r, fmt.Errorf("%s: %w", r.Op, err)
	}
	if fields != nil {
		b = []byte(fields.Encode())
	}
	if b != nil {
		r.Body, r.Size = bytes.NewReader(b), int64(len(b))
	}
	return r, nil
}

// setHeaders sets those of one kind of request.
func (p *speaker) setHeaders(ctx context.Context, to http.Header, h headers, s *scope) error {
	all := h.fixed
	if h.made != nil {
		v, err := h.made.one(ctx, nil, s)
		if err == nil {
			all, err = readHeaders(v)
		}
		if err != nil {
			return p.wrong(h.made, err)
		}
	}
	for k, v := range all {
		to.Set(k, v)
	}
	return nil
}

// values are the fields of a form, or of a query: null is left out, and a list
// stands there as often as it has elements.
func (p *speaker) values(ctx context.Context, e *expr, s *scope) (url.Values, error) {
	v, err := e.one(ctx, nil, s)
	if err != nil {
		return nil, p.wrong(e, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, p.wrong(e, fmt.Errorf("yields %s, not an object", show(p.scrub(v))))
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
				return nil, p.wrong(e, fmt.Errorf("%s is %s, neither text nor a number nor a boolean", k, show(p.scrub(v))))
			}
			values.Add(k, text)
		}
	}
	return values, nil
}

// unsent is an error that was found before anything was sent.
type unsent struct{ error }

func (e *unsent) Unwrap() []error { return []error{upload.ErrUnsent, e.error} }

// address is where a call goes.
func (p *speaker) address(c *call, s *scope) (string, error) {
	if !c.path.whole {
		path, err := c.path.expand(s)
		if err != nil {
			return "", err
		}
		return p.base + path, nil
	}
	// What the API said, whole or relative: it is still the API's.
	f := c.path.fields[0]
	v, err := f.value(s)
	if err != nil {
		return "", err
	}
	base, err := url.Parse(p.base + "/")
	if err != nil {
		return "", err
	}
	u, err := base.Parse(v)
	if err != nil {
		return "", fmt.Errorf("$upload.%s is no address", f.name)
	}
	to, err := transport.Origin(u.String())
	if err == nil && to != p.origin {
		err = fmt.Errorf("$upload.%s: %w", f.name, errElsewhere)
	}
	return u.String(), err
}

// body builds a request's body.
func (p *speaker) body(ctx context.Context, e *expr, s *scope) ([]byte, error) {
	v, err := e.one(ctx, nil, s)
	if err != nil {
		return nil, p.wrong(e, err)
	}
	switch v.(type) {
	case map[string]any, []any:
	default:
		return nil, p.wrong(e, fmt.Errorf("yields %s, neither an object nor a list", show(p.scrub(v))))
	}
	b, err := marshal(v)
	if err != nil {
		return nil, p.wrong(e, fmt.Errorf("yields what JSON cannot hold: %w", err))
	}
	return b, nil
}

// wrong says that an expression failed on what this program gave it.
func (p *speaker) wrong(e *expr, err error) error {
	return &spec.Error{File: p.m.file, Problems: []spec.Problem{{Line: e.at.line, Column: e.at.column, Key: e.key, Text: p.hidden.Replace(err.Error())}}}
}

// exchange sends a request and reads its answer, whatever the status.
func (p *speaker) exchange(ctx context.Context, r transport.Request, s *scope) (*answer, error) {
	reply, err := p.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	a := &answer{Reply: reply, op: r.Op}
	v, err := exact.Decode(reply.Body)
	if a.isJSON = err == nil; a.isJSON {
		a.value = p.scrub(v)
	} else {
		a.text = p.hidden.Replace(string(reply.Body))
	}
	a.kind, _, _ = strings.Cut(reply.Header.Get("Content-Type"), ";")
	switch a.kind = p.hidden.Replace(transport.Clean(a.kind)); {
	case len(reply.Body) == 0:
		a.kind = "nothing"
	case reply.Encoding != "":
		a.kind = "a body that is encoded as " + p.hidden.Replace(reply.Encoding) + ", which was not asked for"
		a.isJSON, a.text, a.value = false, a.kind, nil
	case a.kind == "":
		a.kind = "text of no known type"
	}
	header := map[string]any{}
	for k, vs := range reply.Header {
		header[strings.ToLower(k)] = p.hidden.Replace(strings.Join(vs, ", "))
	}
	s.header, s.status = header, reply.Status
	return a, nil
}
