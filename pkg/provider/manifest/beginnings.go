package manifest

import (
	"maps"
	"slices"

	"github.com/itchyny/gojq"
)

// beginning is how a text begins that an expression yields.
type beginning struct {
	text  string // a constant
	whole bool   // whether nothing follows it
	by    string // what makes it otherwise: one of these, or the name of an option
}

const (
	byReply    = "$upload" // the API
	byBase     = "$base"
	byManifest = "."
)

// beginnings are those of what an expression yields, on any of its ways; of an
// object, those of its url.
func (m *Manifest) beginnings(e *expr) []beginning {
	if e == nil {
		return nil
	}
	q, err := gojq.Parse(e.text)
	if err != nil {
		return nil
	}
	return (&tracer{m: m, name: "url"}).query(q, []beginning{{by: byReply}})
}

// tracer follows an expression to where its text comes from.
type tracer struct {
	m    *Manifest
	name string          // the field of an object that counts
	kept map[string]bool // fields of $upload that are followed already
	vars map[string][]beginning
}

var unclear = []beginning{{by: byManifest}}

func followed(all []beginning) []beginning {
	all = slices.Clone(all)
	for i := range all {
		all[i].whole = false
	}
	return all
}

// query follows q, whose . begins like in.
func (t *tracer) query(q *gojq.Query, in []beginning) []beginning {
	switch {
	case q == nil || len(q.FuncDefs) > 0:
		return unclear
	case q.Term != nil:
		return t.term(q.Term, in)
	case len(q.Patterns) > 0: // … as $name | …
		within := *t
		within.vars = maps.Clone(t.vars)
		if within.vars == nil {
			within.vars = map[string][]beginning{}
		}
		within.vars[q.Patterns[0].Name] = t.query(q.Left, in)
		return within.query(q.Right, in)
	}
	switch q.Op {
	case gojq.OpAlt, gojq.OpComma, gojq.OpMul:
		return append(slices.Clone(t.query(q.Left, in)), t.query(q.Right, in)...)
	case gojq.OpAdd:
		all, more := followed(t.query(q.Left, in)), t.query(q.Right, in)
		if len(all) == 0 || q.Right.Term != nil && q.Right.Term.Type == gojq.TermTypeObject {
			return append(all, more...) // two objects, or null and something
		}
		return all
	case gojq.OpPipe:
		return t.query(q.Right, t.query(q.Left, in))
	}
	return unclear
}

func (t *tracer) term(x *gojq.Term, in []beginning) []beginning {
	if len(x.SuffixList) > 0 || x.Type == gojq.TermTypeIndex {
		return t.part(x, in)
	}
	switch x.Type {
	case gojq.TermTypeIdentity:
		return in
	case gojq.TermTypeQuery:
		return t.query(x.Query, in)
	case gojq.TermTypeArray:
		if x.Array.Query != nil {
			return t.query(x.Array.Query, in)
		}
	case gojq.TermTypeObject:
		return t.object(x.Object, in)
	case gojq.TermTypeIf:
		all := slices.Clone(t.query(x.If.Then, in))
		for _, more := range x.If.Elif {
			all = append(all, t.query(more.Then, in)...)
		}
		if x.If.Else == nil {
			return append(all, in...)
		}
		return append(all, t.query(x.If.Else, in)...)
	case gojq.TermTypeString:
		if len(x.Str.Queries) > 0 {
			return followed(t.query(x.Str.Queries[0], in))
		}
		return []beginning{{text: x.Str.Str, whole: true}}
	case gojq.TermTypeNull:
		return nil
	case gojq.TermTypeFunc:
		return t.call(x.Func, in)
	}
	return unclear
}

// call follows a variable or a function.
func (t *tracer) call(f *gojq.Func, in []beginning) []beginning {
	switch f.Name {
	case "$base", "$part", "$parts":
		return []beginning{{by: byBase}} // a number is below it
	case "$upload", "$header":
		return []beginning{{by: byReply}}
	case "map":
		return t.query(f.Args[0], in)
	case "select", "values", "strings", "first", "last":
		if f.Name == "select" || len(f.Args) == 0 {
			return in
		}
	case "capture", "split", "ltrimstr", "rtrimstr": // parts of the input
		return derived(in, nil)
	case "error", "empty":
		return nil
	}
	if f.Name[0] == '$' {
		if all, bound := t.vars[f.Name]; bound {
			return all
		}
		return unclear
	}
	return derived(in, f.Args)
}

// derived is what a function makes of its input: of a reply, it is still of it,
// unless there are arguments.
func derived(in []beginning, args []*gojq.Query) []beginning {
	if len(args) > 0 || len(in) == 0 || slices.ContainsFunc(in, func(b beginning) bool { return b.by != byReply }) {
		return unclear
	}
	return in
}

// part follows a part of a value.
func (t *tracer) part(x *gojq.Term, in []beginning) []beginning {
	name := ""
	if len(x.SuffixList) > 0 && x.SuffixList[0].Index != nil {
		name = x.SuffixList[0].Index.Name
	}
	switch {
	case x.Type == gojq.TermTypeFunc && x.Func.Name == "$options" && name != "":
		all := []beginning{{by: name}}
		if o, ok := t.m.options.Find(name); ok {
			if s, is := o.Default.(string); is {
				all = append(all, beginning{text: s, whole: true})
			}
		}
		return all
	case x.Type == gojq.TermTypeFunc && x.Func.Name == "$upload" && name != "" && len(x.SuffixList) == 1:
		return t.field(name)
	}
	root := *x
	root.SuffixList = nil
	if x.Type == gojq.TermTypeIndex {
		root = gojq.Term{Type: gojq.TermTypeIdentity}
	}
	all := t.term(&root, in)
	if !slices.ContainsFunc(x.SuffixList, func(s *gojq.Suffix) bool { return s.Index != nil }) && x.Type != gojq.TermTypeIndex {
		return all // its elements
	}
	return derived(all, nil)
}

func (t *tracer) object(o *gojq.Object, in []beginning) []beginning {
	for _, kv := range o.KeyVals {
		switch {
		case kv.Key == "" && kv.KeyString == nil:
			return unclear
		case kv.Key != t.name && (kv.KeyString == nil || kv.KeyString.Str != t.name):
		case kv.Val == nil:
			return derived(in, nil)
		default:
			return t.query(kv.Val, in)
		}
	}
	return nil
}

// field follows a field of $upload to what keeps it.
func (t *tracer) field(name string) (all []beginning) {
	if t.kept[name] {
		return nil
	}
	seen := map[string]bool{name: true}
	maps.Copy(seen, t.kept)
	for _, s := range t.m.ways() {
		s.requests(func(_ string, r *request) {
			if r.keep == nil {
				return
			}
			names, known := keysOf(r.keep)
			if q, err := gojq.Parse(r.keep.text); err == nil && (names[name] || !known) {
				all = append(all, (&tracer{m: t.m, name: name, kept: seen}).query(q, []beginning{{by: byReply}})...)
			}
		})
	}
	if len(all) == 0 {
		return []beginning{{by: byReply}}
	}
	return all
}
