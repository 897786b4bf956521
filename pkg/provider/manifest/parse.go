package manifest

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// MaxFile is the most bytes of a manifest.
const MaxFile = 256 << 10

// Parse reads a manifest. Its error is an *spec.Error, which says where in the file
// of this name each problem is.
func Parse(name string, text []byte) (*Manifest, error) {
	m := &Manifest{file: name, text: text}
	d := &doc{places: map[string]place{}}
	if root, err := document(text); err != nil {
		d.problems = []spec.Problem{placed(text, err)}
	} else if n := (node{Node: root, doc: d}); n.plain() {
		m.read(n)
	}
	if problems := d.all(); len(problems) > 0 {
		slices.SortFunc(problems, func(a, b spec.Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
		})
		return nil, &spec.Error{File: name, Problems: problems}
	}
	return m, nil
}

var (
	nameText   = text.Pattern(`^[a-z][a-z0-9-]{0,31}$`)
	optionText = text.Pattern(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	envText    = text.Pattern(`^[A-Z_][A-Z0-9_]{0,127}$`)
	headerText = text.Pattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
	valueText  = text.Pattern(`^[ -~]*$`)
	mediaText  = text.Pattern(`^[A-Za-z][A-Za-z0-9.+-]*/[A-Za-z0-9][A-Za-z0-9.+_-]*( *;[ -~]*)?$`)
)

func (m *Manifest) read(n node) {
	n.doc.places[""] = place{n.Line, n.Column}
	m.places = n.doc.places
	version := 0
	var small *node
	fields := map[string]func(node){
		"version": func(v node) {
			if version = v.integer(); version != 1 {
				v.fail("is %d; this program reads version 1", version)
			}
		},
		"name": func(v node) {
			if m.name = v.text(); !nameText().MatchString(m.name) {
				v.fail("is %q; a name is of lower-case letters, digits and -", m.name)
			}
		},
		"title":   func(v node) { m.title = v.shownText() },
		"docs":    func(v node) { m.docs = v.plainText() },
		"base":    func(v node) { m.base = v.base() },
		"auth":    func(v node) { m.auth = &auth{}; v.fields(m.auth.keys()); m.auth.check(v) },
		"headers": func(v node) { m.headers = v.anyHeaders() },
		// A vendor's 8 GB may be 8·10^9 or 8·2^30 bytes: refuse only what both
		// readings refuse.
		"limits": func(v node) {
			v.fields(map[string]func(node){
				"min_size": func(v node) { m.limits.MinSize = v.size(text.Decimal) },
				"max_size": func(v node) { m.limits.MaxSize = v.size(text.Binary) },
				"url_life": func(v node) { m.limits.URLLife = v.duration() },
				"part": func(v node) {
					v.fields(map[string]func(node){
						"min":      func(v node) { m.limits.MinPart = v.size(text.Exact) },
						"max":      func(v node) { m.limits.MaxPart = v.size(text.Exact) },
						"count":    func(v node) { m.limits.MaxParts = v.count() },
						"multiple": func(v node) { m.limits.Multiple = v.size(text.Exact) },
					})
				},
			})
		},
		"options": func(v node) {
			v.each(func(name string, at node) { m.options = append(m.options, at.option(name)) })
		},
		"small":   func(v node) { small = &v },
		"samples": func(v node) { m.samples = v.Node },
		"error": func(v node) {
			v.fields(map[string]func(node){
				"message": jq(&m.failure.message), "code": jq(&m.failure.code),
				"request_id": jq(&m.failure.requestID), "gone": jq(&m.failure.gone),
				"mismatch": jq(&m.failure.mismatch), "retry": jq(&m.failure.retry),
			})
		},
	}
	maps.Copy(fields, m.steps.keys())
	n.fields(fields)
	if n.Kind != yaml.MappingNode {
		return
	}
	n.need("", "version", "name", "create", "part", "complete")
	if m.title == "" {
		m.title = m.name
	}
	m.agree(n, "", &m.steps)
	m.findDigests()
	if small != nil {
		m.readSmall(*small)
	}
	m.limits.Plans = m.create != nil && (m.create.parts != nil || m.create.partSize != nil)
	m.limits.ReadsAhead = m.readsAhead()
	if m.presign != nil {
		m.limits.URLsAtOnce = m.presign.max
	}
	// Only a request that sends the part size can have it respected.
	m.limits.TakesHint = m.createMentions("$part_size") || m.plans(&m.steps)
	m.agreeAll(n)
	m.find()
}

// readSmall reads the steps of small files: those that are named replace the
// main ones.
func (m *Manifest) readSmall(n node) {
	s := m.steps
	fields := s.keys()
	for k, read := range fields {
		fields[k] = func(v node) {
			if v.Tag != "!!null" {
				read(v)
				return
			}
			switch k {
			case "create":
				s.create = nil
			case "presign":
				s.presign = nil
			case "complete":
				s.complete = nil
			case "abort":
				s.abort = nil
			case "ready":
				s.ready = nil
			case "probe":
				s.probe = nil
			case "checkpoint":
				s.checkpoint = nil
			default:
				v.fail("cannot be left out")
			}
		}
	}
	fields["max_size"] = func(v node) { m.smallMax = v.size(text.Decimal) }
	n.fields(fields)
	if n.Kind != yaml.MappingNode {
		return
	}
	n.need("small", "max_size")
	m.small = &s
	m.agree(n, "small.", &s)
	s.findDigests()
}

// need reports required keys that are missing.
func (n node) need(step string, keys ...string) {
	for _, k := range keys {
		if k = strings.TrimPrefix(step+"."+k, "."); n.doc.places[k].line == 0 {
			node{n.Node, k, n.doc}.infer(n.doc.places[step], "is missing")
		}
	}
}

// jq reads an expression.
func jq(e **expr) func(node) { return func(v node) { *e = v.expr() } }

// keys are the steps of a manifest, each read by its own function.
func (s *steps) keys() map[string]func(node) {
	return map[string]func(node){
		"create": func(v node) {
			s.create = &createStep{}
			c := s.create
			s.create.requests = v.requests(func(*request) map[string]func(node) {
				return map[string]func(node){
					"size": jq(&c.size), "digest": jq(&c.digest), "part_size": func(v node) { c.partSize = v.numberExpr() }, "parts": jq(&c.parts),
					"urls": jq(&c.urls), "expires": jq(&c.expires), "resumed": jq(&c.resumed),
				}
			}, "digests")
		},
		"presign": func(v node) {
			p := &presignStep{}
			s.presign = p
			p.request = *v.request(map[string]func(node){
				"urls":        jq(&p.urls),
				"max":         func(v node) { p.max = v.count() },
				"consecutive": func(v node) { p.consecutive = v.boolean() },
			}, "digests")
			v.need(v.key, "send", "urls")
		},
		"part": func(v node) {
			p := &partStep{}
			s.part = p
			p.request = *v.request(map[string]func(node){
				"form":    func(v node) { p.form = v.plainText() },
				"receipt": jq(&p.receipt),
				"result":  jq(&p.result),
				"confirm": func(v node) {
					c := &confirmStep{}
					p.confirm = c
					c.request = *v.request(map[string]func(node){"receipt": jq(&c.receipt)})
					v.need(v.key, "send")
				},
			}, "digests", "-body", "-text", "-type", "-multipart")
			// Unlike other requests, that of a part sends the key only with auth: true.
			p.auth = p.auth && v.doc.places[v.key+".auth"].line > 0
			v.need(v.key, "send")
			if !strings.HasPrefix(v.key, "small.") || p.result == nil { // that completes the upload
				v.need(v.key, "receipt")
			}
		},
		"checkpoint": func(v node) { s.checkpoint = v.request(nil); v.need(v.key, "send") },
		"complete": func(v node) {
			c := &completeStep{}
			s.complete = c
			c.requests = v.requests(func(r *request) map[string]func(node) {
				return map[string]func(node){"result": jq(&c.result), "already": jq(&r.already), "pending": jq(&r.pending)}
			})
		},
		"probe": func(v node) {
			p := &probeStep{}
			s.probe = p
			p.request = *v.request(map[string]func(node){"done": jq(&p.done), "result": jq(&p.result)})
			v.need(v.key, "send", "done")
		},
		"abort": func(v node) { s.abort = &listStep{v.requests(nil)} },
		"ready": func(v node) {
			r := &readyStep{every: defaultEvery, timeout: defaultTimeout}
			s.ready = r
			r.request = *v.request(map[string]func(node){
				"done": jq(&r.done), "failed": jq(&r.failed), "result": jq(&r.result),
				"every":    func(v node) { r.every = v.duration() },
				"timeout":  func(v node) { r.timeout = v.duration() },
				"required": func(v node) { r.required = v.boolean() },
			})
			v.need(v.key, "send", "done")
		},
	}
}

// How a file is waited for where the manifest does not say.
const (
	defaultEvery   = 2 * time.Second
	defaultTimeout = 30 * time.Minute
)

// requests reads a request, or a list of them. Keys of the step as a whole are
// those of its last request.
func (n node) requests(more func(*request) map[string]func(node), with ...string) []*request {
	read := func(at node) *request {
		r := &request{}
		var keys map[string]func(node)
		if more != nil {
			keys = more(r)
		}
		at.readRequest(r, keys, with...)
		at.need(at.key, "send")
		return r
	}
	if n.Kind != yaml.SequenceNode {
		return []*request{read(n)}
	}
	var all []*request
	n.list(func(at node) {
		n.doc.places[at.key] = place{at.Line, at.Column}
		all = append(all, read(at))
	})
	if len(all) == 0 {
		n.fail("is empty: expected at least one request")
		return []*request{{}}
	}
	for i := range len(all) - 1 {
		for _, k := range []string{"size", "digest", "part_size", "parts", "urls", "expires", "resumed", "result"} {
			if at := (node{n.Content[i], all[i].key + "." + k, n.doc}); at.doc.places[at.key].line > 0 {
				at.report(at.doc.places[at.key], "belongs to the last request of the list")
			}
		}
	}
	return all
}

// request reads one request.
func (n node) request(more map[string]func(node), with ...string) *request {
	r := &request{}
	n.readRequest(r, more, with...)
	return r
}

// readRequest reads a request with the keys of more beside the common ones, to
// which with adds some and, with a minus, takes some away.
func (n node) readRequest(r *request, more map[string]func(node), with ...string) {
	r.key, r.auth = n.key, true
	keys := map[string]func(node){
		"send":      func(v node) { r.method, r.path = v.send() },
		"url":       jq(&r.url),
		"auth":      func(v node) { r.auth = v.boolean() },
		"query":     jq(&r.query),
		"body":      jq(&r.body),
		"fields":    jq(&r.fields),
		"multipart": func(v node) { r.multipart = v.boolean() },
		"text":      jq(&r.text),
		"type":      func(v node) { r.kind = v.mediaType() },
		"headers":   func(v node) { r.headers = v.anyHeaders() },
		"keep":      jq(&r.keep),
		"ok":        jq(&r.ok),
	}
	for _, k := range with {
		if left, without := strings.CutPrefix(k, "-"); without {
			delete(keys, left)
		} else {
			keys[k] = func(v node) { v.list(func(v node) { r.digests = append(r.digests, v.digest()) }) }
		}
	}
	maps.Copy(keys, more)
	n.fields(keys)
}
