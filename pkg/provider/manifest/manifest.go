package manifest

import (
	"errors"

	"github.com/multiput/multiput/pkg/upload"
)

// Manifest is the checked description of one upload API. It does not change.
type Manifest struct {
	name, title, docs, base string
	keyEnv                  string
	options                 []Option
	limits                  upload.Limits
}

// Parse reads a manifest. Its error is an *Error, which says in the file of
// this name where each problem is.
func Parse(name string, yaml []byte) (*Manifest, error) {
	return nil, errors.New("not yet written")
}

// Name is what -p calls the provider.
func (m *Manifest) Name() string { return m.name }

// Title is what people call the provider.
func (m *Manifest) Title() string { return m.title }

// Docs is the address of the API's documentation; may be empty.
func (m *Manifest) Docs() string { return m.docs }

// Base is the address of the API; empty where it has to be given to Open.
func (m *Manifest) Base() string { return m.base }

// KeyEnv is the environment variable that holds the secret; empty: none.
func (m *Manifest) KeyEnv() string { return m.keyEnv }

// Options are those that can be set, in the manifest's order.
func (m *Manifest) Options() []Option { return m.options }

// Limits are what the API is known not to take.
func (m *Manifest) Limits() upload.Limits { return m.limits }

// Option is one thing that the user of an API can set.
type Option struct {
	Name     string
	Type     string // string, int, number, bool or json
	Default  any    // nil: none
	Help     string
	Required bool
	Enum     []any // the values it takes; empty: any of its type
	Secret   bool  // whether it stays out of the journal
}
