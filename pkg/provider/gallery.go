package provider

import (
	"strings"

	"github.com/multiput/multiput/docs"
	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/manifest"
)

// galleryPrefix is how a manifest of the gallery is named: gallery/box.
const galleryPrefix = "gallery/"

// Gallery are the names of the manifests that come along without being built
// in: written from documentation, and to be checked before one is relied on.
func Gallery() []string {
	entries, err := docs.Manifests.ReadDir("manifests")
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = galleryPrefix + strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names
}

// ofGallery is the text of a manifest of the gallery; nil: there is none.
func ofGallery(name string) []byte {
	short, ok := strings.CutPrefix(name, galleryPrefix)
	if !ok {
		return nil
	}
	b, err := docs.Manifests.ReadFile("manifests/" + short + ".yaml")
	if err != nil {
		return nil
	}
	return b
}

// loadGallery loads a manifest of the gallery. It is known by its name there, so
// that an upload finds it again.
func loadGallery(name string, text []byte) (*Definition, error) {
	m, err := manifest.Parse(name, text)
	if err == nil {
		err = allowed(m, "")
	}
	if err != nil {
		return nil, err
	}
	return own(m.Named(name)), nil
}

var nameLine = text.Pattern(`(?m)^name: .*$`)

// From is the text of a manifest of this name that begins as one of the gallery,
// or as a built-in one. Its error is an *Error or an *UnknownError.
func From(name, other string) (string, error) {
	text := ofGallery(galleryPrefix + strings.TrimPrefix(other, galleryPrefix))
	if text == nil {
		load, ok := builtin[other]
		if !ok || other == Sandbox {
			return "", &UnknownError{Name: galleryPrefix + other, Known: append(Gallery(), Names()...)}
		}
		d, err := load()
		if err != nil {
			return "", err
		}
		text = d.Text
		for _, k := range d.Keys { // it is the built-in one's own
			text = []byte(strings.ReplaceAll(string(text), k.Env, keyVariable(name)))
		}
	}
	made := nameLine().ReplaceAllString(string(text), "name: "+name)
	m, err := manifest.Parse(name+".yaml", []byte(made))
	if err == nil {
		err = allowed(m, "")
	}
	return schemaLine + "\n" + made, err
}

// schemaLine has an editor check a manifest.
const schemaLine = "# yaml-language-server: $schema=https://raw.githubusercontent.com/multiput/multiput/main/docs/schema/manifest.json"

// keyVariable is the variable of a manifest's key, by its name.
func keyVariable(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_API_KEY"
}
