// Package provider finds the manifest of a provider by name: the built-in ones
// and the user's files.
//
// It promises that no user's manifest takes the name or the key of a built-in
// one. It refuses to read the environment: where the user's files are is its
// caller's to say.
package provider

import (
	"embed"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/multiput/multiput/pkg/provider/manifest"
)

//go:embed builtin/*.yaml
var files embed.FS

// Sandbox is the name of the embedded provider.
const Sandbox = "sandbox"

// builtin are the built-in manifests by name, each read when it is first
// needed.
var builtin = map[string]func() (*manifest.Manifest, error){
	"archetype": read("archetype"),
	"fileai":    read("fileai"),
	"openai":    read("openai"),
	"upscayl":   read("upscayl"),
	Sandbox:     sync.OnceValues(sandbox),
}

func read(name string) func() (*manifest.Manifest, error) {
	return sync.OnceValues(func() (*manifest.Manifest, error) {
		path := "builtin/" + name + ".yaml"
		b, err := files.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return manifest.Parse(path, b)
	})
}

// Names are the built-in providers.
func Names() []string { return slices.Sorted(maps.Keys(builtin)) }

// Known are all providers: the built-in ones, and those of the user's whose
// manifests are in dirs.
func Known(dirs ...string) []string { return append(Names(), theirs(dirs)...) }

// UnknownError says that there is no provider of a name.
type UnknownError struct {
	Name  string
	Known []string // built-in ones and the user's
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("there is no provider %q%s (there is: %s)", e.Name, manifest.DidYouMean(e.Name, e.Known), strings.Join(e.Known, ", "))
}

// Load finds a manifest: a built-in one by its name, the file at a path that
// has a separator or ends in .yaml or .yml, or NAME.yaml in the first of dirs
// that has it. Its error is an *UnknownError, a *manifest.Error or that of
// reading the file.
func Load(nameOrPath string, dirs ...string) (*manifest.Manifest, error) {
	if load, ok := builtin[nameOrPath]; ok {
		return load()
	}
	if isPath(nameOrPath) {
		return open(nameOrPath, "")
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, nameOrPath+".yaml")
		if _, err := os.Stat(path); err == nil {
			return open(path, nameOrPath)
		}
	}
	return nil, &UnknownError{Name: nameOrPath, Known: Known(dirs...)}
}

func isPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || strings.ContainsRune(s, filepath.Separator) ||
		strings.HasSuffix(s, ".yaml") || strings.HasSuffix(s, ".yml")
}

// theirs are the names of the user's manifests.
func theirs(dirs []string) []string {
	var names []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			continue // a directory whose name is no pattern has no manifests to name
		}
		for _, path := range found {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".yaml"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// open reads a user's manifest, which was asked for by a name if that is not
// empty.
func open(path, name string) (*manifest.Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, manifest.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifest %s: %w", path, err)
	}
	m, err := manifest.Parse(path, b)
	if err != nil {
		return nil, err
	}
	if err := allowed(m, name); err != nil {
		return nil, err
	}
	return m, nil
}

// allowed reports what a user's manifest may not do. It was asked for by a
// name, if that is not empty.
func allowed(m *manifest.Manifest, name string) error {
	if name != "" && m.Name() != name {
		return m.Fault("name", "is %s, and the file is named for %s", m.Name(), name)
	}
	for _, own := range Names() {
		if strings.EqualFold(m.Name(), own) {
			return m.Fault("name", "%s is built in; give yours another name", own)
		}
		b, err := builtin[own]()
		if err != nil {
			return err
		}
		if b.KeyEnv() != "" && strings.EqualFold(m.KeyEnv(), b.KeyEnv()) {
			return m.Fault("auth.env", "%s holds the key of %s, which goes to nobody else", b.KeyEnv(), b.Title())
		}
	}
	return nil
}
