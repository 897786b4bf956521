package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
)

// shown is a value and where it is from, as a run with these settings has it.
func shown(t *testing.T, s setting, key string) (value, from string) {
	t.Helper()
	c, err := load(t, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Settings() {
		if v.Key == key {
			return v.Value, strings.ReplaceAll(v.From, c.File, "FILE")
		}
	}
	t.Fatalf("there is no %s in %v", key, c.Settings())
	return "", ""
}

// Each habit: a flag beats a variable beats the profile beats the top of the
// file beats the default, in what is shown as in what is used.
func TestPrecedence(t *testing.T) {
	abs := func(s string) string { return filepath.Join(t.TempDir(), s) }
	paths := func() [4]string { return [4]string{abs("a"), abs("b"), abs("c"), abs("d")} }
	table := map[string]struct {
		by  string                       // the default, as it is shown
		is  [4]string                    // the values of file, profile, variable and flag
		use func(c config.Config) string // what the program goes by
		as  [4]string                    // that, if it differs from is
	}{
		"provider":      {"", [4]string{"one", "two", "three", "four"}, func(c config.Config) string { return c.Provider }, [4]string{}},
		"concurrency":   {"auto", [4]string{"1", "2", "3", "4"}, func(c config.Config) string { return fmt.Sprint(c.Concurrency) }, [4]string{}},
		"part-size":     {"", [4]string{"1k", "2k", "3k", "4k"}, func(c config.Config) string { return fmt.Sprint(c.PartSize) }, [4]string{"1000", "2000", "3000", "4000"}},
		"limit-rate":    {"", [4]string{"1k", "2k", "3k", "4k"}, func(c config.Config) string { return fmt.Sprint(c.LimitRate) }, [4]string{"1000", "2000", "3000", "4000"}},
		"retry-for":     {"15m", [4]string{"1s", "2s", "3s", "4s"}, func(c config.Config) string { return c.RetryFor.String() }, [4]string{}},
		"retries":       {"auto", [4]string{"1", "2", "3", "4"}, func(c config.Config) string { return fmt.Sprint(c.Retries) }, [4]string{}},
		"stall-timeout": {"1m", [4]string{"1s", "2s", "3s", "4s"}, func(c config.Config) string { return c.StallTimeout.String() }, [4]string{}},
		"checksum":      {"auto", [4]string{"off", "require", "off", "require"}, func(c config.Config) string { return c.Checksum }, [4]string{}},
		"progress":      {"auto", [4]string{"bar", "plain", "json", "none"}, func(c config.Config) string { return c.Progress }, [4]string{}},
		"color":         {"auto", [4]string{"always", "never", "always", "never"}, func(c config.Config) string { return c.Color }, [4]string{}},
		"content-type":  {"", [4]string{"a/a", "b/b", "c/c", "d/d"}, func(c config.Config) string { return c.ContentType }, [4]string{}},
		"json":          {"false", [4]string{"true", "false", "true", "false"}, func(c config.Config) string { return fmt.Sprint(c.JSON) }, [4]string{}},
		"jq":            {"", [4]string{".a", ".b", ".c", ".d"}, func(c config.Config) string { return c.JQ }, [4]string{}},
		"quiet":         {"false", [4]string{"true", "false", "true", "false"}, func(c config.Config) string { return fmt.Sprint(c.Quiet) }, [4]string{}},
		"verbose":       {"0", [4]string{"2", "1", "2", "1"}, func(c config.Config) string { return fmt.Sprint(c.Verbose) }, [4]string{}},
		"journal":       {"*", paths(), func(c config.Config) string { return c.Journal }, [4]string{}},
		"cacert":        {"", paths(), func(c config.Config) string { return c.CACert }, [4]string{}},
		"api-key-file":  {"", paths(), func(c config.Config) string { return c.APIKeyFile }, [4]string{}},
		"api-key-command": {
			"", [4]string{"echo a", "echo b", "echo c", "echo d"}, func(c config.Config) string { return c.APIKeyCommand }, [4]string{},
		},
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(flags)
	config.GlobalFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if _, ok := table[f.Name]; !ok && f.Name != "config" && f.Name != "profile" {
			t.Errorf("--%s is a habit, and is not in this table", f.Name)
		}
	})
	for key, row := range table {
		t.Run(key, func(t *testing.T) {
			var s setting
			layers := []struct {
				from string
				add  func(value string)
			}{
				{"FILE", func(v string) { s.file = fmt.Sprintf("%s: %q\n", key, v) }},
				{"profile work in FILE", func(v string) {
					s.file += fmt.Sprintf("profile: work\nprofiles:\n  work:\n    %s: %q\n", key, v)
					if key != "provider" {
						s.file += "    provider: openai\n"
					}
				}},
				{"variable " + config.Variable(key), func(v string) { s.env = map[string]string{config.Variable(key): v} }},
				{"flag --" + key, func(v string) { s.args = []string{"--" + key + "=" + v} }},
			}
			if value, from := shown(t, s, key); from != "default" || row.by != "*" && value != row.by {
				t.Errorf("with nothing: %q from %s", value, from)
			}
			for i, layer := range layers {
				layer.add(row.is[i])
				want := row.is[i]
				value, from := shown(t, s, key)
				if key == "api-key-command" {
					if value != "(not shown)" {
						t.Errorf("the command is shown: %s", value)
					}
				} else if value != want {
					t.Errorf("%s: shown as %q, want %q", layer.from, value, want)
				}
				if from != layer.from {
					t.Errorf("from %q, want %q", from, layer.from)
				}
				if row.as[i] != "" {
					want = row.as[i]
				}
				c, err := load(t, s)
				if err != nil {
					t.Fatal(err)
				}
				if got := row.use(c); got != want {
					t.Errorf("%s: used as %q, want %q", layer.from, got, want)
				}
			}
		})
	}
}

