package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaURL = "https://raw.githubusercontent.com/multiput/multiput/main/docs/schema/"

// schemas are those of docs/schema. Here they are stricter than what they
// promise: a key that they do not name is not accepted.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	names := []string{"result.json", "error.json", "events.json", "plan.json", "receipt.json"}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if at := doc.(map[string]any)["$id"]; at != schemaURL+name {
			t.Errorf("%s has the $id %v: a $ref to it would not be found", name, at)
		}
		closed(doc)
		if err := c.AddResource(schemaURL+name, doc); err != nil {
			t.Fatal(err)
		}
	}
	compiled := make(map[string]*jsonschema.Schema)
	for _, name := range names {
		s, err := c.Compile(schemaURL + name)
		if err != nil {
			t.Fatal(err)
		}
		compiled[name] = s
	}
	return compiled
}

// closed lets every object of a schema have the keys that it names and no other.
func closed(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, below := range v {
			closed(below)
		}
		if _, object := v["properties"].(map[string]any); object && v["type"] == "object" {
			v["additionalProperties"] = false
		}
	case []any:
		for _, below := range v {
			closed(below)
		}
	}
}

// valid checks every line against a schema, and gives them.
func valid(t *testing.T, s *jsonschema.Schema, out string) (objects []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Errorf("%q is not JSON: %v", line, err)
			continue
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s%v", line, err)
		}
		if o, ok := v.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}

// docs/scripts.md has a row for each event, and each of its keys in it.
func TestEventsAreDocumented(t *testing.T) {
	t.Parallel()
	var events struct {
		Defs map[string]struct{ Required []string } `json:"$defs"`
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "schema", "events.json"))
	if err == nil {
		err = json.Unmarshal(b, &events)
	}
	page, err2 := os.ReadFile(filepath.Join("..", "..", "..", "docs", "scripts.md"))
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for name, event := range events.Defs {
		if event.Required == nil {
			continue // a part of others
		}
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| .*").Find(page)
		for _, key := range event.Required {
			if !slices.Contains([]string{"schema", "event", "time", "file"}, key) && !bytes.Contains(row, []byte("`"+key+"`")) {
				t.Errorf("the row of %s does not name %s: %s", name, key, row)
			}
		}
		if row == nil {
			t.Errorf("there is no row for %s", name)
		}
	}
}

// What is printed is what docs/schema says.
func TestSchemas(t *testing.T) {
	t.Parallel()
	s := schemas(t)
	r := newRig(t, "archetype", 64<<10)
	file, none := r.file(t, 20*64<<10), filepath.Join(r.dir, "none")

	// A part arrives damaged, another has to be sent twice, and one is slow
	// enough for the display to say how far it is.
	if err := r.server.Faults.Add("put@part=2:corrupt", "put@part=3:status=503", "put@part=5:slow=60k"); err != nil {
		t.Fatal(err)
	}
	out, messages, code := r.said(t, "upload", file, none, "-p", "archetype", "--json", "--progress", "json", "-vv")
	if code != exitNoInput {
		t.Errorf("exit code %d", code)
	}
	if results := valid(t, s["result.json"], out); len(results) != 1 || results[0]["file"] != file {
		t.Errorf("results %v", results)
	}
	var kinds []string
	for _, o := range valid(t, s["events.json"], messages) {
		kind, event := o["event"].(string)
		if !event {
			kind = "error"
		}
		if !slices.Contains([]string{"progress", "text", "error"}, kind) && o["file"] != file {
			t.Errorf("%v is not of %s", o, file)
		}
		kinds = append(kinds, kind)
	}
	for _, kind := range []string{"planned", "progress", "stored", "retrying", "completing", "done", "note", "text", "error"} {
		if !slices.Contains(kinds, kind) {
			t.Errorf("there was no %s among %v", kind, kinds)
		}
	}
	if !slices.Contains(kinds, "lost") && !slices.Contains(kinds, "warning") {
		t.Errorf("nothing was said of the damaged part: %v", kinds)
	}

	// Without progress, of the events only warnings are said.
	r.restart(t)
	out, messages, code = r.said(t, "upload", file, "-p", "archetype", "--json")
	if code != 0 || messages != "" {
		t.Errorf("exit code %d, and it says %s", code, messages)
	}
	valid(t, s["result.json"], out)
}

