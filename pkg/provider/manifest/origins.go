package manifest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/transport"
)

// others are the origins other than base's that requests are seen to go to.
func (m *Manifest) others() (all []string) {
	for _, s := range []*steps{&m.steps, m.small} {
		if s != nil {
			s.requests(func(_ string, r *request) { all = append(all, m.elsewhere(r.url)...) })
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// urlStart is the origin at the beginning of a URL, and what ends it there.
var urlStart = regexp.MustCompile(`^(?i)(https?://[^\\/?#]*)([\\/?#]?)`)

// elsewhere are the origins other than that of base to which an expression is
// seen to lead. One of which only the beginning is seen has … at its end.
func (m *Manifest) elsewhere(e *expr) (all []string) {
	if e == nil {
		return nil
	}
	q, err := gojq.Parse(e.text)
	if err != nil {
		return nil
	}
	for _, s := range beginnings(q) {
		found := urlStart.FindStringSubmatch(s.text)
		if found == nil {
			continue
		}
		to, whole := strings.ToLower(found[1]), s.whole || found[2] != ""
		own := ""
		if m.base != nil && len(m.base.fields) == 0 { // one with options, or that users give, is not a constant's
			own, _ = transport.Origin(m.base.String())
		}
		if whole {
			if origin, err := transport.Origin(to); err != nil || origin != own {
				all = append(all, to)
			}
		} else if !strings.HasPrefix(own, to) {
			all = append(all, to+"…")
		}
	}
	return all
}

// beginning is a constant with which the text that an expression yields begins.
type beginning struct {
	text  string
	whole bool // whether nothing follows
}

// beginnings are those that can be told of an expression, on any of its ways.
func beginnings(q *gojq.Query) (all []beginning) {
	if q == nil {
		return nil
	}
	followed := func(left []beginning) []beginning {
		for i := range left {
			left[i].whole = false
		}
		return left
	}
	t := q.Term
	switch {
	case t == nil && (q.Op == gojq.OpAlt || q.Op == gojq.OpComma):
		return append(beginnings(q.Left), beginnings(q.Right)...)
	case t == nil && q.Op == gojq.OpAdd:
		return followed(beginnings(q.Left))
	case t == nil && q.Op == gojq.OpPipe:
		return beginnings(q.Right)
	case t == nil || len(t.SuffixList) > 0:
		return nil
	case t.Type == gojq.TermTypeQuery:
		return beginnings(t.Query)
	case t.Type == gojq.TermTypeIf:
		all = append(beginnings(t.If.Then), beginnings(t.If.Else)...)
		for _, more := range t.If.Elif {
			all = append(all, beginnings(more.Then)...)
		}
		return all
	case t.Str == nil:
		return nil
	case len(t.Str.Queries) > 0:
		return followed(beginnings(t.Str.Queries[0]))
	}
	return []beginning{{t.Str.Str, true}}
}
