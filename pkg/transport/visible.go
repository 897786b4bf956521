package transport

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible is a text of whatever origin as one line of what can be seen: what
// moves a cursor, rings, sets a title or turns the direction of writing is left
// out. Unlike [Clean] it looks for no secret, and cuts nothing.
func Visible(s string) string {
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

// VisibleLines is s with what acts on a terminal left out, but for line breaks
// and tabs.
func VisibleLines(s string) string {
	return strings.Map(func(r rune) rune {
		if acts(r) && r != '\n' && r != '\t' || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}

// VisibleJSON is the same JSON with what acts on a terminal escaped: encoders
// leave the controls beyond ASCII as they are.
func VisibleJSON(b []byte) []byte {
	s := string(b)
	if utf8.ValidString(s) && !strings.ContainsFunc(s, acts) {
		return b
	}
	var out strings.Builder
	for _, r := range s {
		switch {
		case !acts(r) || r < ' ': // of those there are only breaks between tokens
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return []byte(out.String())
}

// acts reports whether a terminal does something else about a character than
// draw it.
func acts(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
