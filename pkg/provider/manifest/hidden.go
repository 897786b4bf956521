package manifest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/transport"
)

// prepareHidden prepares hidden: the secret and the secret options, as they are and as
// URLs, JSON and Go's %q have them.
func (p *speaker) prepareHidden() {
	pairs := hide(p.secret)
	for _, o := range p.m.options {
		if s, ok := p.options[o.Name].(string); ok && o.Secret {
			pairs = append(pairs, hide(s)...)
		}
	}
	p.hidden = newHider(pairs)
}

// hider replaces texts. Of a text in which none of them occurs it makes no copy: it may
// be a large reply.
type hider struct {
	pairs []string
	all   *strings.Replacer
}

func newHider(pairs []string) *hider { return &hider{pairs, strings.NewReplacer(pairs...)} }

// Replace is s with … for each of them.
func (h *hider) Replace(s string) string {
	for i := 0; i < len(h.pairs); i += 2 {
		if strings.Contains(s, h.pairs[i]) {
			return h.all.Replace(s)
		}
	}
	return s
}

// hide are the forms of a secret, each with what stands there instead.
func hide(s string) (pairs []string) {
	json, err := marshal(s)
	if len(s) < leastSecret || err != nil {
		return nil
	}
	inside := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), inside(string(json)), inside(strconv.Quote(s))} {
		pairs = append(pairs, form, hiddenText)
	}
	return pairs
}

// hideAll are those of several, the longest first: one may begin like another.
func hideAll(all []string) (pairs []string) {
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	for _, s := range all {
		pairs = append(pairs, hide(s)...)
	}
	return pairs
}

// leastSecret is the least length of a secret that is hidden, in bytes. A
// shorter one ("test", at a server on this machine) is a word that occurs by
// chance, and hiding it would garble the answers it occurs in.
const leastSecret = 8

// hiddenText stands where a secret stood.
const hiddenText = "…"

// scrub is v without any secret in its texts.
func (p *speaker) scrub(v any) any { return scrub(v, p.hidden) }

// scrub replaces in all texts of v, which it changes.
func scrub(v any, hidden *hider) any {
	switch v := v.(type) {
	case string:
		return hidden.Replace(v)
	case []any:
		for i := range v {
			v[i] = scrub(v[i], hidden)
		}
	case map[string]any:
		for k := range v {
			e := scrub(v[k], hidden)
			if clean := hidden.Replace(k); clean != k {
				delete(v, k)
				k = clean
			}
			v[k] = e
		}
	}
	return v
}

// shown is a text for people about an exchange.
func (p *speaker) shown(s *scope, text string) string { return p.hiding(s)(transport.Clean(text)) }

// hiding hides, beside the secrets, what requests kept, which may be tokens; but
// for the upload's id, which people are told. Replies have it as it is, as
// expressions compare it.
func (p *speaker) hiding(s *scope) func(string) string {
	up, _ := s.upload.(map[string]any)
	id, _ := toText(up["id"])
	var all []string
	for _, v := range textsIn(up) {
		if v == id {
			continue
		}
		all = append(all, v)
		// Errors of jq have the first 25 bytes of a longer one.
		if begin := 16; len(v) > begin && !strings.Contains(v, "://") {
			all = append(all, v[:begin])
		}
	}
	kept := newHider(hideAll(all))
	return func(text string) string { return kept.Replace(p.hidden.Replace(text)) }
}

// textsIn are the strings in a value.
func textsIn(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			all = append(all, textsIn(e)...)
		}
	case map[string]any:
		for _, e := range v {
			all = append(all, textsIn(e)...)
		}
	}
	return all
}