// Whatever goes wrong, with --json it is an object, and nothing else is said.
func TestErrorsAreObjects(t *testing.T) {
	t.Parallel()
	s := schemas(t)
	r := newRig(t, "archetype", 64<<10)
	file := r.file(t, 100<<10)
	broken := filepath.Join(r.dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("version: 1\nnonsense: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		code  int
		kind  string
		env   string
		fault string
		args  []string
	}{
		"no command":       {64, "usage", "", "", []string{"--json"}},
		"unknown command":  {64, "usage", "", "", []string{"uplaod", "--json"}},
		"unknown flag":     {64, "usage", "", "", []string{"upload", file, "--bogus", "--json"}},
		"before the flag":  {64, "usage", "", "", []string{"upload", "--json=1", "--bogus", file}},
		"no file":          {64, "usage", "", "", []string{"upload", "--json"}},
		"by variable":      {64, "usage", "MULTIPUT_JSON=1", "", []string{"upload"}},
		"by progress":      {64, "usage", "", "", []string{"upload", "--progress", "json"}},
		"by its variable":  {64, "usage", "MULTIPUT_PROGRESS=json", "", []string{"upload"}},
		"no provider":      {64, "usage", "", "", []string{"upload", file, "--json"}},
		"unknown provider": {64, "usage", "", "", []string{"upload", file, "--json", "-p", "nowhere"}},
		"unknown option":   {64, "usage", "", "", []string{"upload", file, "--json", "-p", "archetype", "-s", "a=b"}},
		"no expression":    {64, "usage", "", "", []string{"upload", file, "-p", "archetype", "--jq", ".["}},
		"bad manifest":     {78, "config", "", "", []string{"upload", file, "--json", "-p", broken}},
		"bad variable":     {78, "config", "MULTIPUT_RETRIES=few", "", []string{"upload", file, "--json", "-p", "archetype"}},
		"no such file":     {66, "noinput", "", "", []string{"upload", file + "x", "--json", "-p", "archetype"}},
		"no key":           {77, "noperm", "ATAI_API_KEY=", "", []string{"upload", file, "--json", "-p", "archetype"}},
		"a wrong key":      {77, "noperm", "ATAI_API_KEY=wrong", "", []string{"upload", file, "--json", "-p", "archetype"}},
		"refused":          {1, "failed", "", "create:status=400", []string{"upload", file, "--json", "-p", "archetype"}},
		"not finished":     {75, "tempfail", "", "create:status=503", []string{"upload", file, "--json", "-p", "archetype", "--retries", "0"}},
		"no result chosen": {74, "ioerr", "", "", []string{"upload", file, "--jq", ".size | keys", "-p", "archetype"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.fault != "" {
				if err := r.server.Faults.Add(c.fault); err != nil {
					t.Fatal(err)
				}
			}
			cmd := r.command(t, c.args...)
			cmd.Env = append(cmd.Env, c.env, "MULTIPUT_JOURNAL="+filepath.Join(t.TempDir(), "journal"))
			var said strings.Builder
			cmd.Stderr = &said
			stdout, err := cmd.Output()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			out, messages, code := string(stdout), said.String(), cmd.ProcessState.ExitCode()
			if code != c.code || out != "" {
				t.Errorf("exit code %d, want %d; stdout is %q", code, c.code, out)
			}
			objects := valid(t, s["error.json"], messages)
			if len(objects) != 1 {
				t.Fatalf("it says %q", messages)
			}
			e := objects[0]["error"].(map[string]any)
			if e["kind"] != c.kind || e["exit_code"] != json.Number(strconv.Itoa(c.code)) {
				t.Errorf("it says %s", messages)
			}
			if _, has := e["request_id"]; has != (c.fault != "" || name == "a wrong key") {
				t.Errorf("that it has the provider's id of the request is %t: %s", has, messages)
			}
		})
	}
}
