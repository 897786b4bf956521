package manifest

import (
	"net/http"
	"slices"
	"strings"
)

// agree reports keys of steps that are valid each, and make no sense together.
// Those of small files have prefix before their keys.
func (m *Manifest) agree(n node, prefix string, s *steps) {
	own := func(key string) bool { return m.has(prefix + key) }
	fail := func(key, text string) {
		if at := m.places[prefix+key]; at.line > 0 {
			node{n.Node, prefix + key, n.doc}.infer(at, "%s", text)
		}
	}
	whole := s.complete == nil && prefix != "" // the part's request completes the upload
	if own("create") || prefix == "" {
		m.agreeCreate(s, fail)
	}
	if s.create == nil && prefix != "" && s.presign == nil && s.part != nil && !s.part.fixed() && !n.doc.isUnread("small.part") {
		fail("create", "is missing, and neither part nor presign says where the file is sent")
	}
	if p := s.part; p != nil && (own("part") || prefix == "") {
		m.agreePart(s, n.doc, fail)
	}
	switch {
	case whole && s.part != nil && s.part.result == nil:
		node{n.Node, "small.part.result", n.doc}.infer(m.places["small"], "is missing: without complete, it gives the result")
	case whole && s.part != nil && s.part.confirm != nil:
		fail("part.confirm", "is not possible where the part completes the upload")
	case !whole && s.part != nil && s.part.result != nil && own("part.result") && !n.doc.isUnread("small.complete"):
		fail("part.result", "is for small files without complete")
	}
	if own("complete") && s.complete != nil {
		last := s.complete.requests[len(s.complete.requests)-1]
		if s.complete.result == nil {
			node{n.Node, last.key + ".result", n.doc}.infer(m.places[last.key], "is missing")
		}
	}
	s.requests(func(step string, r *request) {
		if strings.HasPrefix(r.key, "small.") == (prefix != "") {
			m.agreeRequest(step, r, s, n)
		}
	})
}

func (m *Manifest) agreeCreate(s *steps, fail func(key, text string)) {
	c := s.create
	if c == nil {
		return
	}
	kept, id := false, false
	for _, r := range c.requests {
		kept = kept || m.has(r.key+".keep") || m.has(r.key+".upload")
		if r.keep != nil {
			names, known := keysOf(r.keep)
			id = id || names["id"] || !known
		} else {
			id = id || m.has(r.key+".keep") || m.has(r.key+".upload") // a problem with it is reported already
		}
	}
	switch {
	case !kept:
		fail("create", "has no keep, which gives $upload its id")
	case !id:
		fail("create", "no keep makes $upload.id")
	}
	if c.resumed != nil && c.parts == nil {
		fail("create.resumed", "needs create.parts, which says what is left to send")
	}
}

func (m *Manifest) agreePart(s *steps, d *doc, fail func(key, text string)) {
	p := s.part
	signed := s.create != nil && s.create.urls != nil || s.presign != nil
	switch {
	case d.isUnread("create", "presign", "small.create", "small.presign"): // which may say where a part goes
	case p.fixed() && signed:
		fail("part.send", "has a URL, and urls have another: they exclude each other")
	case !p.fixed() && !signed && m.has("part.send"):
		fail("part.send", "has no path, and neither create.urls nor presign says where a part goes")
	}
	if p.fields != nil && p.form == "" {
		fail("part.fields", "needs part.form, the form that they are of")
	}
	switch {
	case p.auth && m.auth == nil:
		fail("part.auth", "is true, but the manifest has no auth")
	case p.auth && m.auth.field != "" && p.form == "":
		fail("part.auth", "the key is a form field (auth.field), and the part is not a form (part.form)")
	}
	for _, e := range append(p.exprs(), p.receipt) {
		if e.mentions("$parts[0]") {
			m.failAt(e, fail, "$parts[0] is called $part here")
		}
		for _, name := range p.digests {
			if e.mentions("$digests."+name) && (s.create == nil || !slices.Contains(s.create.digestNames(), name)) {
				m.failAt(e, fail, "the digests of a part are in $part here, such as $part."+name)
			}
		}
	}
}