func TestWhichProfile(t *testing.T) {
	s := setting{file: "profile: a\nprofiles: {a: {retries: 1}, b: {retries: 2}, c: {retries: 3}}\n"}
	for _, step := range []struct {
		args      []string
		env       map[string]string
		retries   int
		name, via string
	}{
		{nil, nil, 1, "a", "FILE"},
		{nil, map[string]string{"MULTIPUT_PROFILE": "b"}, 2, "b", "variable MULTIPUT_PROFILE"},
		{[]string{"--profile", "c"}, map[string]string{"MULTIPUT_PROFILE": "b"}, 3, "c", "flag --profile"},
	} {
		s.args, s.env = step.args, step.env
		if name, from := shown(t, s, "profile"); name != step.name || from != step.via {
			t.Errorf("profile %s from %s, want %s from %s", name, from, step.name, step.via)
		}
		if c, err := load(t, s); err != nil || c.Retries != step.retries {
			t.Errorf("profile %s: %d retries, %v", step.name, c.Retries, err)
		}
	}
}

const work = `
provider: archetype
api-key-file: /archetype.key
base-url:
  openai: https://top.example
profiles:
  work:
    provider: openai
    base-url: https://work.example
    set: {purpose: batch, isSplit: true, n: 3}
    api-key-command: echo work
    concurrency: 3
  other:
    provider: fileai
  mine:
    provider: ./mine.yaml
    base-url: https://mine.example
`

