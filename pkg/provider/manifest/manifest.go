package manifest

import (
	"slices"

	"go.yaml.in/yaml/v3"

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
	options                 []Option

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

// Name is what -p calls the provider.
func (m *Manifest) Name() string { return m.name }

// Title is what people call the provider.
func (m *Manifest) Title() string { return m.title }

// Docs is the address of the API's documentation; may be empty.
func (m *Manifest) Docs() string { return m.docs }

// Base is the address of the API; empty where it has to be given to Open.
func (m *Manifest) Base() string { return m.base }

// Text is the manifest as it was read.
func (m *Manifest) Text() []byte { return slices.Clone(m.text) }

// Moving is the manifest of an API whose address is another each time: it says
// nothing of where an upload goes.
func (m *Manifest) Moving() *Manifest {
	moving := *m
	moving.moving = true
	return &moving
}

// KeyEnv is the environment variable that holds the secret; empty: none.
func (m *Manifest) KeyEnv() string {
	if m.auth == nil {
		return ""
	}
	return m.auth.env
}

// NeedsKey reports whether Open needs a key.
func (m *Manifest) NeedsKey() bool { return m.auth != nil }

// Options are those that can be set, in the manifest's order.
func (m *Manifest) Options() []Option { return slices.Clone(m.options) }

// Limits are what the API is known not to take.
func (m *Manifest) Limits() upload.Limits { return m.limits }

// Aborts reports whether the API has a call that gives an upload up.
func (m *Manifest) Aborts() bool { return m.abort != nil }
