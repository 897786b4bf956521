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
	from   string // the URL, redacted
	isJSON bool
	value  any    // of the JSON, or the text; nil where the body is empty
	text   string // the body, where it is not JSON
	kind   string // what the body is, for people
}

// call is one request that is about to be made.
type call struct {
	*request
	what    string // for people: "create the upload"
	created bool   // whether there is an upload, which can be gone
	slow    bool   // whether the answer may take minutes
}

// ask sends one request to the API. Its answer is a success, and what it keeps
// is in s.upload. An error before the request wraps upload.ErrUnsent.
func (p *speaker) ask(ctx context.Context, c call, s *scope) (*answer, error) {
	a, err := p.send(ctx, c, s)
	if err == nil {
		err = p.succeeded(ctx, c, a, s)
	}
	return a, err
}

// send sends one request to the API and reads its answer, whatever it says.
func (p *speaker) send(ctx context.Context, c call, s *scope) (*answer, error) {
	r, err := p.build(ctx, c, s)
	if err != nil {
		return nil, &unsent{inOp(p.m.title+": "+c.what, err)}
	}
	a, err := p.exchange(ctx, r, s)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		skew := a.At.Round(0).Sub(date)
		p.skew.Store(&skew)
	}
	return a, nil
}

// succeeded reports whether an answer is a success, by its status and by ok,
// and keeps what it has to keep; its error says what else it is.
func (p *speaker) succeeded(ctx context.Context, c call, a *answer, s *scope) error {
	if a.Status >= 300 || storeerr.Read(a.Body) != nil { // an error, whatever the status
		return p.refusal(ctx, a, s, refusal{api: c.auth, created: c.created})
	}
	if a.Encoding != "" {
		return p.unusable(a, "", "%s answered with status %d and %s", a.from, a.Status, a.kind)
	}
	kept := p.keep(ctx, c.request, a, s)
	if c.ok != nil {
		if err := p.confirmed(ctx, c.request, a, s); err != nil {
			return err
		}
	} else if a.notAnAPI() {
		return p.unusable(a, "", "%s answered with status %d and %s, not with JSON: is this the API's URL?", a.from, a.Status, a.kind)
	}
	return kept
}

// brokenJSON is the kind of an answer that says it is JSON, and is not.
const brokenJSON = "broken JSON"

// notAnAPI reports whether an answer cannot be that of an API: a web page, or
// JSON that is broken.
func (a *answer) notAnAPI() bool {
	return !a.isJSON && (htmlStart.MatchString(a.text) || a.kind == brokenJSON)
}