// What a profile says for its provider is used for no other one, and neither is
// the key of the top of the file.
func TestProfileIsOfOneProvider(t *testing.T) {
	for name, step := range map[string]struct {
		args            []string
		env             map[string]string
		base            string
		set             int
		command, file   string
		concurrency     int
		unused, unused2 string
	}{
		"its own":          {[]string{"--profile", "work"}, nil, "https://work.example", 3, "echo work", "", 3, "", ""},
		"named too":        {[]string{"--profile", "work", "-p", "openai"}, nil, "https://work.example", 3, "echo work", "", 3, "", ""},
		"another":          {[]string{"--profile", "work", "-p", "fileai"}, nil, "", 0, "", "", 3, "not used: base-url, set, api-key-command", "config.yaml is for archetype; not used: api-key-file"},
		"by variable":      {[]string{"--profile", "work"}, map[string]string{"MULTIPUT_PROVIDER": "fileai"}, "", 0, "", "", 3, "profile work in ", " is for openai; not used: base-url, set, api-key-command"},
		"the top's":        {[]string{"--profile", "work", "-p", "archetype"}, nil, "", 0, "", "/archetype.key", 3, "is for openai", ""},
		"no profile":       {nil, nil, "", 0, "", "/archetype.key", 0, "", ""},
		"not the top's":    {[]string{"-p", "openai"}, nil, "https://top.example", 0, "", "", 0, "config.yaml is for archetype; not used: api-key-file", ""},
		"without a source": {[]string{"--profile", "other"}, nil, "", 0, "", "", 0, "config.yaml is for archetype; not used: api-key-file", ""},
		"a variable":       {[]string{"--profile", "work"}, map[string]string{"MULTIPUT_OPENAI_BASE_URL": "https://variable.example"}, "https://variable.example", 3, "echo work", "", 3, "", ""},
		"path elsewhere":   {[]string{"--profile", "mine", "-p", "./mine.yaml"}, nil, "", 0, "", "", 0, "not used: base-url", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := load(t, setting{file: work, args: step.args, env: step.env})
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Base(c.Provider); got != step.base {
				t.Errorf("base %q, want %q", got, step.base)
			}
			if len(c.Set) != step.set || step.set > 0 && (c.Set["isSplit"] != "true" || c.Set["n"] != "3") {
				t.Errorf("options %v, want %d", c.Set, step.set)
			}
			if c.APIKeyCommand != step.command || c.APIKeyFile != step.file || c.Concurrency != step.concurrency {
				t.Errorf("command %q, file %q, concurrency %d; want %q, %q, %d", c.APIKeyCommand, c.APIKeyFile, c.Concurrency, step.command, step.file, step.concurrency)
			}
			unused := strings.Join(c.Unused, "\n")
			if !strings.Contains(unused, step.unused) || !strings.Contains(unused, step.unused2) || step.unused == "" && unused != "" {
				t.Errorf("unused: %s", unused)
			}
		})
	}
}

// The configuration for another provider leaves behind what is for one only.
func TestFor(t *testing.T) {
	c, err := load(t, setting{file: work, args: []string{"--profile", "work", "-j", "7"}})
	if err != nil {
		t.Fatal(err)
	}
	for to, want := range map[string]string{"openai": "echo work", "archetype": "", "fileai": ""} {
		other, err := c.For(to)
		if err != nil || other.Provider != to || other.APIKeyCommand != want || other.Concurrency != 7 || (len(other.Set) > 0) != (want != "") {
			t.Errorf("%s: %q, %v, %v", to, other.APIKeyCommand, other.Set, err)
		}
	}
	if other, err := c.For("archetype"); err != nil || other.APIKeyFile != "/archetype.key" {
		t.Errorf("the top's: %q, %v", other.APIKeyFile, err)
	}
	if c, err = load(t, setting{file: work, args: []string{"-p", "archetype", "--api-key-command", "echo flag"}}); err != nil {
		t.Fatal(err)
	}
	if other, err := c.For("fileai"); err != nil || other.APIKeyCommand != "echo flag" {
		t.Errorf("a flag is for any: %q, %v", other.APIKeyCommand, err)
	}
}

