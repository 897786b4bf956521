package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/text"
)

// Option is one thing that the user of an API can set.
type Option struct {
	Name     string
	Type     string // one of OptionTypes
	Default  any    // nil: none
	Help     string
	Required bool
	Enum     []any    // the values it takes; empty: any of its type
	Min, Max *float64 // of a number; nil: no bound
	Secret   bool     // whether it stays out of the journal
}

// OptionTypes are the types of options.
var OptionTypes = []string{"string", "int", "number", "bool", "json"}

// Options are those of a provider, in its order.
type Options []Option

// Find is the option of a name; false: there is none.
func (os Options) Find(name string) (Option, bool) {
	i := slices.IndexFunc(os, func(o Option) bool { return o.Name == name })
	if i < 0 {
		return Option{}, false
	}
	return os[i], true
}

// Names are those of the options.
func (os Options) Names() []string {
	names := make([]string, len(os))
	for i, o := range os {
		names[i] = o.Name
	}
	return names
}

// Defaults are the values of all options where none is set, with nil where there
// is none.
func (os Options) Defaults() map[string]any {
	all := map[string]any{}
	for _, o := range os {
		all[o.Name] = o.Default
	}
	return all
}

// Resolve reads what the user set: the values of all options, with nil where
// there is none, and of them only those that were set. Its error is an
// *OptionError, which names the provider by this title.
func (os Options) Resolve(title string, set map[string]string) (all, own map[string]any, err error) {
	all, own = os.Defaults(), map[string]any{}
	bad := func(name, format string, args ...any) error {
		return &OptionError{Provider: title, Option: name, Reason: fmt.Sprintf(format, args...), Known: os}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		o, ok := os.Find(name)
		if !ok {
			return nil, nil, bad(name, "there is no such option%s", text.DidYouMean(name, os.Names()))
		}
		v, err := o.parse(set[name])
		if err != nil {
			if o.Secret {
				return nil, nil, bad(name, "is not a valid value of type %s", o.Type)
			}
			return nil, nil, bad(name, "%v", err)
		}
		all[name], own[name] = v, v
	}
	for _, o := range os {
		if o.Required && (all[o.Name] == nil || all[o.Name] == "") {
			return nil, nil, bad(o.Name, "has to be set (%s)", o.Help)
		}
	}
	return all, own, nil
}

// Restore gives recorded options as a user writes them: set to these, they are
// recorded as the same again, but for the secret ones, which are not recorded.
func (os Options) Restore(title string, recorded json.RawMessage) (map[string]string, error) {
	set := map[string]string{}
	if len(recorded) == 0 {
		return set, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(recorded, &values); err != nil {
		return nil, fmt.Errorf("%s: options: %w", title, err)
	}
	for name, value := range values {
		text := string(value)
		if o, ok := os.Find(name); ok && o.Type == "string" {
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, &OptionError{Provider: title, Option: name, Reason: "it was not text when the upload began", Known: os}
			}
		}
		set[name] = text
	}
	return set, nil
}

// Open is vs without the secret options.
func (os Options) Open(vs map[string]any) map[string]any {
	vs = maps.Clone(vs)
	for _, o := range os {
		if o.Secret {
			delete(vs, o.Name)
		}
	}
	return vs
}

// Fits reports whether v is of the option's type.
func (o Option) Fits(v any) bool {
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

// Takes reports whether v is one of the values that the option takes.
func (o Option) Takes(v any) bool {
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

// Choice lists the values that the option takes.
func (o Option) Choice() string {
	return strings.Join(o.Values(), ", ")
}

// parse reads the option as a user writes it.
func (o Option) parse(s string) (any, error) {
	v, err := o.parseType(s)
	if err != nil {
		return nil, err
	}
	switch {
	case !o.Takes(v) && len(o.Enum) == 1:
		return nil, fmt.Errorf("%q is not %s", s, o.Choice())
	case !o.Takes(v):
		return nil, fmt.Errorf("%q is not one of %s", s, o.Choice())
	}
	return v, o.CheckBounds(v)
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
			return nil, fmt.Errorf("%q is not a whole number", s)
		}
		return i, nil
	}
	v, err := exact.Decode([]byte(s))
	switch {
	case o.Type == "number" && (err != nil || !o.Fits(v)):
		return nil, fmt.Errorf("%q is not a number", s)
	case err != nil:
		return nil, fmt.Errorf("is not JSON: %w", err)
	case v == nil:
		return nil, errors.New("null is not allowed: omit the option instead")
	}
	if _, err := json.Marshal(v); err != nil {
		return nil, fmt.Errorf("%q has a number that is too large", s)
	}
	return v, nil
}

// CheckBounds says of a number that it is outside the option's bounds.
func (o Option) CheckBounds(v any) error {
	n, ok := asFloat(v)
	if !ok || (o.Min == nil || n >= *o.Min) && (o.Max == nil || n <= *o.Max) {
		return nil
	}
	return fmt.Errorf("%v is not %s", v, o.Bounds())
}

// asFloat is a number as a float64, which is enough to compare it with a bound.
func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// Bounds says in words what the bounds of a number are.
func (o Option) Bounds() string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case o.Min == nil:
		return "at most " + number(*o.Max)
	case o.Max == nil:
		return "at least " + number(*o.Min)
	}
	return "from " + number(*o.Min) + " to " + number(*o.Max)
}

// OptionError is what is wrong with an option that the user set, or did not.
type OptionError struct {
	Provider string  // its title
	Option   string  // the option's name as it was given
	Reason   string  // what is wrong with it
	Known    Options // the options that there are
}

func (e *OptionError) Error() string {
	list := "it has no options"
	if len(e.Known) > 0 {
		list = "its options: " + strings.Join(e.Known.Names(), ", ")
	}
	return fmt.Sprintf("%s: option %s: %s (%s)", e.Provider, e.Option, e.Reason, list)
}
