package transport_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/transport"
)

// hostile are texts that do something to a terminal that shows them.
var hostile = map[string]string{
	"a colour":            "a\x1b[31mred\x1b[0m",
	"a title":             "a\x1b]0;owned\x07",
	"a link":              "a\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
	"a clipboard":         "a\x1b]52;c;ZXZpbA==\x07",
	"C1 CSI":              "a\u009b2J",
	"C1 OSC":              "a\u009d0;owned\u009c",
	"a raw C1 byte":       "a\x9b2J",
	"a bell":              "a\x07",
	"an overwritten line": "real\rfake",
	"backspaces":          "real\b\b\b\bfake",
	"another direction":   "a\u202egnp.exe\u202c \u2066x\u2069",
	"marks of direction":  "a\u200e\u200f\u061c",
	"what has no width":   "a\u200b\u2060\ufeff",
	"separators":          "a\u2028b\u2029c",
	"tags":                "a\U000e0041\U000e007f",
	"DEL and NUL":         "a\x7f\x00b",
}

// act are the characters that a terminal does not just draw, invalid bytes
// included.
func act(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r <= 0x9f || r == 0xad || r == 0x61c || r == 0x200b || r == 0x200e || r == 0x200f ||
			r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x2069 || r == 0xfeff || r >= 0xe0000 && r <= 0xe007f
	})
}

func TestNothingActsOnATerminal(t *testing.T) {
	for what, s := range hostile {
		for name, show := range map[string]func(string) string{
			"Visible": transport.Visible, "VisibleLines": transport.VisibleLines, "Clean": transport.Clean,
			"Redact": func(s string) string { return transport.Redact("https://h/" + s + "?" + s + "=" + s) },
		} {
			if got := show(s); act(got) || !strings.Contains(got, s[:1]) && name != "Redact" {
				t.Errorf("%s of %s gives %q", name, what, got)
			}
		}
	}
}

// What does no harm stays as it is, and what is left out can be seen to be.
func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "e\u0301 日本語 שלום 👩": "e\u0301 日本語 שלום 👩",
		" two  blanks ": " two  blanks ",
		"👩\u200d💻 می\u200cخواهم.mov":           "👩\u200d💻 می\u200cخواهم.mov",
		"9.41.07\u202fAM\u00a0x\u3000y\u2003z": "9.41.07\u202fAM\u00a0x\u3000y\u2003z",
		"private \ue0b0":                       "private \ue0b0",
		"two lines\n\tand\r more":              `two lines\n\tand\r more`,
		"\x1b[31m\a\x00\x7f":                   `\x1b[31m\x07\x00\x7f`,
		"\u009b2J \u202egnp \u200b \U000e0041": `\u009b2J \u202egnp \u200b \U000e0041`,
		"\xff\xfe \ufffd":                      "\\xff\\xfe \ufffd",
		`a\nb`:                                 `a\nb`,
	} {
		if got := transport.Visible(s); got != want {
			t.Errorf("%q gives %q, want %q", s, got, want)
		}
	}
	if got := transport.VisibleLines("a\n\tb\r\x1b c  d"); got != "a\n\tb\\r\\x1b c  d" {
		t.Errorf("VisibleLines gives %q", got)
	}
	if got := transport.Line("a\r\nb\tc  d\x1b"); got != "a b c  d\\x1b" {
		t.Errorf("Line gives %q", got)
	}
}

// JSON says the same, and shows nothing that acts.
func TestVisibleJSON(t *testing.T) {
	for what, s := range hostile {
		in := map[string]any{s: []any{s, 1.0, map[string]any{"x": s + `\"`}}}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		got := transport.VisibleJSON(b)
		var was, is any
		if err := json.Unmarshal(b, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got, &is); err != nil || !reflect.DeepEqual(was, is) || act(string(got)) {
			t.Errorf("%s: %v, %q", what, err, got)
		}
	}
	// A reply that is passed on as it came may be no UTF-8.
	if got := string(transport.VisibleJSON([]byte("{\"a\":\"\x9b2J\",\n\"b\":1}"))); got != "{\"a\":\"\ufffd2J\",\n\"b\":1}" {
		t.Errorf("%q", got)
	}
	plain := []byte(`{"a":"日本"}`)
	if got := transport.VisibleJSON(plain); &got[0] != &plain[0] {
		t.Error("what is fit already is copied")
	}
}
