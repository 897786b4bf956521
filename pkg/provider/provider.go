// Package provider finds the [Definition] of a provider by name: built-in ones and
// the user's manifests. A Definition is all that a program has to know of any
// provider: its title, options, keys, limits and abilities, and Open, which makes an
// upload.Provider of it.
//
// It promises that no manifest of a user's takes the name or the key of a built-in
// provider, and says where a key may go (see [MayHaveKey]). It does not read the
// environment: keys and the directories of manifests come from its caller.
//
// # Mechanism
//
// [Load] takes a built-in name, the path of a manifest, or a name of which one of
// the given directories has a manifest. A manifest is a page of YAML with jq
// expressions, which pkg/provider/manifest turns into requests; docs/manifest.md is
// its language. The built-in ones go through the same loader.
//
//	d, err := provider.Load("openai")
//	p, err := d.Open(provider.Settings{
//		Keys:    []provider.Secret{key},
//		Options: map[string]string{"purpose": "batch"},
//	})
//	u := upload.Uploader{Provider: p, Target: p.Target()}
//
// Open sends nothing. It checks the base URL, then the options, then the keys.
//
// # A provider of one's own
//
// An API that a manifest can describe needs no Go. For any other, implement the five
// methods of upload.Provider, and of its optional interfaces (upload.Checkpointer,
// upload.Prober, upload.Stepper …) those that the API has a call for; then give it to an
// Uploader without this package. pkg/provider/check has the contract suite that the
// built-in providers pass.
//
// # Caveats
//
// The key goes to the origin of the base URL and nowhere else, over https alone
// except for the loopback. A manifest of another author decides where your file
// goes: read its base and its urls first.
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

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/provider/s3"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
)

//go:embed builtin/*.yaml
var files embed.FS

// Sandbox is the name of the embedded provider.
const Sandbox = "sandbox"

// builtin are the built-in manifests by name, each read when it is first
// needed.
var builtin = map[string]func() (*Definition, error){
	"archetype": read("archetype"),
	"fileai":    read("fileai"),
	"openai":    read("openai"),
	"upscayl":   read("upscayl"),
	s3.Name:     sync.OnceValues(func() (*Definition, error) { return s3.Define(s3.Name) }),
	Sandbox:     sync.OnceValues(sandbox),
}

func read(name string) func() (*Definition, error) {
	return sync.OnceValues(func() (*Definition, error) {
		path := "builtin/" + name + ".yaml"
		b, err := files.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := manifest.Parse(path, b)
		if err != nil {
			return nil, err
		}
		return own(m), nil
	})
}

// own is the definition of a built-in manifest.
func own(m *manifest.Manifest) *Definition {
	d := m.Definition()
	d.File = ""
	return d
}

// The types of package spec, by which cmd knows a provider.
type (
	// Definition is what is known of a provider before it is opened.
	Definition = spec.Definition
	// Provider is an API that is ready for requests.
	Provider = spec.Provider
	// Settings are what Open takes.
	Settings = spec.Settings
	// Secret is a key that shows itself only when asked to.
	Secret = spec.Secret
	// Keyless is a provider that may have been opened without a key.
	Keyless = spec.Keyless
	// Finder is a Provider that finds its address and its key by itself.
	Finder = spec.Finder
	// Requester is a Provider whose requests are not the same for every file.
	Requester = spec.Requester
	// Request is one of them.
	Request = spec.Request
	// Option is an option of a provider (--set).
	Option = spec.Option
	// OptionError says what is wrong with an option.
	OptionError = spec.OptionError
	// BaseError says what is wrong with the URL of an API.
	BaseError = spec.BaseError
	// Error says what is wrong with a manifest, and where.
	Error = spec.Error
	// Finding is one thing that is wrong.
	Finding = spec.Finding
	// Remote is a Provider that can list its unfinished uploads.
	Remote = spec.Remote
	// RemoteUpload is one of them.
	RemoteUpload = spec.RemoteUpload
	// AddressError says what is wrong with an address such as s3://BUCKET/KEY.
	AddressError = spec.AddressError
)

// ErrOwn is in the errors that a manifest words itself, with error().
var ErrOwn = spec.ErrOwn

// Who plans the parts, and where they go; see [spec.Abilities].
const (
	PlanAPI    = spec.PlanAPI
	PlanWish   = spec.PlanWish
	PlanClient = spec.PlanClient
	URLsOnce   = spec.URLsOnce
	URLsAgain  = spec.URLsAgain
	URLsNone   = spec.URLsNone
)

// DidYouMean is `, did you mean "name"?` with the name that is closest to s, or
// nothing if none is close.
func DidYouMean(s string, names []string) string { return text.DidYouMean(s, names) }

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
	return fmt.Sprintf("there is no provider %q%s (known: %s)", e.Name, DidYouMean(e.Name, e.Known), strings.Join(e.Known, ", "))
}

// Load finds a definition: a built-in one by its name, that of S3 for
// s3://BUCKET or s3://BUCKET/KEY, the manifest at a path that has a separator or
// ends in .yaml or .yml, gallery/NAME, or NAME.yaml in the first of dirs that has
// it. Its error is an *UnknownError, an *AddressError, an *Error or that of reading
// the file.
func Load(nameOrPath string, dirs ...string) (*Definition, error) {
	if load, ok := builtin[nameOrPath]; ok {
		return load()
	}
	if text := ofGallery(nameOrPath); text != nil {
		return loadGallery(nameOrPath, text)
	}
	if strings.HasPrefix(nameOrPath, galleryPrefix) && !strings.HasSuffix(nameOrPath, ".yaml") {
		return nil, &UnknownError{Name: nameOrPath, Known: Gallery()}
	}
	if strings.HasPrefix(nameOrPath, s3.Scheme) {
		return s3.Define(nameOrPath)
	}
	if err := s3.Misspelled(nameOrPath); err != nil {
		return nil, err
	}
	if strings.Contains(nameOrPath, "://") {
		return nil, &UnknownError{Name: transport.Redact(nameOrPath), Known: Known(dirs...)}
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
func open(path, name string) (*Definition, error) {
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
	return m.Definition(), nil
}