// Paths in the file are relative to the file, not to where a run happens to be.
func TestPathsAreRelativeToTheFile(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := load(t, setting{file: "provider: ./mine.yaml\njournal: j.db\ncacert: ~/ca.pem\napi-key-file: key\n"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(c.File)
	for got, want := range map[string]string{c.Provider: "mine.yaml", c.Journal: "j.db", c.CACert: "ca.pem", c.APIKeyFile: "key"} {
		if got != filepath.Join(dir, want) {
			t.Errorf("%s, want %s in %s", got, want, dir)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "here"), []byte(seeded), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = load(t, setting{file: "api-key-command: cat config.yaml"}); err != nil {
		t.Fatal(err)
	}
	key, err := c.Key(t.Context(), config.KeyOf{}, os.Stderr)
	if err != nil || !strings.Contains(key.Reveal(), "cat config.yaml") {
		t.Errorf("the command ran elsewhere: %v", err)
	}
}

// A home directory that is relative would be one of the working directory's.
func TestRelativeHomeIsRefused(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", ".")
	t.Setenv("AppData", ".")
	if path, _, _ := config.Path(pflag.NewFlagSet("", pflag.ContinueOnError)); path != "" || config.ProviderDir() != "" {
		t.Errorf("config file %s, manifests in %s", path, config.ProviderDir())
	}
}

// Without a home directory, each user of the state directory names what would help.
func TestNoHome(t *testing.T) {
	none := map[string]string{"HOME": "", "XDG_STATE_HOME": "", "LocalAppData": ""}
	if _, err := load(t, setting{env: none}); !errors.Is(err, config.ErrNoJournal) || !strings.Contains(err.Error(), ": set ") {
		t.Errorf("the journal: %v", err)
	}
	if _, err := load(t, setting{env: none, args: []string{"--journal", "j"}}); err != nil {
		t.Errorf("a named journal: %v", err)
	}
	if c, err := config.LoadSettings(pflag.NewFlagSet("", pflag.ContinueOnError)); err != nil || c.Journal != "" {
		t.Errorf("no journal is used: %v, %s", err, c.Journal)
	}
	if _, err := config.StateDir(); err == nil || !strings.Contains(err.Error(), ": set ") || errors.Is(err, config.ErrNoJournal) {
		t.Errorf("the sandbox, with a named journal: %v", err)
	}
}

func TestFileIsStrict(t *testing.T) {
	for name, c := range map[string]struct{ file, says string }{
		"key in a profile":     {"profiles:\n  work:\n    retires: 3\n", `config.yaml: profiles.work.retires (line 3): there is no key "retires"`},
		"upper case":           {"Retries: 3\n", "Retries (line 1)"},
		"value in a profile":   {"profile: work\nprofiles:\n  work:\n    retries: many\n", "profiles.work.retries (line 4): "},
		"value at the top":     {"\n\nretries: many\n", "config.yaml: retries (line 3): "},
		"twice":                {"retries: 3\nretries: 4\n", "retries (line 2): is a duplicate key"},
		"empty":                {"provider: ''\n", "provider (line 1): is empty"},
		"no provider":          {"profiles: {work: {base-url: 'https://a.example'}}\n", "base-url is for one provider"},
		"key, no provider":     {"profiles: {work: {api-key-file: /k}}\n", "api-key-file is for one provider"},
		"options, no provider": {"profiles: {work: {set: {a: b}}}\n", "set is for one provider"},
		"set at the top":       {"set: {a: b}\n", `there is no key "set"`},
		"list of options":      {"profiles: {work: {provider: p, set: [a]}}\n", "profiles.work.set (line 1): needs options below it"},
		"nested option":        {"profiles: {work: {provider: p, set: {a: [b]}}}\n", "profiles.work.set.a (line 1): is a list"},
		"profiles":             {"profiles: work\n", "profiles (line 1): needs the names"},
		"profile in profile":   {"profiles: {work: {profile: other}}\n", `there is no key "profile"`},
		"flat base":            {"base-url: https://a.example\n", "base-url (line 1): needs a provider below it"},
		"list":                 {"- a\n", "(line 1): needs keys"},
		"two documents":        {"retries: 3\n---\nretries: 4\n", "more than one document"},
		"no YAML":              {"retries: 3\n\tx: [", "config.yaml: yaml: line 2"},
		"unknown profile":      {"profile: wrok\nprofiles: {work: {}}\n", `config.yaml: profile (line 1): there is no profile "wrok" (known: work)`},
		"no profiles":          {"profile: work\n", `unknown profile "work": there are none`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, setting{file: c.file})
			var wrong *config.Error
			if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, &wrong) {
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
	for _, empty := range []string{"", "# nothing\n", "null\n", "retries:\n"} {
		if _, err := load(t, setting{file: empty}); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
}

// A key itself is refused, and not repeated.
func TestKeyInTheFileIsRefused(t *testing.T) {
	for _, name := range []string{"api-key", "api_key", "apikey", "key", "token", "secret", "Secret", "access-token", "password"} {
		for _, file := range []string{name + ": " + seeded, "profiles: {work: {provider: openai, " + name + ": " + seeded + "}}"} {
			_, err := load(t, setting{file: file})
			if err == nil || !errors.Is(err, config.ErrKeyInFile) || strings.Contains(err.Error(), seeded) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
