package manifest

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/multiput/multiput/pkg/upload"
)

// headers are those of one kind of request: constant, or made for each.
type headers struct {
	fixed map[string]string
	made  *expr
}

// has reports whether a header is seen to be there: by its name, or when the
// expression is tried with values that stand for real ones.
func (h headers) has(name string, s func() *scope) bool {
	if h.made == nil {
		return h.fixed[http.CanonicalHeaderKey(name)] != ""
	}
	return h.made.yields(s, func(made string) bool { return strings.EqualFold(made, name) })
}

// yields reports whether the object that an expression yields has a key that is
// the one: in the text of the expression, or when it is tried in s. Headers may
// be a list of names and values.
func (e *expr) yields(in func() *scope, is func(key string) bool) bool {
	names, known := keysOf(e)
	for name := range names {
		if is(name) {
			return true
		}
	}
	if known {
		return false
	}
	s := in()
	v, err := e.one(context.Background(), s.in, s) // nothing is sent while a manifest is read
	if err != nil {
		return false // it fails on what is made up here; with real values it is looked at again
	}
	all, err := readHeaders(v)
	if m, ok := v.(map[string]any); err != nil && ok {
		for k := range m {
			if is(k) {
				return true
			}
		}
	}
	for k := range all {
		if is(k) {
			return true
		}
	}
	return false
}

// standIn is what expressions may see of an upload, before there is one. What
// is not known of it is made up.
func (m *Manifest) standIn(known scope) *scope {
	s := &known
	plan := []upload.Part{{Number: 1, Size: 1}}
	one := partValue(plan, plan[0], nil)
	one["receipt"] = "x"
	for to, v := range map[*any]any{
		&s.file: map[string]any{"name": "x", "type": "text/plain", "size": 1}, &s.options: m.options.Defaults(), &s.partSize: 1,
		&s.upload: m.keptNames(), &s.parts: partsValue(plan, []upload.Receipt{{Part: 1, Value: "x"}}, nil), &s.part: one,
		&s.digests: digestFieldsOf(nil), &s.header: map[string]any{}, &s.status: http.StatusOK, &s.base: "https://api.example",
	} {
		if *to == nil {
			*to = v
		}
	}
	return s
}

// madeUp is what expressions may see where nothing is known.
func (m *Manifest) madeUp() *scope { return m.standIn(scope{}) }

// keptNames is $upload with a value for all that any request keeps, as far as
// its name is known.
func (m *Manifest) keptNames() map[string]any {
	names := map[string]bool{"id": true}
	for _, s := range m.ways() {
		s.requests(func(_ string, r *request) {
			if r.keep != nil {
				found, _ := keysOf(r.keep)
				maps.Copy(names, found)
			}
		})
	}
	up := map[string]any{}
	for name := range names {
		up[name] = "x"
	}
	return up
}

// overwritten is an error if a request of these steps would have its header, or
// its field, replaced by that of auth, as far as it can be told ahead.
func (m *Manifest) overwritten(st *steps, s *scope) (err error) {
	if m.auth == nil {
		return nil
	}
	in := sync.OnceValue(func() *scope { return m.standIn(*s) })
	if m.headers.made != nil && m.headers.has(m.auth.header, in) {
		return m.Fault("headers", "has %s, which is the header of auth", m.auth.header)
	}
	st.requests(func(_ string, r *request) {
		if key, text := m.replaced(r, in); text != "" && err == nil {
			err = m.Fault(r.key+"."+key, "%s", text)
		}
	})
	return err
}

// replaced says which key of a request has what auth would replace.
func (m *Manifest) replaced(r *request, s func() *scope) (key, text string) {
	switch {
	case m.auth == nil || !r.auth:
	case m.auth.header != "" && r.headers.has(m.auth.header, s):
		return "headers", "has " + m.auth.header + ", which auth sets: it would be overwritten" + m.without(r)
	case m.auth.field != "" && r.fields != nil && r.fields.yields(s, func(k string) bool { return k == m.auth.field }):
		return "fields", "has " + m.auth.field + ", which auth sets: it would be overwritten" + m.without(r)
	}
	return "", ""
}

// without is how the key is left out of a request.
func (m *Manifest) without(r *request) string {
	if strings.HasSuffix(r.key, "part") {
		return "" // there it is only sent with auth: true
	}
	return " (auth: false leaves auth out)"
}

// ownField is an error if the fields of a form have that of auth.
func (p *speaker) ownField(r *request, fields url.Values) error {
	if p.m.auth != nil && p.m.auth.field != "" && fields.Has(p.m.auth.field) {
		return p.m.Fault(r.key+".fields", "has %s, which auth sets: it would be overwritten", p.m.auth.field)
	}
	return nil
}

// setHeaders sets those of one kind of request. None may be the header that
// auth sets.
func (p *speaker) setHeaders(ctx context.Context, to http.Header, h headers, s *scope, auth bool) error {
	all := h.fixed
	if h.made != nil {
		v, err := h.made.one(ctx, s.in, s)
		if err == nil {
			all, err = readHeaders(v)
		}
		if err != nil {
			return p.wrong(s, h.made, err)
		}
	}
	for k, v := range all {
		if auth && p.m.auth != nil && strings.EqualFold(k, p.m.auth.header) && h.made != nil {
			return p.m.Fault(h.made.key, "has %s, which auth sets: it would be overwritten", p.m.auth.header)
		}
		to.Set(k, v)
	}
	return nil
}
