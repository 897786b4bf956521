package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

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

var optionTypes = []string{"string", "int", "number", "bool", "json"}

func (n node) option(name string) Option {
	o := Option{Name: name}
	if !optionText.MatchString(name) {
		n.fail("is no name of an option (letters, digits and _)")
	}
	var def, enum *node
	n.fields(map[string]func(node){
		"type": func(v node) {
			if o.Type = v.text(); !slices.Contains(optionTypes, o.Type) {
				v.fail("is %q; the types are %s", o.Type, strings.Join(optionTypes, ", "))
			}
		},
		"help":     func(v node) { o.Help = v.text() },
		"required": func(v node) { o.Required = v.boolean() },
		"secret":   func(v node) { o.Secret = v.boolean() },
		"default":  func(v node) { def = &v },
		"enum":     func(v node) { enum = &v },
	})
	if o.Type == "" {
		n.fail("has no type")
		return o
	}
	if enum != nil {
		vs, ok := enum.value().([]any)
		if !ok || len(vs) == 0 || slices.ContainsFunc(vs, func(v any) bool { return !o.fits(v) }) {
			enum.fail("is no list of values of type %s", o.Type)
		}
		o.Enum = vs
	}
	if def != nil {
		o.Default = def.value()
		switch {
		case !o.fits(o.Default):
			def.fail("is no %s", o.Type)
		case !o.takes(o.Default):
			def.fail("is none of %s", o.choice())
		case o.Required:
			def.fail("is of no use where the option is required")
		}
	}
	return o
}

// fits reports whether v is of the option's type.
func (o Option) fits(v any) bool {
	switch o.Type {
	case "string":
		_, ok := v.(string)
		return ok
	case "bool":
		_, ok := v.(bool)
		return ok
	case "int":
		_, ok := v.(int)
		return ok
	case "number":
		switch v.(type) {
		case int, float64:
			return true
		}
		return false
	}
	return v != nil
}

// takes reports whether v is one of the values that the option takes.
func (o Option) takes(v any) bool {
	return len(o.Enum) == 0 || slices.ContainsFunc(o.Enum, func(e any) bool { return reflect.DeepEqual(e, v) })
}

// Values are those that the option takes, as a user writes them; nil: there are
// too many.
func (o Option) Values() []string {
	switch {
	case len(o.Enum) > 0:
		words := make([]string, len(o.Enum))
		for i, e := range o.Enum {
			words[i] = fmt.Sprint(e)
		}
		return words
	case o.Type == "bool":
		return []string{"true", "false"}
	}
	return nil
}

func (o Option) choice() string {
	return strings.Join(o.Values(), ", ")
}

// parse reads the option as a user writes it.
func (o Option) parse(s string) (any, error) {
	v, err := o.parseType(s)
	if err != nil {
		return nil, err
	}
	if !o.takes(v) {
		return nil, fmt.Errorf("%q is none of %s", s, o.choice())
	}
	return v, nil
}

func (o Option) parseType(s string) (any, error) {
	switch o.Type {
	case "string":
		return s, nil
	case "bool":
		if s == "true" || s == "false" {
			return s == "true", nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", s)
	case "int":
		i, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", s)
		}
		return i, nil
	}
	v, err := decodeJSON([]byte(s))
	switch {
	case o.Type == "number" && (err != nil || !o.fits(v)):
		return nil, fmt.Errorf("%q is no number", s)
	case err != nil:
		return nil, fmt.Errorf("is no JSON: %w", err)
	case v == nil:
		return nil, errors.New("null is the same as not to set it")
	}
	if _, err := marshal(v); err != nil {
		return nil, fmt.Errorf("%q has a number that is too large", s)
	}
	return v, nil
}

// resolve reads what the user set: the values of all options, with null where
// there is none, and of them only those that were set.
func (m *Manifest) resolve(set map[string]string) (all, own map[string]any, err error) {
	all, own = map[string]any{}, map[string]any{}
	bad := func(name, format string, args ...any) error {
		return &OptionError{Provider: m.title, Option: name, Reason: fmt.Sprintf(format, args...), Known: m.Options()}
	}
	known := map[string]Option{}
	for _, o := range m.options {
		known[o.Name], all[o.Name] = o, o.Default
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		o, ok := known[name]
		if !ok {
			return nil, nil, bad(name, "there is no such option%s", DidYouMean(name, slices.Collect(maps.Keys(known))))
		}
		v, err := o.parse(set[name])
		if err != nil {
			if o.Secret {
				return nil, nil, bad(name, "is no value of type %s that it takes", o.Type)
			}
			return nil, nil, bad(name, "%v", err)
		}
		all[name], own[name] = v, v
	}
	for _, o := range m.options {
		if o.Required && (all[o.Name] == nil || all[o.Name] == "") {
			return nil, nil, bad(o.Name, "has to be set (%s)", o.Help)
		}
	}
	return all, own, nil
}

// Restore gives the options of a Target as a user writes them: set to these, the
// Target is the same again, but for the secret ones, which it does not have.
func (m *Manifest) Restore(t upload.Target) (map[string]string, error) {
	set := map[string]string{}
	if len(t.Options) == 0 {
		return set, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(t.Options, &values); err != nil {
		return nil, fmt.Errorf("%s: options: %w", m.title, err)
	}
	for name, value := range values {
		text := string(value)
		if i := slices.IndexFunc(m.options, func(o Option) bool { return o.Name == name }); i >= 0 && m.options[i].Type == "string" {
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, &OptionError{Provider: m.title, Option: name, Reason: "it was no text when the upload began", Known: m.Options()}
			}
		}
		set[name] = text
	}
	return set, nil
}

// open is vs without the secret options.
func (m *Manifest) open(vs map[string]any) map[string]any {
	vs = maps.Clone(vs)
	for _, o := range m.options {
		if o.Secret {
			delete(vs, o.Name)
		}
	}
	return vs
}
