// Package provider finds the manifest of a provider by name: the built-in ones
// and the user's files.
//
// It promises that no user's manifest takes the name or the key of a built-in
// one. It refuses to read the environment: where the user's files are is its
// caller's to say.
package provider

import (
	"errors"

	"github.com/multiput/multiput/pkg/provider/manifest"
)

// Names are the built-in providers.
func Names() []string { return []string{"archetype", "fileai", "openai", "sandbox", "upscayl"} }

// UnknownError says that there is no provider of a name.
type UnknownError struct {
	Name  string
	Known []string // built-in and the user's
}

func (e *UnknownError) Error() string { return "unknown provider " + e.Name }

// Load finds a manifest: a built-in one by its name, the file at a path that
// has a separator or ends in .yaml or .yml, or NAME.yaml in the first of dirs
// that has it. Its error is an *UnknownError, a *manifest.Error or that of
// reading the file.
func Load(nameOrPath string, dirs ...string) (*manifest.Manifest, error) {
	return nil, errors.New("not yet written")
}
