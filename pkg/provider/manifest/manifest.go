package manifest

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// Manifest is the checked description of one upload API. It does not change.
type Manifest struct {
	file              string // as problems name it
	text              []byte
	samples           *yaml.Node // read when they are played
	moving            bool       // whether its address is another each time
	places            map[string]place
	name, title, docs string
	base              *template // nil: it has to be given
	auth              *auth
	headers           headers // of every request to the API's origin
	limits            upload.Limits
	options           spec.Options

	steps                 // of files larger than smallMax
	small    *steps       // of the others; nil: as the main ones
	smallMax int64        // bytes
	failure  failureExprs // how refusals are read
	found    []spec.Finding
}

// steps are the requests of an upload. A nil one does not exist.
type steps struct {
	create     *createStep
	presign    *presignStep
	part       *partStep
	checkpoint *request
	complete   *completeStep
	probe      *probeStep
	abort      *listStep
	ready      *readyStep

	partDigests map[string][]string // of parts, that a step has to know ahead
}

type failureExprs struct{ message, code, requestID, gone, mismatch, retry *expr }

// listStep is a step of one or more requests.
type listStep struct{ requests []*request }

type createStep struct {
	listStep
	size, digest, partSize, parts, urls, expires, resumed *expr // of the last reply
}

type presignStep struct {
	request
	urls        *expr
	max         int  // parts asked for at once; 0: any number
	consecutive bool // whether their numbers have to follow each other
}

type partStep struct {
	request // without a path and a url, the presigned URL is the address
	form    string
	receipt *expr
	result  *expr        // where the part completes the upload
	confirm *confirmStep // nil: none
}

type confirmStep struct {
	request
	receipt *expr // nil: part.receipt reads the reply of confirm
}

type completeStep struct {
	listStep
	result *expr
}

type probeStep struct {
	request
	done, result *expr
}

type readyStep struct {
	request
	done, failed, result *expr
	every, timeout       time.Duration
	required             bool
}

// auth is how the secret is sent.
type auth struct{ header, field, value, env string }

// request is a request to the API, or, with auth false, to another origin.
type request struct {
	key       string // where the manifest has it, such as complete[1]
	method    string
	path      *template // below the base; nil: url says where
	url       *expr
	auth      bool
	query     *expr
	body      *expr // at most one of body, fields and text
	fields    *expr
	multipart bool // whether fields are multipart/form-data
	text      *expr
	kind      *expr // the content type of text
	headers   headers
	keep      *expr
	ok        *expr
	already   *expr
	pending   *expr
	digests   []string // that are known before the request
}

// fixed reports whether the manifest says where the request goes.
func (r *request) fixed() bool { return r.path != nil || r.url != nil }

// exprs are those that the request is made of.
func (r *request) exprs() []*expr {
	return slices.DeleteFunc([]*expr{r.url, r.query, r.body, r.fields, r.text, r.kind, r.headers.made}, func(e *expr) bool { return e == nil })
}

// stepsFor are the steps of a file.
func (m *Manifest) stepsFor(f upload.File) *steps {
	if m.small != nil && f.Size <= m.smallMax {
		return m.small
	}
	return &m.steps
}

// ways are the steps of files, and those of small files where they are others.
func (m *Manifest) ways() []*steps {
	if m.small == nil {
		return []*steps{&m.steps}
	}
	return []*steps{&m.steps, m.small}
}

// requests are all requests of an upload, in order, with the step of each.
func (s *steps) requests(each func(step string, r *request)) {
	list := func(step string, l *listStep) {
		for _, r := range l.requests {
			each(step, r)
		}
	}
	if s.create != nil {
		list("create", &s.create.listStep)
	}
	if s.presign != nil {
		each("presign", &s.presign.request)
	}
	if s.part != nil {
		each("part", &s.part.request)
		if s.part.confirm != nil {
			each("confirm", &s.part.confirm.request)
		}
	}
	if s.checkpoint != nil {
		each("checkpoint", s.checkpoint)
	}
	if s.complete != nil {
		list("complete", &s.complete.listStep)
	}
	if s.ready != nil {
		each("ready", &s.ready.request)
	}
	if s.probe != nil {
		each("probe", &s.probe.request)
	}
	if s.abort != nil {
		list("abort", s.abort)
	}
}

// has reports whether a step is there.
func (s *steps) has(step string) (found bool) {
	s.requests(func(is string, _ *request) { found = found || is == step })
	return found
}

// Moving is the manifest of an API whose address is another each time: it says
// nothing of where an upload goes.
func (m *Manifest) Moving() *Manifest {
	moving := *m
	moving.moving = true
	return &moving
}

// Named is the manifest under another name.
func (m *Manifest) Named(name string) *Manifest {
	named := *m
	named.name = name
	return &named
}

// Definition is what can be known of the API before it is opened.
func (m *Manifest) Definition() *spec.Definition {
	d := &spec.Definition{
		Name: m.name, Title: m.title, Docs: m.docs, File: m.file, Text: slices.Clone(m.text),
		Options: m.options, Limits: m.limits, Abilities: m.abilities(), Requests: m.shownRequests(&m.steps), Findings: m.found, Open: m.Open,
	}
	m.addresses(d)
	if m.base != nil {
		d.Base = m.base.String()
	}
	if m.auth != nil {
		d.Keys = []spec.Key{m.key()}
	}
	if m.samples != nil {
		d.Samples = m.readSamples
	}
	return d
}

func (m *Manifest) key() spec.Key { return spec.Key{Env: m.auth.env, Title: "API key"} }

// has reports whether a key is there.
func (m *Manifest) has(key string) bool { return m.places[key].line > 0 }

// Fault is an error about one key of the manifest.
func (m *Manifest) Fault(key, format string, args ...any) *spec.Error {
	at := m.places[key]
	return &spec.Error{File: m.file, Problems: []spec.Problem{{Line: at.line, Column: at.column, Key: key, Text: fmt.Sprintf(format, args...)}}}
}
