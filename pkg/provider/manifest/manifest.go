package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// Manifest is the checked description of one upload API. It does not change.
type Manifest struct {
	file                    string // as problems name it
	text                    []byte
	samples                 *yaml.Node       // read when they are played
	moving                  bool             // whether its address is another each time
	places                  map[string]place // of its keys
	name, title, docs, base string
	auth                    *auth
	headers                 map[string]string // of every request to the API
	limits                  upload.Limits
	options                 spec.Options

	create struct {
		call
		upload, size, partSize, parts, urls, expires, resumed *expr
	}
	presign *presignStep
	part    struct {
		call    // without a path, the presigned has the address
		form    string
		auth    bool
		digest  string // of each part, known before it is sent
		receipt *expr
	}
	checkpoint *call
	complete   struct {
		call
		ok, result, already, pending *expr
	}
	probe   *probeStep
	abort   *call
	failure struct{ message, code, requestID, gone, mismatch *expr }
}

type presignStep struct {
	call
	urls        *expr
	max         int  // parts asked for at once; 0: any number
	consecutive bool // whether their numbers have to follow each other
}

type probeStep struct {
	call
	done, result *expr
}

// auth is how the secret is sent.
type auth struct{ header, field, value, env string }

// call is a request to the API.
type call struct {
	method              string
	path                *template
	query, body, fields *expr // at most one of body and fields
	headers             headers
}

// headers are those of one kind of request: constant, or made for each.
type headers struct {
	fixed map[string]string
	made  *expr
}

// Moving is the manifest of an API whose address is another each time: it says
// nothing of where an upload goes.
func (m *Manifest) Moving() *Manifest {
	moving := *m
	moving.moving = true
	return &moving
}

// Definition is what can be known of the API before it is opened.
func (m *Manifest) Definition() *spec.Definition {
	d := &spec.Definition{
		Name: m.name, Title: m.title, Docs: m.docs, Base: m.base, File: m.file, Text: slices.Clone(m.text),
		Options: m.options, Limits: m.limits, Abilities: m.abilities(), Requests: m.requests(), Open: m.Open,
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
