package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
)

// Path is the config file that would be read, and whether it has to be there
// because --config or MULTIPUT_CONFIG names it. Empty: there is no place for one.
func Path(flags *pflag.FlagSet) (path string, named bool, err error) {
	if f := flags.Lookup("config"); f != nil && f.Changed {
		if path, err = Expand(f.Value.String()); err != nil {
			err = &UsageError{Err: fmt.Errorf("--config: %w", err)}
		}
		return path, true, err
	}
	if path = os.Getenv("MULTIPUT_CONFIG"); path != "" {
		if path, err = Expand(path); err != nil {
			err = &Error{Where: "MULTIPUT_CONFIG", Err: err}
		}
		return path, true, err
	}
	if dir := userDir(); dir != "" {
		path = filepath.Join(dir, "config.yaml")
	}
	return path, false, nil
}

// userDir is where the user's config file and manifests are. With a home
// directory that is relative there is none: it would be below the working
// directory, which may be a repository of another person.
func userDir() string {
	dir, err := os.UserConfigDir()
	if err != nil || !filepath.IsAbs(dir) {
		return ""
	}
	return filepath.Join(dir, "multiput")
}

// value is one value of the config file, as it is written there.
type value struct {
	text string
	line int
}

// section is what may stand at the top of the config file and in a profile.
type section struct {
	habits map[string]value
	set    map[string]value // profiles only
	base   value            // profiles only
}

// file is what the config file says. It is the decoder that viper reads it
// with: viper's own drops lines, lets keys be twice there, and puts the names of
// options into lower case.
type file struct {
	path     string
	top      section
	profile  value // the one to use
	base     map[string]value
	profiles map[string]section
}

// read has viper read the file, which need not be there unless it was named.
func (f *file) read(v *viper.Viper, named bool) error {
	if f.path == "" {
		return nil
	}
	v.SetConfigFile(f.path)
	v.SetConfigType("yaml")
	err := v.ReadInConfig()
	var own *Error
	var parse viper.ConfigParseError
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case errors.As(err, &own):
		return own
	case errors.Is(err, fs.ErrNotExist):
		err = errors.New("no such file")
	case errors.As(err, &parse):
		err = parse.Unwrap()
	}
	return &Error{Where: f.path, Err: err}
}

// Decoder makes a file viper's registry of decoders.
func (f *file) Decoder(string) (viper.Decoder, error) { return f, nil }

// Decode reads the file strictly, and gives viper the habits at its top.
func (f *file) Decode(b []byte, into map[string]any) error {
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		if _, wide := text.Plain(b); wide != nil { // YAML has UTF-16 with a mark, and no more
			return wide
		}
		return err
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return errors.New("holds more than one document")
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" {
		return nil
	}
	var err error
	if f.top, err = f.section(root, "", map[string]func(*yaml.Node) error{
		"profile": func(n *yaml.Node) (err error) {
			f.profile, err = f.scalar(n, "profile")
			return err
		},
		"base-url": func(n *yaml.Node) (err error) {
			f.base, err = f.scalars(n, "base-url", "a provider below it, such as base-url: {openai: URL}")
			return err
		},
		"profiles": func(n *yaml.Node) error {
			f.profiles = map[string]section{}
			return f.each(n, "profiles", "the names of profiles below it", func(name string, _, n *yaml.Node) error {
				p, err := f.readProfile(n, "profiles."+name)
				f.profiles[name] = p
				return err
			})
		},
	}); err != nil {
		return err
	}
	for key, val := range f.top.habits {
		into[key] = val.text
	}
	return nil
}

// keySources are the habits that say where a key comes from.
var keySources = []string{"api-key-file", "api-key-command"}

func (f *file) readProfile(n *yaml.Node, at string) (section, error) {
	var base value
	var set map[string]value
	p, err := f.section(n, at, map[string]func(*yaml.Node) error{
		"base-url": func(n *yaml.Node) (err error) {
			base, err = f.scalar(n, at+".base-url")
			return err
		},
		"set": func(n *yaml.Node) (err error) {
			set, err = f.scalars(n, at+".set", "options below it, such as set: {KEY: VALUE}")
			return err
		},
	})
	p.base, p.set = base, set
	if _, named := p.habits["provider"]; named || err != nil {
		return p, err
	}
	for _, key := range bound(p) {
		return p, f.fault(n, at, "%s is for one provider: name it in the profile, with provider: NAME", key)
	}
	return p, nil
}

