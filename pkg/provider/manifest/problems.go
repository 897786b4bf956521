package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
)

// doc is where what is wrong with a document is told, and where its keys are.
type doc struct {
	problems []spec.Problem
	inferred []spec.Problem   // from several keys; not told if one of these could not be read
	unread   []string         // the keys whose values could not be read
	places   map[string]place // of the values of its keys
}

// place is where something is in a manifest, counted from 1.
type place struct{ line, column int }

// fail says that the value of a key cannot be read. The first reason counts.
func (n node) fail(format string, args ...any) {
	n.failAt(place{n.Line, n.Column}, format, args...)
}

func (n node) failAt(at place, format string, args ...any) {
	if !slices.Contains(n.doc.unread, n.key) {
		n.doc.unread = append(n.doc.unread, n.key)
		n.report(at, format, args...)
	}
}

// report says what is wrong with a key whose value can be read, or with a key
// that should not be there.
func (n node) report(at place, format string, args ...any) {
	n.doc.problems = append(n.doc.problems, n.problem(at, format, args...))
}

// infer says what is wrong with a key by what others say.
func (n node) infer(at place, format string, args ...any) {
	n.doc.inferred = append(n.doc.inferred, n.problem(at, format, args...))
}

func (n node) problem(at place, format string, args ...any) spec.Problem {
	return spec.Problem{Line: at.line, Column: at.column, Key: n.key, Text: fmt.Sprintf(format, args...)}
}

// isUnread reports whether something at or below one of these keys could not be
// read.
func (d *doc) isUnread(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		return slices.ContainsFunc(d.unread, func(bad string) bool { return within(bad, key) })
	})
}

// all are the problems, without those that only follow from others.
func (d *doc) all() []spec.Problem {
	return append(d.problems, slices.DeleteFunc(d.inferred, func(p spec.Problem) bool {
		return slices.ContainsFunc(d.unread, func(bad string) bool {
			above, of := parent(bad)
			beside, _ := parent(p.Key)
			return within(bad, p.Key) || within(p.Key, bad) || above != "" && above == beside && slices.Contains(others, of)
		})
	})...)
}

// others are the keys on which it depends what those beside them can be.
var others = []string{"url", "text", "type", "fields", "parts", "form", "max", "digests"}

// within reports whether a key is another one, or below it.
func within(key, above string) bool {
	rest, ok := strings.CutPrefix(key, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// parent is the key that a key is below, if it is below one, and what it is there.
func parent(key string) (above, name string) {
	at := strings.LastIndexByte(key, '.')
	name, _, _ = strings.Cut(key[at+1:], "[")
	return key[:max(at, 0)], name
}
