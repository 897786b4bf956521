package provider

import (
	_ "embed"
	"path/filepath"
	"strings"

	"github.com/multiput/multiput/pkg/provider/manifest"
)

// Entry is one provider that can be named.
type Entry struct {
	Name string
	File string      // of the user's; empty: built in
	D    *Definition // nil where Err says why it cannot be read
	Err  error
}

// List is every provider that can be named: the built-in ones, then the user's
// in the order of dirs.
func List(dirs ...string) []Entry {
	var all []Entry
	for _, name := range Names() {
		d, err := Load(name)
		all = append(all, Entry{Name: name, D: d, Err: err})
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		for _, name := range theirs([]string{dir}) {
			if _, own := builtin[name]; own || seen[name] {
				continue // hidden by the one that was there before
			}
			seen[name] = true
			path := filepath.Join(dir, name+".yaml")
			d, err := open(path, name)
			all = append(all, Entry{Name: name, File: path, D: d, Err: err})
		}
	}
	return all
}

//go:embed new.yaml
var template string

// New is the text of a manifest of this name to start from. Its error is a
// *Error.
func New(name string) (string, error) {
	text := strings.ReplaceAll(template, "NAME", name)
	text = strings.ReplaceAll(text, "KEYVAR", keyVariable(name))
	m, err := manifest.Parse(name+".yaml", []byte(text))
	if err == nil {
		err = allowed(m, "")
	}
	return text, err
}
