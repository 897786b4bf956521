package transport

import (
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/multiput/multiput/pkg/internal/text"
)

// shown are the query parameters whose values say something and presigned nothing.
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
var harmless = text.Pattern(`^(?:[A-Za-z0-9:;.,_+-]|%3[AaBb]){0,100}$`)

// Redact makes a URL fit to be shown: no user, no fragment, and of the query
// only what an allow-list knows to be harmless.
func Redact(raw string) string { return redact(raw, false) }

// RedactSigned is Redact for a presigned URL, whose authority may be in its path
// too: of that only names which are no token are shown.
func RedactSigned(raw string) string { return redact(raw, true) }

// plainName is a part of a presigned URL's path that is no token: a number, a
// letter, or one of the words that such paths have.
var plainName = text.Pattern(`^(?:[a-z]?|v?[0-9]{1,4}|(?:multi)?parts?|put|up|uploads?|chunks?|segments?|blocks?|files?|objects?|media|data|store|storage|buckets?|blobs?|api|s3|tmp|resumable|presigned)$`)

// looksPlain is a part of a path that a message may name.
var looksPlain = text.Pattern(`^[a-z]{1,12}(?:[._-][a-z]{1,12}){0,2}$`)

// withoutPath is a store's message without those parts of a presigned URL's path
// that may be a token.
func withoutPath(message, raw string) string {
	u, err := url.Parse(EscapeInvalid(raw))
	if err != nil {
		return message
	}
	const short = 6 // would be in another word by chance
	for _, path := range []string{u.EscapedPath(), u.Path} {
		for name := range strings.SplitSeq(path, "/") {
			if plainName().MatchString(name) {
				continue
			}
			message = strings.ReplaceAll(message, "/"+name, "/…")
			if len(name) >= short && !looksPlain().MatchString(name) {
				message = strings.ReplaceAll(message, name, "…")
			}
		}
	}
	return message
}

func redact(raw string, signed bool) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		// Whatever it is, what in it is secret cannot be told.
		return scheme().FindString(raw) + "…"
	}
	var query []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		if pair == "" {
			continue
		}
		k, v, has := strings.Cut(pair, "=")
		switch {
		case slices.Contains(shown, k) && harmless().MatchString(v), slices.Contains(named, k) && !has:
			query = append(query, pair)
		case slices.Contains(shown, k), slices.Contains(named, k):
			query = append(query, k+"=…")
		case len(query) == 0 || query[len(query)-1] != "…":
			query = append(query, "…") // the name may be the secret
		}
	}
	out := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	s := strings.ReplaceAll(out.String(), "%E2%80%A6", "…") // of a URL that was redacted before
	if signed {
		names := strings.Split(u.EscapedPath(), "/")
		for i, name := range names {
			if !plainName().MatchString(name) {
				names[i] = "…"
			}
		}
		s = (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() + strings.Join(names, "/")
	}
	if len(query) > 0 {
		s += "?" + strings.Join(query, "&")
	}
	return cut(tidy(s))
}

