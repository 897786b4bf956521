package main

import (
	"bytes"
	"strings"
	"testing"
)

// What is wrong with the arguments of a command is said with the words of its
// usage line.
func TestOtherArguments(t *testing.T) {
	for line, want := range map[string]string{
		"put a.plan":          "put needs PLAN FILE, but 1 was given",
		"complete":            "complete needs PLAN RECEIPTS...",
		"login":               "login needs PROVIDER",
		"provider new a b":    "new takes at most one NAME, but 2 were given",
		"show a b":            "show needs ID, but 2 were given",
		"list x":              "list takes no arguments, but 1 was given",
		"completion fish y":   "fish takes no arguments, but 1 was given",
		"upload":              "name a file to upload",
		"sandbox x":           "a command to run comes after --",
		"list --verbose=much": `--verbose: "much" is not 0, 1 or 2`,
	} {
		var out, said bytes.Buffer
		a := newApp()
		a.stdout, a.stderr = &out, &said
		code := a.run(t.Context(), strings.Fields(line))
		if code != exitUsage || out.Len() > 0 || !strings.HasPrefix(said.String(), "multiput: "+want+"\nhint: see multiput ") {
			t.Errorf("%s: exit code %d: %s", line, code, said.String())
		}
	}
}
