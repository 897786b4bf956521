package manifest

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/itchyny/gojq"
	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
)

// node is a place in a manifest.
type node struct {
	*yaml.Node
	key string
	doc *doc
}

// kind says what is there, for people.
func (n node) kind() string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	switch n.Tag {
	case "!!str":
		return fmt.Sprintf("the string %q", n.Value)
	case "!!int", "!!float":
		return "the number " + n.Value
	}
	return n.Value
}

// fields reads a mapping: each key by its own function, no other key, none
// twice.
func (n node) fields(read map[string]func(node)) {
	if n.Kind != yaml.MappingNode {
		n.fail("expected a mapping, found %s", n.kind())
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := node{n.Content[i+1], k.Value, n.doc}
		if n.key != "" {
			at.key = n.key + "." + k.Value
		}
		f, known := read[k.Value]
		switch {
		case k.Kind != yaml.ScalarNode:
			n.report(place{k.Line, k.Column}, "has a key that is not a string")
		case seen[k.Value]:
			at.report(place{k.Line, k.Column}, "is a duplicate key")
		case !known && renamed(at.key) != "":
			at.report(place{k.Line, k.Column}, "is called %s now", renamed(at.key))
			n.doc.places[at.key] = place{at.Line, at.Column}
			n.doc.unread = append(n.doc.unread, present(at.key)) // so that it is not missing, too
		case !known:
			names := slices.Sorted(maps.Keys(read))
			at.report(place{k.Line, k.Column}, "unknown key%s (known: %s)", text.DidYouMean(k.Value, names), strings.Join(names, ", "))
		default:
			n.doc.places[at.key] = place{at.Line, at.Column}
			f(at)
		}
		seen[k.Value] = true
	}
}

// each reads a mapping whose keys are names of the manifest's own.
func (n node) each(read func(name string, at node)) {
	if n.Kind != yaml.MappingNode {
		n.fail("expected a mapping, found %s", n.kind())
		return
	}
	known := map[string]func(node){}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		known[name] = func(at node) { read(name, at) }
	}
	n.fields(known)
}

// text reads a string that is not empty.
func (n node) text() string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		n.fail("expected a string (in quotes, if need be), found %s", n.kind())
		return ""
	}
	if strings.TrimSpace(n.Value) == "" {
		n.fail("is empty")
	}
	return n.Value
}

// list reads each element of a list.
func (n node) list(read func(node)) {
	if n.Kind != yaml.SequenceNode {
		n.fail("expected a list, found %s", n.kind())
		return
	}
	for i, c := range n.Content {
		read(node{c, fmt.Sprintf("%s[%d]", n.key, i), n.doc})
	}
}

// texts reads a mapping of words to values, each as a user writes it.
func (n node) texts() map[string]string {
	all := map[string]string{}
	n.each(func(name string, at node) {
		if at.Kind == yaml.ScalarNode {
			all[name] = at.Value
			return
		}
		b, err := marshal(at.value())
		if err != nil {
			at.fail("%v", err)
		}
		all[name] = string(b)
	})
	return all
}

// hex reads a digest.
func (n node) hex() []byte {
	b, err := hex.DecodeString(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		n.fail("expected a digest in hex, in quotes, found %s", n.kind())
	}
	return b
}

func (n node) boolean() bool {
	var b bool
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&b) != nil {
		n.fail("expected true or false, found %s", n.kind())
	}
	return b
}

func (n node) integer() int {
	var i int
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || n.Decode(&i) != nil {
		n.fail("expected a whole number, found %s", n.kind())
	}
	return i
}

// duration reads a time such as 15m or 900s.
func (n node) duration() time.Duration {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d <= 0 {
		n.fail("expected a duration such as 15m, found %s", n.kind())
	}
	return d
}

// size reads bytes, as a number or as text with a unit.
func (n node) size(r text.Reading) int64 {
	if n.Kind != yaml.ScalarNode {
		n.fail("expected a size, found %s", n.kind())
		return 0
	}
	b, err := text.ParseSize(n.Value, r)
	if err == nil && b == 0 {
		err = errors.New("expected a size above 0, found 0")
	}
	if err != nil {
		n.fail("%v", err)
	}
	return b
}

// expr reads a jq expression.
func (n node) expr() *expr {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		n.fail("expected a jq expression, in quotes if it starts with { or [, found %s", n.kind())
		return nil
	}
	code, err := compile(n.Value)
	if err != nil {
		at, near := place{n.Line, n.Column}, ""
		var parse *gojq.ParseError
		if errors.As(err, &parse) {
			before := n.Value[:min(max(parse.Offset, 0), len(n.Value))]
			switch {
			case n.Style&yaml.LiteralStyle != 0:
				at = place{n.Line + 1 + strings.Count(before, "\n"), 0}
			case n.Style&yaml.FoldedStyle != 0:
				at.column = 0
			}
			const shown = 30
			if r := []rune(before); len(r) > shown {
				before = "…" + string(r[len(r)-shown:])
			}
			near = fmt.Sprintf(", at the end of %q", strings.Join(strings.Fields(before), " "))
		}
		if m := hyphened().FindStringSubmatch(n.Value); m != nil && parse == nil {
			near = fmt.Sprintf(` (a name with a hyphen is written %s["%s"])`, cmp.Or(m[1], "."), m[2])
		}
		if errors.Is(err, errRenamed) {
			n.failAt(at, "%v", err)
		} else {
			n.failAt(at, "is not a jq expression: %v%s", err, near)
		}
		return nil
	}
	e := &expr{key: n.key, at: place{n.Line, n.Column}, text: n.Value, code: code}
	e.lint(n)
	return e
}

// numberExpr reads a jq expression that may be a number alone, without quotes.
func (n node) numberExpr() *expr {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		constant := *n.Node
		constant.Tag = "!!str"
		n.Node = &constant
	}
	return n.expr()
}

// mediaType reads a content type: a constant one, or an expression.
func (n node) mediaType() *expr {
	if n.Kind == yaml.ScalarNode && mediaText().MatchString(n.Value) {
		constant := *n.Node
		constant.Value = strconv.Quote(n.Value)
		n.Node = &constant
	}
	return n.expr()
}

// value reads any value of the JSON kind.
func (n node) value() any {
	var v any
	if err := n.Decode(&v); err != nil {
		n.fail("cannot be read: %v", err)
		return nil
	}
	v, err := plain(v)
	if err != nil {
		n.fail("%v", err)
	}
	return v
}

// plain reports anchors and aliases: what a manifest says is where it says it.
func (n node) plain() bool {
	switch {
	case n.Anchor != "":
		n.fail("has the anchor &%s; a manifest has no anchors and no aliases", n.Anchor)
		return false
	case n.Kind == yaml.AliasNode:
		n.fail("is the alias *%s; a manifest has no anchors and no aliases", n.Value)
		return false
	}
	ok := true
	for i, c := range n.Content {
		key := n.key
		switch {
		case n.Kind == yaml.SequenceNode:
			key = fmt.Sprintf("%s[%d]", n.key, i)
		case n.Kind == yaml.MappingNode && i%2 == 1:
			key = strings.TrimPrefix(n.key+"."+n.Content[i-1].Value, ".")
		}
		ok = node{c, key, n.doc}.plain() && ok
	}
	return ok
}
