package transport

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible is a text of whatever origin on one line: what a terminal would act on
// (moves of the cursor, titles, the direction of writing, line breaks) and what
// is no UTF-8 is written as an escape, such as \x1b or \u202e. All else, white
// space too, stays as it is. Unlike [Clean] it looks for no secret, and cuts
// nothing.
func Visible(s string) string { return escape(s, "") }

// VisibleLines is Visible but for line breaks and tabs, which stay.
func VisibleLines(s string) string { return escape(s, "\n\t") }

// Line is Visible for a text of our own: line breaks and tabs in it, where there
// are any, become blanks.
func Line(s string) string {
	return Visible(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}

// escape writes what acts on a terminal as escapes, except for some characters.
func escape(s, except string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, acts) {
		return s
	}
	var out strings.Builder
	for i, n := 0, 0; i < len(s); i += n {
		var r rune
		r, n = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&out, `\x%02x`, s[i])
		case !acts(r) || strings.ContainsRune(except, r):
			out.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			out.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r < utf8.RuneSelf:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r > 0xffff:
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
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
// draw it. The joiners, which are format characters too, are part of how emoji
// and Persian are written.
func acts(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
}
