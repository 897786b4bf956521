package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

// hostileText sets a title, clears the screen in two ways, makes a link, turns
// the direction of writing, and rings.
const hostileText = "x\x1b]0;owned\x07\x1b[2J\u009b2J\x1b]8;;https://evil.example\x1b\\y\u202egnp\r\x7f\u2066z"

// acting are the characters in hostileText that a terminal does not just draw.
const acting = "\x1b\x07\u009b\u202e\r\x7f\u2066"

// What a server says, and what a file is called, is drawn and nothing else.
func TestNothingActsOnTheTerminal(t *testing.T) {
	t.Parallel()
	name := "x\x1b]0;owned\x07\x1b[2J\u009b2J\u202egnp.bin"
	if runtime.GOOS == "windows" {
		name = "x\u009b2J\u202egnp.bin" // it allows no others
	}
	quoted, err := json.Marshal(hostileText)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		api   string
		fault string
		args  []string
		code  int
	}{
		"all goes well":           {api: "archetype", args: []string{"-vv", "--progress", "plain"}},
		"a bar":                   {api: "upscayl", args: []string{"-v", "--progress", "bar"}},
		"events":                  {api: "archetype", args: []string{"-vv", "--progress", "json"}},
		"objects":                 {api: "archetype", args: []string{"-v", "--json"}},
		"selected":                {api: "archetype", args: []string{"--jq", "[.file, .reply]"}},
		"retried":                 {api: "archetype", fault: "put@part=1:status=503,message=" + hostileText, args: []string{"-v"}},
		"a message":               {api: "archetype", fault: "create:status=400,message=" + hostileText, code: exitFailed},
		"a file that is missing":  {api: "archetype", args: []string{"no-" + name}, code: exitNoInput},
		"a journal that is none":  {api: "archetype", args: []string{"--journal", "/dev/null/" + name}, code: exitJournal},
		"a message as JSON":       {api: "archetype", fault: "create:status=400,message=" + hostileText, args: []string{"--json"}, code: exitFailed},
		"a code":                  {api: "openai", fault: "complete:status=400,code=" + hostileText, code: exitFailed},
		"the store's message":     {api: "upscayl", fault: "put@part=2:status=400,message=x\u009b2Jy\u202ez", code: exitFailed},
		"an id":                   {api: "openai", fault: `create:patch={"id":` + string(quoted) + `}`, args: []string{"-v"}, code: exitFailed},
		"a state":                 {api: "archetype", fault: `complete:patch={"file_status":` + string(quoted) + `}`, code: exitDoubt},
		"a result as JSON":        {api: "archetype", fault: `complete:patch={"file_uid":` + string(quoted) + `}`, args: []string{"--json"}},
		"a result of lines":       {api: "archetype", fault: `complete:patch={"file_uid":"x\n\u001b[2J"}`, code: exitDoubt},
		"a reply as JSON":         {api: "archetype", fault: `complete:patch={"more":` + string(quoted) + `}`, args: []string{"--json"}},
		"a reply, selected":       {api: "archetype", fault: `complete:patch={"more":` + string(quoted) + `}`, args: []string{"--jq", "{more: .reply.more}"}},
		"an expression that errs": {api: "archetype", fault: `complete:patch={"more":` + string(quoted) + `}`, args: []string{"--jq", ".reply.more | error"}, code: exitOutput},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.api, 64<<10)
			file := filepath.Join(r.dir, name)
			if err := os.Rename(r.file(t, 150_000), file); err != nil {
				t.Skipf("this file system takes no such names: %v", err)
			}
			if c.fault != "" {
				if err := r.server.Faults.Add(c.fault); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"upload", file, "-p", c.api}, c.args...)
			if c.api == "openai" {
				args = append(args, "--set", "purpose=batch")
			}
			out, messages, code := r.said(t, args...)
			if code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, messages)
			}
			if len(r.server.Faults.Unfired()) > 0 {
				t.Errorf("these faults did not happen: %v", r.server.Faults.Unfired())
			}
			if what == "a bar" {
				// A bar goes back to the beginning of its line, and clears it.
				messages = strings.NewReplacer("\r", "", "\x1b[2K", "", "\x1b[0m", "").Replace(messages)
			}
			for where, s := range map[string]string{"stdout": out, "stderr": messages} {
				if strings.ContainsAny(s, acting) || !utf8.ValidString(s) {
					t.Errorf("%s: %q", where, s)
				}
			}
			if what == "all goes well" && !strings.Contains(messages, "gnp.bin: ") {
				t.Errorf("the name of the file is not shown at all: %q", messages)
			}
		})
	}
}