var (
	scheme    = text.Pattern(`^[A-Za-z][A-Za-z0-9+.-]{0,15}:`)
	urlInText = text.Pattern(`(?i)\b[a-z][a-z0-9+.-]*://[^\s"'<>]+`)
	// The end of an address that has lost its beginning, and a whole one within
	// another.
	queryInText = text.Pattern(`(?i)[^\s"'<>]*(?:\?|%(?:25)*3f)[^\s"'<>]*(?:=|%(?:25)*3d)[^\s"'<>]*`)
	escapedMark = text.Pattern(`(?i)%(?:25)*3f.*`)

	// Names and values as JSON and HTML write them, also within each other.
	slashed  = text.Pattern(`\\+(?:["'/]|u00[2-7][0-9A-Fa-f])`)
	entities = text.Pattern(`&(?:amp;)*(?:amp|quot|apos|lt|gt|#[0-9]{2,3}|#[xX][0-9A-Fa-f]{2});`)

	// An element of an error that echoes what was signed, or by whom.
	element = text.Pattern(`(?i)(<[a-z:]*(?:AccessKey|StringToSign|CanonicalRequest|Signature|Credential|Secret|Token|Password)[a-z]*(?:\s[^>]*)?>)[^<]{8,}`)
	// A header that is echoed: all that can be of its value.
	header = text.Pattern(`(?i)(\b(?:(?:proxy-)?authorization|(?:set-)?cookie)["']?\s*[:=\[][\s:=\["']*)([a-z-]{3,12}(?:\s|%20)+)?([^\s"'<>\]]{4,}(?:\s+[^\s"'<>\]]*[0-9=][^\s"'<>\]]*)*)`)
	bearer = text.Pattern(`(?i)\b(bearer|basic)((?:\s|%20)+)[a-z0-9+/=._~-]{8,}`)
	// The name of a secret, and what is given as its value.
	given = text.Pattern(`(?i)((?:signature|credential|secret|password|passwd|token|(?:api|account|private|encryption|customer|subscription|auth|session|signing)[_ -]?key|access[_-]?key[a-z]*|\bsig)s?)((?: provided)?["']?\s*[=:][\s\["']*)([^\s"'<>&,;\]]{8,})`)
	// The same in a sentence, where only looks can tell.
	mentioned = text.Pattern(`(?i)\b((?:key|token|secret|password|credentials?|signature|sharedkey|apikey|aws)["']?[\s:=("'\[]+)([a-z0-9+/=._~:-]{16,})`)
)

// oneWord is a text that names nothing whose value it could give, such as a media
// type.
var oneWord = text.Pattern(`^[A-Za-z0-9/._+-]*$`)

// maxText is the most characters of a server's message that are shown.
const maxText = 1000

// Clean makes a server's text fit for a terminal: on one line, no control
// characters, URLs redacted, of bounded length. What looks like a secret goes
// too, as far as looks can tell.
func Clean(s string) string {
	// First the invisible, which could part a secret from what gives it away,
	// and the escapes, which hide it.
	if s = tidy(s); oneWord().MatchString(s) {
		return cut(s)
	}
	if plain := unescape(s); plain != s {
		s = tidy(plain)
	}
	s = urlInText().ReplaceAllStringFunc(s, Redact)
	s = queryInText().ReplaceAllStringFunc(s, func(m string) string {
		if strings.Contains(m, "?") {
			return Redact(m)
		}
		return escapedMark().ReplaceAllString(m, "?…")
	})
	s = element().ReplaceAllString(s, "$1…")
	s = header().ReplaceAllString(s, "$1$2…")
	s = bearer().ReplaceAllString(s, "$1$2…")
	s = given().ReplaceAllStringFunc(s, func(m string) string {
		p := given().FindStringSubmatch(m)
		// "unexpected token: identifier" is no secret.
		if long := 20; len(p[3]) < long && !strings.ContainsAny(p[3], digits) {
			return m
		}
		return p[1] + p[2] + "…"
	})
	s = mentioned().ReplaceAllStringFunc(s, func(m string) string {
		p := mentioned().FindStringSubmatch(m)
		// Nor is a path, even if its name is "key".
		long := func(s string) bool { return len(s) >= 16 }
		if !strings.ContainsAny(p[2], digits) || !slices.ContainsFunc(strings.Split(p[2], "/"), long) {
			return m
		}
		return p[1] + "…"
	})
	return cut(s)
}

const digits = "0123456789"

// unescape undoes what JSON and HTML do to the characters of a URL.
func unescape(s string) string {
	s = slashed().ReplaceAllStringFunc(s, func(m string) string {
		m = strings.TrimLeft(m, `\`)
		if n, err := strconv.ParseUint(m[1:], 16, 8); err == nil {
			return string(rune(n))
		}
		return m
	})
	return entities().ReplaceAllStringFunc(s, func(m string) string {
		return html.UnescapeString("&" + m[strings.LastIndexAny(m[:len(m)-1], "&;")+1:])
	})
}

// tidy leaves one line of what can be seen, and of that only the beginning.
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
		if acts(r) || !unicode.IsGraphic(r) {
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
