package transport

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// shown are the query parameters whose values say something and grant nothing.
var shown = []string{
	"api-version", "partNumber", "part_number", "uploadType", "x-id",
	"X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Algorithm",
	"se", "st",
}

// Redact makes a URL fit to be shown: no user, no fragment, and of the query
// only what an allow-list knows to be harmless.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		if i := strings.IndexAny(raw, "?#"); i >= 0 {
			raw = raw[:i] + "?…"
		}
		return Clean(raw)
	}
	var query []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if pair == "" {
			continue
		}
		k, _, has := strings.Cut(pair, "=")
		if has && !slices.Contains(shown, k) {
			pair = k + "=…"
		}
		query = append(query, pair)
	}
	out := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, Opaque: u.Opaque}
	s := out.String()
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return clean(s)
}

var (
	urlInText = regexp.MustCompile(`https?://[^\s"'<>]+`)
	bearer    = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9+/=._~-]{8,}`)
)

// maxText is the most characters of a server's message that are shown.
const maxText = 1000

// Clean makes a server's text fit for a terminal: on one line, no control
// characters, URLs redacted, of bounded length.
func Clean(s string) string {
	s = urlInText.ReplaceAllStringFunc(s, Redact)
	s = bearer.ReplaceAllString(s, "$1 …")
	return clean(s)
}

func clean(s string) string {
	if len(s) > 8*maxText {
		s = s[:8*maxText]
	}
	s = strings.ToValidUTF8(s, "�")
	s = strings.Join(strings.FieldsFunc(s, unicode.IsSpace), " ")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) || !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return s
}
