package config_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/config"
)

var schemaFile = filepath.Join("..", "..", "docs", "schema", "config.json")

// The schema has the keys that the parser knows, and no others, at the top and in
// a profile.
func TestSchemaKeys(t *testing.T) {
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	type object struct{ Properties map[string]any }
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	for file, properties := range map[string]map[string]any{
		"no-such-key: 1":                     schema.Properties,
		"profiles: {work: {no-such-key: 1}}": schema.Defs["profile"].Properties,
	} {
		_, err := load(t, setting{file: file})
		var unknown *config.UnknownError
		if !errors.As(err, &unknown) {
			t.Fatalf("%s: %v", file, err)
		}
		keys := slices.Sorted(maps.Keys(properties))
		if known := slices.Sorted(slices.Values(unknown.Known)); !slices.Equal(keys, known) {
			t.Errorf("%s: the schema has %v, the parser %v", file, keys, known)
		}
	}
}

// The schema accepts what the parser accepts.
func TestSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	accepts := func(file string) error {
		t.Helper()
		var v any
		if err := yaml.Unmarshal([]byte(file), &v); err != nil {
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
		return schema.Validate(doc)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	good := []string{config.Example, uncommented(config.Example)}
	for _, e := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		good = append(good, e[1])
	}
	values := map[string][]string{
		"concurrency":                   {"auto", "1", "1000", "null"},
		"retries":                       {"auto", "0", "7", "null"},
		"verbose":                       {"0", "1", "2", "true", "false", "null"},
		"part-size limit-rate":          {"0", "8388608", "8MiB", "1.5GB", "500k", "3 tb", "7B", "null"},
		"retry-for stall-timeout":       {"0", "90s", "1h30m", "1.5h", "250ms", "null"},
		"checksum":                      {"auto", "require", "off", "null"},
		"progress":                      {"auto", "bar", "plain", "json", "none", "null"},
		"color":                         {"auto", "always", "never", "null"},
		"json quiet":                    {"true", "false", "null"},
		"provider":                      {"openai", "./acme.yaml", "null"},
		"content-type":                  {"text/csv", "null"},
		"jq":                            {".result", "null"},
		"journal cacert":                {"~/x", "null"},
		"api-key-file":                  {"~/key", "null"},
		"api-key-command":               {"pass show key", "null"},
		"profile":                       {"null"},
		"base-url":                      {"{openai: https://eu.example/v1, acme: null}"},
		"profiles.work.set":             {"{a: 1, b: true, c: x, d: null}"},
		"profiles.work.base-url":        {"https://eu.example", "null"},
		"profiles.work.api-key-file":    {"key"},
		"profiles.work.api-key-command": {"pass show key"},
		"profiles.work.concurrency":     {"4"},
	}
	bad := []string{
		"[a]", "text", "nonsense: 1", "api-key: sk-1", "Concurrency: 4", "profiles: {work: {profile: home}}", "profiles: {work: {profiles: {}}}",
		"profiles: {work: {base-url: https://x.example}}", "profiles: {work: {set: {a: b}}}", "profiles: {work: {api-key-file: k}}",
		"profiles: {work: {api-key-command: k}}", "profiles: {work: 5}", "profiles: [work]", "profiles: {work: {retires: 5}}",
		"base-url: https://x.example", "base-url: {openai: [x]}", "profiles: {work: {provider: openai, base-url: {openai: x}}}",
	}
	wrong := map[string][]string{
		"concurrency":             {"0", "1001", "-3", "many", "1.5", "[1]", "{a: 1}", `" "`},
		"retries":                 {"-1", "few", "1.5", "[1]", `""`},
		"verbose":                 {"-1", "loud", "[1]"},
		"part-size limit-rate":    {"-1", "8XB", "MiB", "[8]", `""`},
		"retry-for stall-timeout": {"15", "-1s", "soon", "1d", "[1]", `""`},
		"checksum progress color": {"maybe", "5", "[auto]", `""`},
		"json quiet":              {"perhaps", "[true]", "12"},
		"provider content-type jq journal cacert": {"[x]", "{x: y}", `""`, `"  "`},
		"api-key-file api-key-command profile":    {"[x]", "{x: y}", `""`},
		"profiles.work.set":                       {"x", "[a]", "{a: [b]}", `{a: ""}`},
		"profiles.work.base-url":                  {"[a]", `""`},
	}
	document := func(key, value string) string {
		if key, ok := strings.CutPrefix(key, "profiles.work."); ok {
			return "profile: work\nprofiles: {work: {provider: openai, " + key + ": " + value + "}}\n"
		}
		return key + ": " + value + "\n"
	}
	list := func(of map[string][]string) (all []string) {
		for keys, vs := range of {
			for key := range strings.FieldsSeq(keys) {
				for _, v := range vs {
					all = append(all, document(key, v))
				}
			}
		}
		return all
	}
	for _, file := range append(good, list(values)...) {
		if _, err := load(t, setting{file: file}); err != nil {
			t.Errorf("the parser: %v:\n%s", err, file)
		}
		if err := accepts(file); err != nil {
			t.Errorf("the schema: %v:\n%s", err, file)
		}
	}
	for _, file := range append(bad, list(wrong)...) {
		if _, err := load(t, setting{file: file}); err == nil {
			t.Errorf("the parser accepts:\n%s", file)
		}
		if accepts(file) == nil {
			t.Errorf("the schema accepts:\n%s", file)
		}
	}
}

// uncommented is the example with its keys in force.
func uncommented(example string) string {
	head, keys, _ := strings.Cut(example, "\n\n")
	return head + regexp.MustCompile(`(?m)^# ( *[a-z-]+:( .*)?)$`).ReplaceAllString("\n\n"+keys, "$1")
}
