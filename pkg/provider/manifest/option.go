package manifest

import (
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
)

func (n node) option(name string) spec.Option {
	o := spec.Option{Name: name}
	if !optionText.MatchString(name) {
		n.fail("is no name of an option (letters, digits and _)")
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
	})
	if o.Type == "" {
		n.fail("has no type")
		return o
	}
	if enum != nil {
		vs, ok := enum.value().([]any)
		if !ok || len(vs) == 0 || slices.ContainsFunc(vs, func(v any) bool { return !o.Fits(v) }) {
			enum.fail("is no list of values of type %s", o.Type)
		}
		o.Enum = vs
	}
	if def != nil {
		o.Default = def.value()
		switch {
		case !o.Fits(o.Default):
			def.fail("is no %s", o.Type)
		case !o.Takes(o.Default):
			def.fail("is none of %s", o.Choice())
		case o.Required:
			def.fail("is of no use where the option is required")
		}
	}
	return o
}
