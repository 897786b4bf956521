package manifest

import (
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
)

// addresses notes where requests are seen to go, beside the API.
func (m *Manifest) addresses(d *spec.Definition) {
	for _, s := range m.ways() {
		s.requests(func(step string, r *request) {
			keyed := r.auth && m.auth != nil // which leads to the API alone
			d.PartsNeedKey = d.PartsNeedKey || keyed && (step == "part" || step == "confirm")
			switch {
			case step != "part" && (keyed || r.path != nil):
			case step != "part":
				to, given, _ := m.destinations(r.url)
				d.Elsewhere, d.RequestsGiven = append(d.Elsewhere, to...), d.RequestsGiven || given
			case keyed || r.path != nil:
				d.FileOwn = true
			default:
				for _, e := range s.partURLs(r) {
					to, given, own := m.destinations(e)
					d.FileTo, d.Given, d.FileOwn = append(d.FileTo, to...), d.Given || given, d.FileOwn || own
				}
			}
		})
	}
	for _, all := range []*[]string{&d.FileTo, &d.Elsewhere} {
		slices.Sort(*all)
		*all = slices.Compact(*all)
	}
}

// partURLs are the expressions that yield where parts go.
func (s *steps) partURLs(r *request) []*expr {
	var all []*expr
	switch {
	case r.url != nil:
		return []*expr{r.url}
	case s.create != nil && s.create.urls != nil:
		all = append(all, s.create.urls)
	}
	if s.presign != nil {
		all = append(all, s.presign.urls)
	}
	return all
}

// destinations are where the URLs that an expression yields may lead: to these
// places, to URLs that the API gives, and to the API itself.
func (m *Manifest) destinations(e *expr) (to []string, given, own bool) {
	for _, b := range m.beginnings(e) {
		switch {
		case b.by == byReply:
			given = true
		case b.by == byBase:
			own = true
		case b.by == byManifest:
			words := "URLs that the manifest computes"
			if e.readsReply() || e.mentions("$upload") {
				words = "URLs that the manifest makes of the API's replies"
			}
			to = append(to, words)
			for _, found := range urlInQuotes().FindAllStringSubmatch(e.text, -1) {
				to = append(to, m.other(beginning{text: found[1]})...)
			}
		case b.by != "":
			to = append(to, "the URL in the option "+b.by)
		default:
			others := m.other(b)
			to, own = append(to, others...), own || len(others) == 0
		}
	}
	return to, given, own
}

// urlInQuotes is a URL in an expression.
var urlInQuotes = text.Pattern(`"((?i:https?:)?//[^"\\\s]+)`)

// urlStart is the origin at the beginning of a URL, and what ends it there.
var urlStart = text.Pattern(`^(?i)(https?://[^\\/?#]*)([\\/?#]?)`)

// elsewhere are the origins other than that of base to which an expression is
// seen to lead.
func (m *Manifest) elsewhere(e *expr) (all []string) {
	for _, b := range m.beginnings(e) {
		if b.by == "" {
			all = append(all, m.other(b)...)
		}
	}
	return all
}

// other is the origin of a URL that begins so, if it is not that of base. One of
// which only the beginning is seen has … at its end.
func (m *Manifest) other(b beginning) []string {
	if strings.HasPrefix(b.text, "//") { // of the scheme of base
		b.text = m.scheme() + ":" + b.text
	}
	found := urlStart().FindStringSubmatch(b.text)
	if found == nil {
		return nil
	}
	to, whole := strings.ToLower(found[1]), b.whole || found[2] != ""
	own := ""
	if m.base != nil && len(m.base.fields) == 0 { // one with options, or that users give, is not a constant's
		own, _ = transport.Origin(m.base.String())
	}
	switch origin, err := transport.Origin(to); {
	case whole && err == nil && origin == own, !whole && strings.HasPrefix(own, to):
		return nil
	case !whole:
		to += "…"
	}
	return []string{to}
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
