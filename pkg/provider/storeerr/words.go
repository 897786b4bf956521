package storeerr

import (
	"html"
	"regexp"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

var (
	tag   = text.Pattern(`(?s)<[^>]*>`)
	noise = text.Pattern(`(?is)<!--.*?-->|<script\b.*?</script>|<style\b.*?</style>`)
	// places are those of a page or of XML that say something, the best first.
	places = []func() *regexp.Regexp{
		text.Pattern(`(?is)<(?:\w+:)?(?:error_?)?(?:message|description|detail|faultstring|reason)\b[^>]*>(.*?)</`),
		text.Pattern(`(?is)<pre\b[^>]*>(.*?)</pre>`),
		text.Pattern(`(?is)<h1\b[^>]*>(.*?)</h1>`),
		text.Pattern(`(?is)<h2\b[^>]*>(.*?)</h2>`),
		text.Pattern(`(?is)<title\b[^>]*>(.*?)</title>`),
		text.Pattern(`(?is)<p\b[^>]*>(.*?)(?:</?p\b|</body|$)`),
	}
)

// Words is what a body says that is neither JSON nor the error of a store that Read
// knows: the words of a page or of XML, or text.
func Words(body string) string {
	const enough = 64 << 10
	page := noise().ReplaceAllString(body[:min(len(body), enough)], "")
	if !strings.HasPrefix(strings.TrimSpace(page), "<") {
		return page
	}
	words := func(markup string) string {
		return strings.Join(strings.Fields(html.UnescapeString(tag().ReplaceAllString(markup, " "))), " ")
	}
	for _, place := range places {
		if m := place().FindStringSubmatch(page); m != nil {
			if said := words(m[1]); said != "" && !strings.EqualFold(said, "error") {
				return said
			}
		}
	}
	return words(page)
}
