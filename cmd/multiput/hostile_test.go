package main

import (
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/upload"
)

// hostileText sets a title, clears the screen in two ways, makes a link, turns
// the direction of writing, and rings.
const hostileText = "x\x1b]0;owned\x07\x1b[2J\u009b2J\x1b]8;;https://evil.example\x1b\\y\u202egnp\r\x7f\u2066z"

// acting are the characters in hostileText that a terminal does not just draw.
const acting = "\x1b\x07\u009b\u202e\r\x7f\u2066"

// A result is exact for a script, and fit to be seen on a terminal.
func TestResultOnATerminal(t *testing.T) {
	var b strings.Builder
	o, err := (&app{stdout: &b, shown: true}).output(config.Config{JQ: ".result"})
	if err != nil {
		t.Fatal(err)
	}
	for _, terminal := range []bool{true, false} {
		b.Reset()
		o.terminal = terminal
		if err := o.print(t.Context(), "f", reportOf(hostileText+"\nsecond\tline")); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); strings.ContainsAny(got, acting) == terminal || !strings.HasSuffix(got, "z\nsecond\tline\n") {
			t.Errorf("terminal %t: %q", terminal, got)
		}
	}
	o.jq, o.terminal = nil, true
	b.Reset()
	if err := o.print(t.Context(), "f", reportOf("uploads/\u202egnp.exe")); err != nil || b.String() != "uploads/\\u202egnp.exe\n" {
		t.Errorf("%q %v", b.String(), err)
	}
}

func reportOf(result string) upload.Report {
	return upload.Report{Result: upload.Result{Value: result}}
}