// failAt reports what is wrong with an expression.
func (m *Manifest) failAt(e *expr, fail func(key, text string), text string) {
	fail(strings.TrimPrefix(e.key, "small."), text)
}

// agreeRequest reports what is wrong with one request of a step.
func (m *Manifest) agreeRequest(step string, r *request, s *steps, n node) {
	fail := func(key, text string) {
		key = r.key + "." + key
		at := m.places[key]
		if at.line == 0 {
			at = m.places[r.key]
		}
		node{n.Node, key, n.doc}.infer(at, "%s", text)
	}
	if !m.has(r.key+".send") || r.method == "" {
		return
	}
	isPart := step == "part"
	switch {
	case r.path != nil && r.url != nil:
		fail("url", "excludes a path in send")
	case !r.fixed() && !isPart:
		fail("send", "has no path, and there is no url")
	}
	bodies := 0
	for key, e := range map[string]*expr{"body": r.body, "fields": r.fields, "text": r.text} {
		if e == nil {
			continue
		}
		bodies++
		if r.method == http.MethodGet {
			fail(key, "a GET has no body")
		}
	}
	switch {
	case bodies > 1 && r.body != nil && r.fields != nil:
		fail("fields", "excludes body")
	case bodies > 1:
		fail("text", "excludes body and fields")
	}
	if r.multipart && r.fields == nil {
		fail("multipart", "needs fields")
	}
	if (r.text != nil) != (r.kind != nil) && !isPart {
		fail(map[bool]string{true: "text", false: "type"}[r.text != nil], "text and type belong together")
	}
	if m.auth != nil && r.auth && !isPart {
		if m.auth.field != "" && r.fields == nil {
			fail("send", "has no fields, and the key is one of them (auth.field)")
		}
	}
	if key, text := m.replaced(r, m.madeUp); text != "" {
		fail(key, text)
	}
	if m.auth != nil && r.auth && r.url != nil && len(m.elsewhere(r.url)) > 0 {
		fail("url", "has another origin than base, where the key is not sent: auth: false is required")
	}
	m.agreePath(step, r, s, n.doc, fail)
	m.agreeNames(step, r, s, n)
}

// agreePath reports fields in the path of a request that cannot be there.
func (m *Manifest) agreePath(step string, r *request, s *steps, d *doc, fail func(key, text string)) {
	if r.path == nil {
		return
	}
	for _, f := range r.path.fields {
		if f.of == "options" && !d.isUnread("options") {
			if text := m.optionField(f.name); text != "" {
				fail("send", text)
			}
		}
	}
	if r.path.uses("part") && step != "part" && step != "confirm" && (step != "presign" || s.presign.max != 1) {
		fail("send", "has {part.…}, which is known in part, in confirm, and in presign with max: 1")
	}
	kept, all := m.keptBefore(step, r, s)
	for _, f := range r.path.fields {
		switch {
		case f.of != "upload":
		case len(kept) == 0 && all && step == "create":
			fail("send", "has {"+f.name+"}, a field of $upload, and there is none yet")
		case all && !kept[f.name]:
			fail("send", "has {"+f.name+"}, and no keep makes $upload."+f.name)
		}
	}
}

// optionField says what is wrong with an option in a path or in base.
func (m *Manifest) optionField(name string) string {
	switch o, known := m.options.Find(name); {
	case !known:
		return "there is no option " + name
	case !o.Required && o.Default == nil:
		return "the option " + name + " has to be required, or to have a default"
	}
	return ""
}

// agreeAll reports what is wrong with the manifest as a whole.
func (m *Manifest) agreeAll(n node) {
	fail := func(key, text string) { node{n.Node, key, n.doc}.infer(m.places[key], "%s", text) }
	if m.auth != nil && m.headers.has(m.auth.header, m.madeUp) {
		fail("headers", "has "+m.auth.header+", which is the header of auth")
	}
	if m.base != nil && !n.doc.isUnread("options") {
		for _, f := range m.base.fields {
			if text := m.optionField(f.name); text != "" {
				fail("base", text)
			}
		}
	}
	if l := m.limits; l.Multiple > 0 && l.MaxPart > 0 && l.Multiple > l.MaxPart {
		fail("limits.part.multiple", "is above limits.part.max")
	}
}
