package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/size"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// MaxFile is the most bytes of a manifest.
const MaxFile = 256 << 10

// Parse reads a manifest. Its error is an *spec.Error, which says where in the file
// of this name each problem is.
func Parse(name string, text []byte) (*Manifest, error) {
	m := &Manifest{file: name, text: text}
	var problems []spec.Problem
	if root, err := document(text); err != nil {
		line, why := placed(text, err)
		problems = []spec.Problem{{Line: line, Text: why}}
	} else if n := (node{Node: root, problems: &problems}); n.plain() {
		m.read(n)
	}
	if len(problems) > 0 {
		slices.SortFunc(problems, func(a, b spec.Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
		})
		return nil, &spec.Error{File: name, Problems: problems}
	}
	return m, nil
}

// document is the one YAML document in text.
func document(text []byte) (*yaml.Node, error) {
	if len(text) > MaxFile {
		return nil, errors.New("is too long for a manifest")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty")
	case err != nil:
		return nil, &syntaxError{strings.TrimPrefix(err.Error(), "yaml: ")}
	case len(doc.Content) != 1:
		return nil, errors.New("is empty")
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document")
	}
	return doc.Content[0], nil
}

// syntaxError is what the reader of YAML says.
type syntaxError struct{ text string }

func (e *syntaxError) Error() string { return "is no YAML: " + e.text }

var (
	lineText  = regexp.MustCompile(`^line (\d+): `)
	aliasText = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
)

// placed is the line that the error of a document is in, if it is in one, and
// the error without it.
func placed(text []byte, err error) (line int, why string) {
	var s *syntaxError
	if !errors.As(err, &s) {
		return 0, err.Error()
	}
	if m := lineText.FindStringSubmatch(s.text); m != nil {
		line, _ = strconv.Atoi(m[1])
		return line, (&syntaxError{s.text[len(m[0]):]}).Error()
	}
	if m := aliasText.FindStringSubmatch(s.text); m != nil {
		if before, _, ok := bytes.Cut(text, []byte("*"+m[1])); ok {
			line = 1 + bytes.Count(before, []byte("\n"))
		}
		return line, "has the alias *" + m[1] + "; a manifest has no anchors and no aliases"
	}
	return 0, err.Error()
}

var (
	nameText   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	optionText = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	envText    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)
	headerText = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
	valueText  = regexp.MustCompile(`^[ -~]*$`)
)

