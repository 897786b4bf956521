package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// keptBefore are the fields that $upload has when a request is made; all is
// false where some of them cannot be told from the manifest.
func (m *Manifest) keptBefore(step string, r *request, s *steps) (names map[string]bool, all bool) {
	names, all = map[string]bool{}, true
	done := false
	s.requests(func(of string, before *request) {
		done = done || before == r && step != "part" // what part keeps is not used
		if step == "create" && of != "create" {
			return
		}
		if before.keep == nil && (m.has(before.key+".keep") || m.has(before.key+".upload") || m.has(before.key) && !m.has(before.key+".send")) {
			all = false // a problem with it is reported already
		}
		if done || before.keep == nil {
			return
		}
		found, known := keysOf(before.keep)
		maps.Copy(names, found)
		all = all && known
	})
	return names, all
}

// keysOf are the keys of the object that an expression yields; known is false
// where there may be others.
func keysOf(e *expr) (names map[string]bool, known bool) {
	q, err := gojq.Parse(e.text)
	if err != nil {
		return nil, false
	}
	names = map[string]bool{}
	return names, collect(q, names)
}

func collect(q *gojq.Query, names map[string]bool) bool {
	if q == nil {
		return true
	}
	if q.Term == nil {
		switch q.Op {
		case gojq.OpPipe:
			return collect(q.Right, names)
		case gojq.OpAdd, gojq.OpMul, gojq.OpAlt, gojq.OpComma:
			left, right := collect(q.Left, names), collect(q.Right, names)
			return left && right
		}
		return false
	}
	t := q.Term
	switch {
	case len(t.SuffixList) > 0:
		return false
	case t.Type == gojq.TermTypeObject:
		known := true
		for _, kv := range t.Object.KeyVals {
			switch {
			case kv.Key != "":
				names[strings.TrimPrefix(kv.Key, "$")] = true
			case kv.KeyString != nil && kv.KeyString.Queries == nil:
				names[kv.KeyString.Str] = true
			default:
				known = false
			}
		}
		return known
	case t.Type == gojq.TermTypeQuery:
		return collect(t.Query, names)
	case t.Type == gojq.TermTypeIf:
		ok := collect(t.If.Then, names) && t.If.Else != nil
		ok = collect(t.If.Else, names) && ok
		for _, more := range t.If.Elif {
			ok = collect(more.Then, names) && ok
		}
		return ok
	case t.Type == gojq.TermTypeFunc && t.Func.Name == "error":
		return true
	case t.Type == gojq.TermTypeFunc && t.Func.Name == "capture" && len(t.Func.Args) > 0:
		arg := t.Func.Args[0]
		if arg.Term == nil || arg.Term.Str == nil || arg.Term.Str.Queries != nil {
			return false
		}
		for _, g := range group().FindAllStringSubmatch(arg.Term.Str.Str, -1) {
			names[g[1]] = true
		}
		return true
	}
	return false
}

// group is a named group of a regular expression.
var group = text.Pattern(`\(\?P?<(\w+)>`)

// What can be wrong with the names in the expressions of a step.
var (
	optionOf = text.Pattern(`\$options` + access + `([A-Za-z_]\w*)`)
	digestOf = text.Pattern(`\$digests` + access + `([A-Za-z_]\w*)`)
	partOf   = text.Pattern(`\$part\b(?:` + access + `([A-Za-z_]\w*))?`)
	partsOf  = text.Pattern(`\$parts\s*\[\s*\d*\s*\]` + access + `([A-Za-z_]\w*)`)
	partsVar = text.Pattern(`\$parts\b`)
)

// agreeNames reports names in the expressions of a request that do not exist,
// or are null there.
func (m *Manifest) agreeNames(step string, r *request, s *steps, n node) {
	fail := func(e *expr, format string, args ...any) { node{n.Node, e.key, n.doc}.infer(e.at, format, args...) }
	sums := s.askedOfParts()
	for _, e := range s.exprsOf(step, r) {
		if step == "create" && e != s.create.urls && partsVar().MatchString(e.text) && (s.create.parts != nil || s.create.partSize != nil) {
			fail(e, "$parts is null here: the reply says what the parts are")
		}
		for _, found := range partsOf().FindAllStringSubmatch(e.text, -1) {
			switch name := found[1]; {
			case !slices.Contains(digestFields, name):
			case !slices.Contains(sums, strings.TrimSuffix(name, "_base64")):
				fail(e, "$parts[].%s is null here: neither presign.digests nor part.digests asks for it", name)
			case !slices.Contains([]string{"create", "presign", "checkpoint", "complete"}, step):
				fail(e, "$parts[].%s is null here: it is known in create, presign, checkpoint and complete", name)
			}
		}
		for _, found := range optionOf().FindAllStringSubmatch(e.text, -1) {
			if _, ok := m.options.Find(found[1]); !ok && !n.doc.isUnread("options") {
				fail(e, "there is no option %s%s", found[1], text.DidYouMean(found[1], m.options.Names()))
			}
		}
		for _, found := range digestOf().FindAllStringSubmatch(e.text, -1) {
			if !slices.Contains(digestFields, found[1]) {
				fail(e, "$digests has no %s%s (it has %s)", found[1], text.DidYouMean(found[1], digestFields), strings.Join(digestFields, ", "))
			}
		}
		for _, found := range partOf().FindAllStringSubmatch(e.text, -1) {
			switch name := found[1]; {
			case step != "part" && step != "confirm" && (step != "presign" || s.presign.max != 1):
				fail(e, "$part is null here: it is known in part, in confirm, and in presign with max: 1")
			case name == "receipt" && step != "confirm":
				fail(e, "$part.receipt is null here: it is known in confirm")
			case slices.Contains(digestFields, name) && !slices.Contains(sums, strings.TrimSuffix(name, "_base64")):
				fail(e, "$part.%s is null here: no digests ask for it", name)
			}
		}
	}
}

