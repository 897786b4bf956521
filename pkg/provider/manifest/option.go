package manifest

import (
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
)

func (n node) option(name string) spec.Option {
	o := spec.Option{Name: name}
	if !optionText().MatchString(name) {
		n.fail("is not a name of an option (letters, digits and _)")
	}
	var def, enum *node
	n.fields(map[string]func(node){
		"type": func(v node) {
			if o.Type = v.text(); !slices.Contains(spec.OptionTypes, o.Type) {
				v.fail("is %q; the types are %s", o.Type, strings.Join(spec.OptionTypes, ", "))
			}
		},
		"help":     func(v node) { o.Help = v.text() },
		"required": func(v node) { o.Required = v.boolean() },
		"secret":   func(v node) { o.Secret = v.boolean() },
		"default":  func(v node) { def = &v },
		"enum":     func(v node) { enum = &v },
		"min":      func(v node) { o.Min = v.bound() },
		"max":      func(v node) { o.Max = v.bound() },
	})
	if o.Type == "" {
		n.infer(place{n.Line, n.Column}, "has no type")
		return o
	}
	if (o.Min != nil || o.Max != nil) && o.Type != "int" && o.Type != "number" {
		n.infer(place{n.Line, n.Column}, "has min or max, which are for an int or a number")
	}
	if o.Min != nil && o.Max != nil && *o.Min > *o.Max {
		n.infer(place{n.Line, n.Column}, "has a min above its max")
	}
	if enum != nil {
		vs, ok := enum.value().([]any)
		if !ok || len(vs) == 0 || slices.ContainsFunc(vs, func(v any) bool { return !o.Fits(v) }) {
			enum.fail("is not a list of values of type %s", o.Type)
		}
		o.Enum = vs
	}
	if def != nil {
		o.Default = def.value()
		switch {
		case !o.Fits(o.Default):
			def.fail("is not of type %s", o.Type)
		case !o.Takes(o.Default):
			def.fail("is not one of %s", o.Choice())
		case o.CheckBounds(o.Default) != nil:
			def.fail("%v", o.CheckBounds(o.Default))
		case o.Required:
			def.fail("has no effect, as the option is required")
		}
	}
	return o
}

// bound reads a number.
func (n node) bound() *float64 {
	switch v := n.value().(type) {
	case int:
		f := float64(v)
		return &f
	case float64:
		return &v
	}
	n.fail("expected a number, found %s", n.kind())
	return nil
}
