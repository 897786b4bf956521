package manifest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
)

// answer is a reply that has been read, without any secret in it.
type answer struct {
	*transport.Reply
	op     string
	scope  *scope // of the exchange
	isJSON bool
	value  any    // of the JSON, or the text; nil where the body is empty
	text   string // the body, where it is not JSON
	kind   string // what the body is, for people
	size   int    // bytes of the body
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
	p.clock.Hear(a.Reply)
	return a, nil
}

// succeeded reports whether an answer is a success, by its status and by ok,
// and keeps what it has to keep; its error says what else it is.
func (p *speaker) succeeded(ctx context.Context, c call, a *answer, s *scope) error {
	if a.Status >= 300 || storeerr.Read(a.Body) != nil { // an error, whatever the status
		return p.refusal(ctx, a, s, refusal{api: c.auth, created: c.created, given: c.path == nil && !c.auth})
	}
	if a.Encoding != "" {
		return p.unusable(a, "", "%s answered with status %d and %s", a.From(), a.Status, a.kind)
	}
	kept := p.keep(ctx, c.request, a, s)
	if c.ok != nil {
		if err := p.confirmed(ctx, c.request, a, s); err != nil {
			return err
		}
	} else if a.notAnAPI() {
		return p.unusable(a, "", "%s answered with status %d and %s, not with JSON: is this the API's URL?", a.From(), a.Status, a.kind)
	}
	return kept
}

// brokenJSON is the kind of an answer that says it is JSON, and is not.
const brokenJSON = "broken JSON"

var htmlStart = text.Pattern(`(?i)^\s*<(!doctype|html|head|body)`)

// notAnAPI reports whether an answer cannot be that of an API: a web page, or
// JSON that is broken.
func (a *answer) notAnAPI() bool {
	return !a.isJSON && (htmlStart().MatchString(a.text) || a.kind == brokenJSON)
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
		return p.misread(a, r.keep, fmt.Errorf("yields a value of type %s, not an object", gojq.TypeOf(v)))
	}
	up, _ := s.upload.(map[string]any)
	merged := maps.Clone(up)
	if merged == nil {
		merged = map[string]any{}
	}
	if _, known := merged["id"]; !known && !isEmpty(m["id"]) {
		merged["id"] = m["id"]
		s.upload = merged // whatever else is wrong: it can be aborted
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
	if p.says(ctx, p.m.failure.retry, a, s) {
		code, message, id := p.told(ctx, a, s)
		if message == "" && len(a.Body) > 0 {
			message = "the answer does not confirm it: " + p.quote(a)
		}
		e := p.clean(s, a.Error(code, message, id))
		e.Retry = true
		return e
	}
	// A store may say yes early and find out later that it fails
	// ("internal error, please try again"): neither a yes nor a no.
	if _, message, _ := p.told(ctx, a, s); message != "" && a.isJSON {
		return p.unusable(a, r.ok.key, "the status is %d, and the answer an error: %s", a.Status, message)
	}
	return p.unusable(a, r.ok.key, "the answer does not confirm it: %s", p.quote(a))
}

// exchange sends a request and reads its answer, whatever the status.
func (p *speaker) exchange(ctx context.Context, r transport.Request, s *scope) (*answer, error) {
	reply, err := p.client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	a := p.read(reply)
	a.op, a.scope = r.Op, s
	header := map[string]any{}
	for k, vs := range reply.Header {
		header[strings.ToLower(k)] = p.hidden.Replace(strings.Join(vs, ", "))
	}
	s.header, s.status = header, reply.Status
	return a, nil
}

// read reads the body of a reply.
func (p *speaker) read(reply *transport.Reply) *answer {
	a := &answer{Reply: reply, size: len(reply.Body)}
	body := bytes.TrimPrefix(reply.Body, []byte("\ufeff"))
	v, err := exact.Decode(body)
	switch {
	case err == nil:
		a.isJSON, a.value = true, p.scrub(v)
	case len(bytes.TrimSpace(body)) > 0:
		a.text = p.hidden.Replace(strings.ToValidUTF8(string(body), "\ufffd"))
		a.value = a.text
		const enough = 64 << 10 // for the error of a store
		a.Body = bytes.Clone(reply.Body[:min(len(reply.Body), enough)])
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
