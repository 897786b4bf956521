package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

const schemaFile = "../../../docs/schema/manifest.json"

// TestSchema holds that editors take every manifest that there is, and not one
// with an old name or with a key that is not there.
func TestSchema(t *testing.T) {
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text []byte) error {
		t.Helper()
		var v any
		if err := yaml.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(doc)
	}
	var paths []string
	for _, dir := range []string{"../builtin", "../../../docs/manifests"} {
		found, err := filepath.Glob(dir + "/*.yaml")
		if err != nil || len(found) < 4 {
			t.Fatal(found, err)
		}
		paths = append(paths, found...)
	}
	for _, path := range append(paths, "../new.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.NewReplacer("name: NAME", "name: acme", "KEYVAR", "ACME_KEY").Replace(string(text)))
		if err := valid(text); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, text := range []string{whole, formed, played} {
		if err := valid([]byte(text)); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
	const head = "version: 1\nname: acme\n" + found
	for _, add := range []string{
		"small: {max_size: 1MiB, create: null, complete: null, part: {send: POST /f, auth: true, result: .id}}\n",
		"small: {max_size: 1MiB, create: {send: POST /s, keep: '{id}', part_size: 5242880}}\n",
	} {
		if _, err := Parse("x.yaml", []byte(head+add)); err != nil {
			t.Errorf("%s: %v", add, err)
		}
		if err := valid([]byte(head + add)); err != nil {
			t.Errorf("%s: %v", add, err)
		}
	}
	for _, add := range []string{
		"small: {max_size: 1MiB, part: {send: POST /f}}\n", "abort: {send: POST /a, text: .x}\n", "abort: {send: POST /a, multipart: true}\n",
		"small: {max_size: 1MiB, part: {send: POST /f, receipt: .x, fields: .y}}\n",
	} {
		if _, err := Parse("x.yaml", []byte(head+add)); err == nil {
			t.Errorf("%s is read", add)
		}
		if err := valid([]byte(head + add)); err == nil {
			t.Errorf("%s is valid", add)
		}
	}
	for _, c := range []struct{ old, new string }{
		{"  keep: '{id}'", "  upload: '{id}'"}, {"presign:", "grant:"}, {"version: 1", "version: 2"}, {"send: POST /uploads\n", "send: post /uploads\n"},
		{"  result: .location\n", "  result: 5\n"}, {"auth: false", "auth: no way"},
	} {
		if err := valid(edit(t, c.old, c.new)); err == nil {
			t.Errorf("%s is valid", c.new)
		}
	}
}

// TestSchemaKeys holds that the schema has the keys that there are, and no
// others.
func TestSchemaKeys(t *testing.T) {
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	defs := doc["$defs"].(map[string]any)
	var keys []string
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		if ref, ok := m["$ref"].(string); ok {
			walk(prefix, defs[strings.TrimPrefix(ref, "#/$defs/")])
		}
		if of, ok := m["oneOf"].([]any); ok {
			walk(prefix, of[0])
		}
		if more, ok := m["additionalProperties"].(map[string]any); ok && prefix == "options" {
			walk("options.NAME", more)
		}
		properties, _ := m["properties"].(map[string]any)
		for k, v := range properties {
			k = strings.TrimPrefix(prefix+"."+k, ".")
			keys = append(keys, k)
			if k != "samples" && (strings.Count(k, ".") != 1 || !strings.HasPrefix(k, "small.")) {
				walk(k, v)
			}
		}
	}
	walk("", doc)
	slices.Sort(keys)
	want := documentedKeys(t)
	slices.Sort(want)
	for _, k := range want {
		if !slices.Contains(keys, k) {
			t.Errorf("the schema lacks %s", k)
		}
	}
	for _, k := range keys {
		if !slices.Contains(want, k) {
			t.Errorf("the schema has %s, which is not a key", k)
		}
	}
}