// bound are the keys of a profile that are for its own provider only: where a
// key comes from, where it goes, and options, whose meaning is the provider's.
func bound(p section) []string {
	var keys []string
	if p.base.text != "" {
		keys = append(keys, "base-url")
	}
	if len(p.set) > 0 {
		keys = append(keys, "set")
	}
	for _, key := range keySources {
		if p.habits[key].text != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// section reads habits, and what others says beside them.
func (f *file) section(n *yaml.Node, at string, others map[string]func(*yaml.Node) error) (section, error) {
	s := section{habits: map[string]value{}}
	err := f.each(n, at, "keys such as provider: NAME", func(key string, k, n *yaml.Node) error {
		place := strings.TrimPrefix(at+"."+key, ".")
		read, other := others[key]
		switch {
		case other:
			return read(n)
		case slices.Contains(habits, key):
			val, err := f.scalar(n, place)
			if err == nil && val.text != "" {
				if val.text, err = f.anchor(key, val.text); err != nil {
					return &Error{Where: f.place(n, place), Err: err}
				}
				s.habits[key] = val
			}
			return err
		case secretText().MatchString(key):
			return f.fault(k, place, "%w", ErrKeyInFile)
		}
		known := slices.Concat(habits, slices.Sorted(maps.Keys(others)))
		return &Error{Where: f.place(k, place), Err: &UnknownError{What: "key", Name: key, Known: known}}
	})
	return s, err
}

// secretText are names under which people write down secrets.
var secretText = text.Pattern(`(?i)^(api)?[-_]?(key|token|secret|password)$|^(access|auth|secret)[-_]?(key|token)$`)

// scalars reads names with one value each.
func (f *file) scalars(n *yaml.Node, at, want string) (map[string]value, error) {
	vs := map[string]value{}
	err := f.each(n, at, want, func(name string, _, n *yaml.Node) error {
		val, err := f.scalar(n, at+"."+name)
		if err == nil && val.text != "" {
			vs[name] = val
		}
		return err
	})
	return vs, err
}

// each goes through the keys of a mapping.
func (f *file) each(n *yaml.Node, at, want string, take func(name string, k, v *yaml.Node) error) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return f.fault(n, at, "needs %s", want)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Value == "" {
			return f.fault(k, at, "has a key that is not a string")
		}
		if seen[k.Value] {
			return f.fault(k, strings.TrimPrefix(at+"."+k.Value, "."), "is a duplicate key")
		}
		seen[k.Value] = true
		if err := take(k.Value, k, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// scalar reads one value; null is none.
func (f *file) scalar(n *yaml.Node, at string) (value, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		return value{}, f.fault(n, at, "is a list or has keys below it, and should be one value")
	case n.ShortTag() == "!!null":
		return value{}, nil
	case strings.TrimSpace(n.Value) == "":
		return value{}, f.fault(n, at, "is empty")
	}
	return value{n.Value, n.Line}, nil
}

// anchor makes a path absolute: in the config file it is relative to that file,
// and ~/ is the home directory. Relative to the working directory, a repository
// that was cloned could put its own manifest, certificate or key there.
func (f *file) anchor(key, text string) (string, error) {
	switch {
	case key == "provider" && isPath(text):
	case slices.Contains([]string{"journal", "cacert", "api-key-file"}, key):
	default:
		return text, nil
	}
	text, err := Expand(text)
	if err != nil || filepath.IsAbs(text) {
		return text, err
	}
	return filepath.Join(f.dir(), text), nil
}

// dir is where the file is.
func (f *file) dir() string {
	if abs, err := filepath.Abs(f.path); err == nil {
		return filepath.Dir(abs)
	}
	return filepath.Dir(f.path)
}

// isPath tells the path of a manifest from the name of a provider.
func isPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || strings.HasSuffix(s, ".yaml") || strings.HasSuffix(s, ".yml")
}

// place is the file, the key and its line.
func (f *file) place(n *yaml.Node, at string) string { return f.at(at, n.Line) }

func (f *file) at(key string, line int) string {
	if key == "" {
		return fmt.Sprintf("%s (line %d)", f.path, line)
	}
	return fmt.Sprintf("%s: %s (line %d)", f.path, key, line)
}

func (f *file) fault(n *yaml.Node, at, format string, args ...any) error {
	return &Error{Where: f.place(n, at), Err: fmt.Errorf(format, args...)}
}
