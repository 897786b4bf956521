package manifest

import (
	"errors"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Key is a secret that can be asked for.
type Key interface{ Reveal() string }

// Settings are what a manifest leaves open.
type Settings struct {
	Base    string            // the address of the API; empty: the manifest's
	Key     Key               // nil: none
	Options map[string]string // those that the user set, as text
	Client  *transport.Client // nil: one without limits
}

// Provider is an API that can be spoken to. Where the API takes checkpoints,
// it is an upload.Checkpointer too.
type Provider interface {
	upload.Provider
	upload.Limiter
	// Target is where the file goes: the identity of its upload. The base
	// address is left out where the manifest has none of its own.
	Target(f upload.File) upload.Target
}

// Open checks the settings, in this order: the base address, the options (an
// *OptionError), the key (an error that wraps upload.ErrDenied and names the
// environment variable). Nothing is sent.
func (m *Manifest) Open(s Settings) (Provider, error) {
	return nil, errors.New("not yet written")
}