func (m *Manifest) read(n node) {
	m.places = map[string]place{"": {n.Line, n.Column}} // of the keys that are there
	has := m.has
	need := func(step string, keys ...string) {
		for _, k := range keys {
			if k = strings.TrimPrefix(step+"."+k, "."); !has(k) {
				node{n.Node, k, n.problems}.failAt(m.places[step], "is missing")
			}
		}
	}
	// step reads a mapping and notes which keys it has.
	step := func(read map[string]func(node)) func(node) {
		return func(at node) {
			for k, f := range read {
				read[k] = func(v node) { m.places[v.key] = place{v.Line, v.Column}; f(v) }
			}
			at.fields(read)
		}
	}
	jq := func(e **expr) func(node) { return func(v node) { *e = v.expr() } }
	request := func(c *call, more map[string]func(node)) map[string]func(node) {
		if more == nil {
			more = map[string]func(node){}
		}
		more["send"] = func(v node) { c.method, c.path = v.send() }
		more["query"], more["body"], more["fields"] = jq(&c.query), jq(&c.body), jq(&c.fields)
		more["headers"] = func(v node) { c.headers = v.anyHeaders() }
		return more
	}

	version := 0
	m.presign, m.probe = new(presignStep), new(probeStep)
	m.checkpoint, m.abort = &call{}, &call{}
	step(map[string]func(node){
		"version": func(v node) {
			if version = v.integer(); version != 1 {
				v.fail("is %d; this program reads version 1", version)
			}
		},
		"name": func(v node) {
			if m.name = v.text(); !nameText.MatchString(m.name) {
				v.fail("is %q; a name is of lower-case letters, digits and -", m.name)
			}
		},
		"title":   func(v node) { m.title = v.shownText() },
		"docs":    func(v node) { m.docs = v.plainText() },
		"base":    func(v node) { m.base = v.base() },
		"auth":    func(v node) { m.auth = &auth{}; step(m.auth.keys())(v); m.auth.check(v) },
		"headers": func(v node) { m.headers = v.headers() },
		"limits": step(map[string]func(node){
			// A vendor's 8 GB may be 8·10^9 or 8·2^30 bytes: refuse only what
			// both readings refuse.
			"min_size": func(v node) { m.limits.MinSize = v.size(size.Decimal) },
			"max_size": func(v node) { m.limits.MaxSize = v.size(size.Binary) },
			"url_life": func(v node) { m.limits.URLLife = v.duration() },
			"part": step(map[string]func(node){
				"min":   func(v node) { m.limits.MinPart = v.size(size.Exact) },
				"max":   func(v node) { m.limits.MaxPart = v.size(size.Exact) },
				"count": func(v node) { m.limits.MaxParts = v.count() },
			}),
		}),
		"options": func(v node) {
			v.each(func(name string, at node) { m.options = append(m.options, at.option(name)) })
		},
		"create": step(request(&m.create.call, map[string]func(node){
			"upload": jq(&m.create.upload), "size": jq(&m.create.size), "part_size": jq(&m.create.partSize),
			"parts": jq(&m.create.parts), "urls": jq(&m.create.urls), "expires": jq(&m.create.expires),
			"resumed": jq(&m.create.resumed),
		})),
		"presign": step(request(&m.presign.call, map[string]func(node){
			"urls":        jq(&m.presign.urls),
			"max":         func(v node) { m.presign.max = v.count() },
			"consecutive": func(v node) { m.presign.consecutive = v.boolean() },
		})),
		"part": step(map[string]func(node){
			"send":    func(v node) { m.part.method, m.part.path = v.send() },
			"form":    func(v node) { m.part.form = v.plainText() },
			"auth":    func(v node) { m.part.auth = v.boolean() },
			"headers": func(v node) { m.part.headers = v.anyHeaders() },
			"fields":  jq(&m.part.fields),
			"digest":  func(v node) { m.part.digest = v.digest() },
			"receipt": jq(&m.part.receipt),
		}),
		"checkpoint": step(request(m.checkpoint, nil)),
		"complete": step(request(&m.complete.call, map[string]func(node){
			"ok": jq(&m.complete.ok), "result": jq(&m.complete.result), "already": jq(&m.complete.already),
			"pending": jq(&m.complete.pending),
		})),
		"probe": step(request(&m.probe.call, map[string]func(node){
			"done": jq(&m.probe.done), "result": jq(&m.probe.result),
		})),
		"abort":   step(request(m.abort, nil)),
		"samples": func(v node) { m.samples = v.Node },
		"error": step(map[string]func(node){
			"message": jq(&m.failure.message), "code": jq(&m.failure.code),
			"request_id": jq(&m.failure.requestID), "gone": jq(&m.failure.gone),
			"mismatch": jq(&m.failure.mismatch),
		}),
	})(n)
	if n.Kind != yaml.MappingNode {
		return
	}

	need("", "version", "name", "create", "part", "complete")
	for step, keys := range map[string][]string{
		"create": {"send", "upload"}, "presign": {"send", "urls"}, "part": {"send", "receipt"},
		"checkpoint": {"send"}, "complete": {"send", "result"}, "probe": {"send", "done"}, "abort": {"send"},
	} {
		if has(step) {
			need(step, keys...)
		}
	}
	if m.title == "" {
		m.title = m.name
	}
	if !has("presign") {
		m.presign = nil
	}
	if !has("checkpoint") {
		m.checkpoint = nil
	}
	if !has("probe") {
		m.probe = nil
	}
	if !has("abort") {
		m.abort = nil
	}
	m.limits.Plans = m.create.parts != nil
	// Only a request that says what parts are wanted can have the wish heeded.
	m.limits.TakesHint = m.create.mentions("$want") || m.plans()
	m.agree(n)
}