// exprsOf are all expressions of a request: those that it is made of, and those
// that read its reply.
func (s *steps) exprsOf(step string, r *request) []*expr {
	all := append(r.exprs(), r.keep, r.ok, r.already, r.pending)
	switch step {
	case "create":
		c := s.create
		all = append(all, c.size, c.digest, c.partSize, c.parts, c.urls, c.expires, c.resumed)
	case "presign":
		all = append(all, s.presign.urls)
	case "part":
		all = append(all, s.part.receipt, s.part.result)
	case "confirm":
		all = append(all, cmp.Or(s.part.confirm.receipt, s.part.receipt))
	case "complete":
		all = append(all, s.complete.result)
	case "probe":
		all = append(all, s.probe.done, s.probe.result)
	case "ready":
		all = append(all, s.ready.done, s.ready.failed, s.ready.result)
	}
	return slices.DeleteFunc(all, func(e *expr) bool { return e == nil })
}

// beforeComplete are the steps that do not know the digest that complete takes.
var beforeComplete = []string{"create", "presign", "part", "confirm", "checkpoint"}

// find notes what is doubtful and no error.
func (m *Manifest) find() {
	warn := func(e *expr, format string, args ...any) {
		m.found = append(m.found, spec.Finding{Kind: "warning", Problem: spec.Problem{
			Line: e.at.line, Column: e.at.column, Key: e.key, Text: fmt.Sprintf(format, args...),
		}})
	}
	seen := map[*request]bool{}
	digests := func(s *steps) {
		s.requests(func(step string, r *request) {
			asks := "create.digests does not ask for it"
			if !slices.Contains(beforeComplete, step) {
				if s.create != nil && s.create.digest != nil {
					return // the API says which it takes
				}
				asks = "neither create.digest nor create.digests asks for it"
			}
			if seen[r] {
				return
			}
			seen[r] = true
			for _, e := range s.exprsOf(step, r) {
				for _, found := range digestOf().FindAllStringSubmatch(e.text, -1) {
					if !slices.Contains(s.askedOfFile(), strings.TrimSuffix(found[1], "_base64")) {
						warn(e, "$digests.%s is null here: %s", found[1], asks)
					}
				}
			}
		})
	}
	doubtful := func(s *steps) {
		if s.complete == nil || s.complete.result == nil {
			return
		}
		last := s.complete.requests[len(s.complete.requests)-1]
		if e := s.complete.result; last.ok == nil && !e.readsReply() {
			warn(e, "does not read the reply, and there is no ok: any 2xx counts as success")
		}
	}
	for _, s := range m.ways() {
		digests(s)
	}
	doubtful(&m.steps)
	if m.small != nil && m.small.complete != m.complete {
		doubtful(m.small)
	}
}

var (
	plainString = text.Pattern(`"[^"\\]*"`)
	variable    = text.Pattern(`\$\w+(?:\s*\.\s*"?\w+"?)*`)
)

// readsReply reports whether an expression reads the reply: its body, its
// headers or its status.
func (e *expr) readsReply() bool {
	q, err := gojq.Parse(e.text)
	return err != nil || readsInput(q)
}

func readsInput(q *gojq.Query) bool {
	switch t := q.Term; {
	case q.Op == gojq.OpPipe && q.Patterns == nil: // what follows reads what comes out of the left side
		return readsInput(q.Left)
	case t != nil && t.Type == gojq.TermTypeQuery && len(t.SuffixList) == 0:
		return readsInput(t.Query)
	case t != nil && t.Type == gojq.TermTypeFunc && !strings.HasPrefix(t.Func.Name, "$"):
		return t.Func.Name != "now" && t.Func.Name != "error" // others read their input: tostring, capture(…)
	}
	text := q.String()
	if strings.Contains(text, "$header") || strings.Contains(text, "$status") {
		return true
	}
	return strings.Contains(variable().ReplaceAllString(plainString().ReplaceAllString(text, ""), ""), ".")
}
