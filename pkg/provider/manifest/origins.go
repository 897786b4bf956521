package manifest

import (
	"slices"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
)

// addresses notes where requests are seen to go, beside the API.
func (m *Manifest) addresses(d *spec.Definition) {
	for _, s := range []*steps{&m.steps, m.small} {
		if s == nil {
			continue
		}
		s.requests(func(step string, r *request) {
			given := !r.auth && r.url.isGiven()
			if step == "part" {
				d.FileTo = append(d.FileTo, m.elsewhere(r.url)...)
				d.Given = d.Given || given || !r.fixed()
				return
			}
			d.Elsewhere = append(d.Elsewhere, m.elsewhere(r.url)...)
			d.RequestsGiven = d.RequestsGiven || given
		})
	}
	for _, all := range []*[]string{&d.FileTo, &d.Elsewhere} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
}

// atBase is an expression that begins with the URL of the API.
var atBase = text.Pattern(`^[\s(]*("\\\()?\$base\b`)

// isGiven reports whether an expression may yield a URL that the API gave.
func (e *expr) isGiven() bool {
	if !e.mentions("$upload") || atBase().MatchString(e.text) {
		return false
	}
	q, err := gojq.Parse(e.text)
	return err != nil || len(beginnings(q)) == 0
}

// urlStart is the origin at the beginning of a URL, and what ends it there.
var urlStart = text.Pattern(`^(?i)(https?://[^\\/?#]*)([\\/?#]?)`)

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
		if strings.HasPrefix(s.text, "//") { // of the scheme of base
			s.text = m.scheme() + ":" + s.text
		}
		found := urlStart().FindStringSubmatch(s.text)
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

// scheme is that of base, as far as it is known.
func (m *Manifest) scheme() string {
	if m.base != nil {
		if scheme, _, ok := strings.Cut(m.base.String(), ":"); ok {
			return scheme
		}
	}
	return "https"
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
