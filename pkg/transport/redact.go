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

// named are the query parameters of which it helps to see that they are there.
var named = []string{
	"AWSAccessKeyId", "Expires", "GoogleAccessId", "Policy", "Signature", "Key-Pair-Id",
	"X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-Checksum-Algorithm",
	"X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-Signature", "X-Goog-SignedHeaders",
	"uploadId", "upload_id", "uploads", "versionId",
	"blockid", "comp", "sig", "sip", "sks", "skt", "ske", "skv", "skoid", "sktid", "sp", "spr", "sr", "ss", "srt", "sv",
	"key", "token", "access_token", "api_key", "apikey", "user", "password",
}

// harmless is what a shown value looks like; anything else may have something
// else in it, such as an escaped & with more parameters behind it.
var harmless = regexp.MustCompile(`^(?:[A-Za-z0-9:;.,_+-]|%3[AaBb]){0,100}$`)

// Redact makes a URL fit to be shown: no user, no fragment, and of the query
// only what an allow-list knows to be harmless.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		// Whatever it is, what in it is secret cannot be told.
		return scheme.FindString(raw) + "…"
	}
	var query []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if pair == "" {
			continue
		}
		k, v, has := strings.Cut(pair, "=")
		switch {
		case slices.Contains(shown, k) && harmless.MatchString(v), slices.Contains(named, k) && !has:
			query = append(query, pair)
		case slices.Contains(shown, k), slices.Contains(named, k):
			query = append(query, k+"=…")
		case len(query) == 0 || query[len(query)-1] != "…":
			query = append(query, "…") // the name may be the secret
		}
	}
	out := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	s := out.String()
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return cut(tidy(s))
}

var (
	scheme    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{0,15}:`)
	urlInText = regexp.MustCompile(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>]+`)
	bearer    = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[a-z0-9+/=._~-]{8,}`)
	// The name of a secret, and what is given as its value.
	given = regexp.MustCompile(`(?i)((?:signature|credential|secret|password|passwd|token|api[_ -]?key|access[_-]?key[a-z]*|\bsig))((?: provided)?["']?\s*[=:]\s*["']?)([^\s"'<>&,;]{8,})`)
)

// maxText is the most characters of a server's message that are shown.
const maxText = 1000

// Clean makes a server's text fit for a terminal: on one line, no control
// characters, URLs redacted, of bounded length. What looks like a secret goes
// too, as far as looks can tell.
func Clean(s string) string {
	// First the invisible, which could part a secret from what gives it away.
	s = tidy(s)
	s = urlInText.ReplaceAllStringFunc(s, Redact)
	s = bearer.ReplaceAllString(s, "$1 …")
	s = given.ReplaceAllStringFunc(s, func(m string) string {
		p := given.FindStringSubmatch(m)
		// "unexpected token: identifier" is no secret.
		if long := 20; len(p[3]) < long && !strings.ContainsAny(p[3], "0123456789") {
			return m
		}
		return p[1] + p[2] + "…"
	})
	return cut(s)
}

// tidy leaves one line of what can be seen.
func tidy(s string) string {
	const most = 4 * maxText
	if len(s) > most {
		s = s[:most]
	}
	s = strings.ToValidUTF8(s, "�")
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf) || !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

func cut(s string) string {
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return s
}