// keep merges what a request keeps of its answer into $upload.
func (p *speaker) keep(ctx context.Context, r *request, a *answer, s *scope) error {
	if r.keep == nil {
		return nil
	}
	v, err := r.keep.one(ctx, a.value, s)
	if err != nil {
		return p.misread(a, r.keep, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return p.misread(a, r.keep, fmt.Errorf("yields %s, not an object", show(v)))
	}
	up, _ := s.upload.(map[string]any)
	merged := maps.Clone(up)
	if merged == nil {
		merged = map[string]any{}
	}
	for k, v := range m {
		switch was, twice := merged[k]; {
		case isEmpty(v):
			return p.misread(a, r.keep, fmt.Errorf("the answer has no value for %s", k))
		case twice && s.kept[k] != r.key && !equal(was, v):
			return p.misread(a, r.keep, fmt.Errorf("%s was kept before, with another value", k))
		}
		merged[k] = v
		if s.kept == nil {
			s.kept = map[string]string{}
		}
		s.kept[k] = r.key
	}
	s.upload = merged
	return nil
}

// isEmpty reports whether a value is null, or text, a list or an object with
// nothing in it.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// equal reports whether two values are the same as JSON.
func equal(a, b any) bool {
	x, err := marshal(a)
	y, err2 := marshal(b)
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// confirmed reports whether an answer that is a success by its status is one by
// ok; its error says what else it is.
func (p *speaker) confirmed(ctx context.Context, r *request, a *answer, s *scope) error {
	v, err := r.ok.one(ctx, a.value, s)
	if err != nil {
		return p.misread(a, r.ok, err)
	}
	// Anything but a clear yes is none: null is what a missing field is.
	if v == true {
		return nil
	}
	if p.gone(ctx, a, s) {
		return p.refusal(ctx, a, s, refusal{api: true, created: true})
	}
	// A store may say yes early and find out later that it fails
	// ("internal error, please try again"): neither a yes nor a no.
	if _, message, _ := p.told(ctx, a, s); message != "" && a.isJSON {
		return p.unusable(a, r.ok.key, "the status is %d, and the answer an error: %s", a.Status, message)
	}
	return p.unusable(a, r.ok.key, "the answer does not confirm it: %s", p.quote(a))
}

// build makes a request to the API.
func (p *speaker) build(ctx context.Context, c call, s *scope) (r transport.Request, err error) {
	r = transport.Request{Op: p.m.title + ": " + c.what, Method: c.method, Header: http.Header{}, Slow: c.slow}
	if r.URL, err = p.address(ctx, c.request, s); err != nil {
		return r, fmt.Errorf("%s: %w", r.Op, err)
	}
	// What was kept may be a token: it is as secret in a path as in a query.
	r.Signed = c.keptInURL()
	var (
		body   []byte
		fields url.Values
	)
	switch {
	case c.body != nil:
		if body, err = p.body(ctx, c.body, s); err != nil {
			return r, err
		}
		r.Header.Set("Content-Type", "application/json")
	case c.text != nil:
		v, err := c.text.one(ctx, s.in, s)
		text, ok := v.(string)
		if err == nil && !ok {
			err = fmt.Errorf("yields %s, not text", show(p.scrub(v)))
		}
		if err != nil {
			return r, p.wrong(c.text, err)
		}
		body = []byte(text)
		r.Header.Set("Content-Type", c.kind)
	case c.fields != nil:
		if fields, err = p.values(ctx, c.fields, s); err != nil {
			return r, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Accept", "application/json")
	if c.text != nil {
		r.Header.Set("Accept", "*/*")
	}
	if p.own(r.URL) {
		if err := p.setHeaders(ctx, r.Header, p.m.headers, s); err != nil {
			return r, err
		}
	}
	if err := p.setHeaders(ctx, r.Header, c.headers, s); err != nil {
		return r, err
	}
	if c.auth {
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

// setHeaders sets those of one kind of request.
func (p *speaker) setHeaders(ctx context.Context, to http.Header, h headers, s *scope) error {
	all := h.fixed
	if h.made != nil {
		v, err := h.made.one(ctx, s.in, s)
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
	v, err := e.one(ctx, s.in, s)
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

// inOp says of an error that the manifest words itself what it is about.
func inOp(op string, err error) error {
	var own *unusable
	if errors.As(err, &own) && own.own && own.op == "" {
		own.op = op
		return own
	}
	return err
}

// keptInURL reports whether the URL of a request has something in it that a
// request before kept, but for the upload's id, which people are told.
func (r *request) keptInURL() bool {
	if r.path != nil {
		return slices.ContainsFunc(r.path.fields, func(f field) bool { return f.of == "upload" && f.name != "id" })
	}
	return r.url.mentions("$upload")
}

// unsent is an error that was found before anything was sent.
type unsent struct{ error }

func (e *unsent) Unwrap() []error { return []error{upload.ErrUnsent, e.error} }

// address is where a request goes, with its query.
func (p *speaker) address(ctx context.Context, r *request, s *scope) (string, error) {
	address := ""
	if r.path != nil {
		path, err := r.path.expand(s)
		if err != nil {
			return "", fmt.Errorf("%w: %w", upload.ErrReply, err)
		}
		address = p.base + path
	} else {
		v, err := r.url.one(ctx, s.in, s)
		if err != nil {
			return "", p.wrong(r.url, err)
		}
		to, ok := v.(string)
		if !ok || to == "" {
			return "", fmt.Errorf("%w: %s yields %s, not a URL", upload.ErrReply, r.url.key, show(p.scrub(v)))
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
	u, err := base.Parse(to)
	if err != nil {
		return "", errors.New("is not a URL")
	}
	if t, err := url.Parse(to); err != nil || !t.IsAbs() {
		to = u.String()
	}
	_, err = transport.CheckURL(to)
	return to, err
}

// own reports whether an address is of the API's origin.
func (p *speaker) own(address string) bool {
	to, err := transport.Origin(address)
	return err == nil && to == p.origin
}

// body builds a request's body.
func (p *speaker) body(ctx context.Context, e *expr, s *scope) ([]byte, error) {
	v, err := e.one(ctx, s.in, s)
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

// wrong says that an expression failed on what this program gave it. What the
// manifest says itself, with error(), is about the reply that led there.
func (p *speaker) wrong(e *expr, err error) error {
	if own := ownError(err); own != "" {
		return &unusable{key: e.key, reason: p.hidden.Replace(transport.Clean(own)), own: true}
	}
	return &spec.Error{File: p.m.file, Problems: []spec.Problem{{Line: e.at.line, Column: e.at.column, Key: e.key, Text: p.hidden.Replace(err.Error())}}}
}

// exchange sends a request and reads its answer, whatever the status.
func (p *speaker) exchange(ctx context.Context, r transport.Request, s *scope) (*answer, error) {
	reply, err := p.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	a := p.read(reply)
	a.op, a.from = r.Op, transport.Redact(r.URL)
	if r.Signed {
		a.from = transport.RedactSigned(r.URL)
	}
	header := map[string]any{}
	for k, vs := range reply.Header {
		header[strings.ToLower(k)] = p.hidden.Replace(strings.Join(vs, ", "))
	}
	s.header, s.status = header, reply.Status
	return a, nil
}

// read reads the body of a reply.
func (p *speaker) read(reply *transport.Reply) *answer {
	a := &answer{Reply: reply}
	body := bytes.TrimPrefix(reply.Body, []byte("\ufeff"))
	v, err := exact.Decode(body)
	switch {
	case err == nil:
		a.isJSON, a.value = true, p.scrub(v)
	case len(bytes.TrimSpace(body)) > 0:
		a.text = p.hidden.Replace(strings.ToValidUTF8(string(body), "\ufffd"))
		a.value = a.text
	}
	a.kind, _, _ = strings.Cut(reply.Header.Get("Content-Type"), ";")
	switch a.kind = p.hidden.Replace(transport.Clean(a.kind)); {
	case len(reply.Body) == 0:
		a.kind = "nothing"
	case reply.Encoding != "":
		a.kind = "a body that is encoded as " + p.hidden.Replace(reply.Encoding) + ", which was not asked for"
		a.isJSON, a.text, a.value = false, a.kind, a.kind
	case a.kind == "":
		a.kind = "text of no known type"
	case !a.isJSON && strings.HasSuffix(a.kind, "json"):
		a.kind = brokenJSON
	}
	return a
}