// has reports whether a key is there.
func (m *Manifest) has(key string) bool { return m.places[key].line > 0 }

// Fault is an error about one key of the manifest.
func (m *Manifest) Fault(key, format string, args ...any) *spec.Error {
	at := m.places[key]
	return &spec.Error{File: m.file, Problems: []spec.Problem{{Line: at.line, Column: at.column, Key: key, Text: fmt.Sprintf(format, args...)}}}
}

// agree reports keys that are sound each, and make no sense together.
func (m *Manifest) agree(n node) {
	has := m.has
	wrong := func(key, text string) { node{n.Node, key, n.problems}.failAt(m.places[key], "%s", text) }
	for key, c := range map[string]*call{
		"create": &m.create.call, "presign": m.presignCall(), "checkpoint": m.checkpoint,
		"complete": &m.complete.call, "probe": m.probeCall(), "abort": m.abort,
	} {
		if c == nil || !has(key+".send") || c.method == "" {
			continue
		}
		if c.path == nil {
			wrong(key+".send", "has no path")
		}
		if c.method == http.MethodGet && c.body != nil {
			wrong(key+".body", "a GET has no body")
		}
		if c.method == http.MethodGet && c.fields != nil {
			wrong(key+".fields", "a GET has no body")
		}
		if c.body != nil && c.fields != nil {
			wrong(key+".fields", "has a body beside it: only one of them can be meant")
		}
		if m.auth != nil && m.auth.field != "" && c.fields == nil {
			wrong(key+".send", "has no fields, and the key is one of them (auth.field)")
		}
		m.agreeFields(key, c.path, wrong)
	}
	m.agreeFields("part", m.part.path, wrong)
	if p := m.part.path; p != nil && p.whole {
		wrong("part.send", "has no path; an address of each part is a presigned URL's")
	}
	if m.part.fields != nil && m.part.form == "" {
		wrong("part.fields", "needs part.form, the form that they are of")
	}
	switch signed := has("create.urls") || has("presign"); {
	case m.part.path != nil && !m.part.path.whole && signed:
		wrong("part.send", "has a path, and urls have another: only one of them can be meant")
	case m.part.path == nil && !signed && has("part.send"):
		wrong("part.send", "has no path, and neither create.urls nor presign says where a part goes")
	}
	if has("create.part_size") && !has("create.parts") {
		wrong("create.part_size", "needs create.parts, which gives the numbers of the parts")
	}
	if has("create.resumed") && !has("create.parts") {
		wrong("create.resumed", "needs create.parts, which says what is left to send")
	}
	if m.auth != nil && m.headers[http.CanonicalHeaderKey(m.auth.header)] != "" {
		wrong("headers", "has "+m.auth.header+", which is the header of auth")
	}
	switch {
	case m.part.auth && m.auth == nil:
		wrong("part.auth", "there is no auth to send")
	case m.part.auth && m.auth.field != "":
		wrong("part.auth", "only a key that is a header (auth.header) is sent with a part")
	}
}

// agreeFields reports fields in the path of a step that cannot be there.
func (m *Manifest) agreeFields(step string, t *template, wrong func(key, text string)) {
	if t == nil {
		return
	}
	for _, f := range t.fields {
		at := slices.IndexFunc(m.options, func(o spec.Option) bool { return o.Name == f.name })
		switch {
		case f.of == "upload" && step == "create":
			wrong("create.send", "has a {field} of $upload, which there is none of yet")
		case f.of == "options" && at < 0:
			wrong(step+".send", "there is no option "+f.name)
		case f.of == "options" && !m.options[at].Required && m.options[at].Default == nil:
			wrong(step+".send", "the option "+f.name+" has to be required, or to have a default")
		}
	}
}

// plans reports whether create is told the parts that we plan.
func (m *Manifest) plans() bool { return m.create.parts == nil && m.create.mentions("$parts") }

func (m *Manifest) presignCall() *call {
	if m.presign == nil {
		return nil
	}
	return &m.presign.call
}

func (m *Manifest) probeCall() *call {
	if m.probe == nil {
		return nil
	}
	return &m.probe.call
}
