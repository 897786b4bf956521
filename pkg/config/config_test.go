package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
)

// setting is where one run gets its configuration from.
type setting struct {
	args []string
	env  map[string]string
	file string
}

func load(t *testing.T, s setting) (config.Config, error) {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "USERPROFILE", "AppData", "LocalAppData"} {
		t.Setenv(name, home)
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "MULTIPUT_") {
			t.Setenv(name, "")
		}
	}
	for k, v := range s.env {
		t.Setenv(k, v)
	}
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.Flags(f)
	config.GlobalFlags(f)
	if s.file != "" {
		path := filepath.Join(home, "config.yaml")
		if err := os.WriteFile(path, []byte(s.file), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = append(s.args, "--config", path)
	}
	if err := f.Parse(s.args); err != nil {
		t.Fatal(err)
	}
	return config.Load(f)
}

func TestDefaults(t *testing.T) {
	c, err := load(t, setting{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Retries != config.AutoRetries || c.RetryFor != 15*time.Minute || c.StallTimeout != time.Minute || c.Checksum != "auto" || c.Concurrency != 0 || c.Provider != "" {
		t.Errorf("%+v", c)
	}
	if !filepath.IsAbs(c.Journal) || filepath.Base(c.Journal) != "journal" {
		t.Errorf("journal %s", c.Journal)
	}
}

func TestFlagsBeforeVariablesBeforeFile(t *testing.T) {
	const file = "concurrency: 2\nretries: 2\npart-size: 2MiB\n"
	c, err := load(t, setting{
		file: file, env: map[string]string{"MULTIPUT_CONCURRENCY": "3", "MULTIPUT_RETRIES": "3"}, args: []string{"-j", "4"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Concurrency != 4 || c.Retries != 3 || c.PartSize != 2<<20 {
		t.Errorf("concurrency %d, retries %d, part size %d; want 4 (flag), 3 (variable), 2 MiB (file)", c.Concurrency, c.Retries, c.PartSize)
	}
}

func TestWrongValuesSayWhere(t *testing.T) {
	for name, c := range map[string]struct {
		s     setting
		says  string
		usage bool
	}{
		"flag":           {setting{args: []string{"--part-size", "8XB"}}, "--part-size", true},
		"variable":       {setting{env: map[string]string{"MULTIPUT_PART_SIZE": "8XB"}}, "MULTIPUT_PART_SIZE", false},
		"file":           {setting{file: "part-size: 8XB"}, "config.yaml: part-size", false},
		"empty flag":     {setting{args: []string{"--api-key-file", ""}}, "--api-key-file", true},
		"list":           {setting{file: "concurrency: [1]"}, "concurrency", false},
		"unknown key":    {setting{file: "part_size: 8MiB"}, "part_size", false},
		"no YAML":        {setting{file: "\t: ["}, "config.yaml", false},
		"UTF-16":         {setting{file: "p\x00a\x00\n\x00"}, "UTF-16", false},
		"no file":        {setting{args: []string{"--config", "none.yaml"}}, "no such file", false},
		"concurrency":    {setting{args: []string{"-j", "0"}}, "--concurrency", true},
		"checksum":       {setting{args: []string{"--checksum", "maybe"}}, "maybe", true},
		"progress":       {setting{env: map[string]string{"MULTIPUT_PROGRESS": "loud"}}, "MULTIPUT_PROGRESS", false},
		"negative time":  {setting{args: []string{"--stall-timeout", "-1s"}}, "--stall-timeout", true},
		"boolean":        {setting{env: map[string]string{"MULTIPUT_JSON": "perhaps"}}, "MULTIPUT_JSON", false},
		"negative tries": {setting{args: []string{"--retries", "-1"}}, "--retries", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.s)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one that says %q", err, c.says)
			}
			var usage *config.UsageError
			var wrong *config.Error
			if errors.As(err, &usage) != c.usage || errors.As(err, &wrong) == c.usage {
				t.Errorf("%T", err)
			}
		})
	}
}

// A repository that was cloned must not say where a key goes.
func TestWorkingDirectoryIsNotRead(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"config.yaml", "multiput.yaml", ".multiput.yaml"} {
		if err := os.WriteFile(name, []byte("concurrency: 7\nbase-url: {openai: https://evil.example}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := load(t, setting{})
	if err != nil || c.Concurrency == 7 || c.Base("openai") != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestBaseIsOfOneProvider(t *testing.T) {
	c, err := load(t, setting{file: "base-url:\n  openai: https://file.example\n", env: map[string]string{
		"MULTIPUT_FILEAI_BASE_URL": "https://variable.example", "MULTIPUT_BASE_URL": "https://all.example", "MULTIPUT_MY_API_BASE_URL": "https://own.example",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for provider, want := range map[string]string{
		"openai": "https://file.example", "fileai": "https://variable.example", "upscayl": "", "my-api": "https://own.example",
	} {
		if got := c.Base(provider); got != want {
			t.Errorf("%s: %q, want %q", provider, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"": 0, "12": 12, "8MiB": 8 << 20, "1.5GB": 15e8, "500k": 500e3, "250GB": 250e9, "1TiB": 1 << 40} {
		if got, err := config.ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"-1", "MiB", "8XB", "8 potatoes", "99999999999999GB"} {
		if got, err := config.ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}

const seeded = "sk-seeded-secret-0123456789"

func TestKeyPrecedence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(seeded+"-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"TEST_KEY": seeded + "-variable"}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"variable": {nil, seeded + "-variable"},
		"file":     {[]string{"--api-key-file", file}, seeded + "-file"},
		"command":  {[]string{"--api-key-command", "echo " + seeded + "-command"}, seeded + "-command"},
	} {
		cfg, err := load(t, setting{args: c.args, env: env})
		if err != nil {
			t.Fatal(err)
		}
		key, err := cfg.Key(t.Context(), config.KeyOf{Env: "TEST_KEY"}, &bytes.Buffer{})
		if err != nil || key.Reveal() != c.want {
			t.Errorf("%s: %q, %v", name, key.Reveal(), err)
		}
	}
	for name, args := range map[string][]string{
		"both":        {"--api-key-file", file, "--api-key-command", "true"},
		"no file":     {"--api-key-file", file + ".none"},
		"failing":     {"--api-key-command", "exit 3"},
		"says little": {"--api-key-command", "exit 0"},
	} {
		cfg, err := load(t, setting{args: args, env: env})
		if err != nil {
			t.Fatal(err)
		}
		if key, err := cfg.Key(t.Context(), config.KeyOf{Env: "TEST_KEY"}, &bytes.Buffer{}); err == nil {
			t.Errorf("%s: %q", name, key.Reveal())
		}
	}
}

func TestSecretShowsItselfNowhere(t *testing.T) {
	cfg, err := load(t, setting{env: map[string]string{"TEST_KEY": seeded}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := cfg.Key(t.Context(), config.KeyOf{Env: "TEST_KEY"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"key": key, "in": struct{ K config.Found }{key}})
	if err != nil {
		t.Fatal(err)
	}
	all := string(asJSON) + fmt.Sprint(key, &key) + fmt.Errorf("wrapped: %v", key).Error()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all += fmt.Sprintf(verb+verb, key, struct{ K config.Found }{key})
	}
	if strings.Contains(all, seeded) || strings.Contains(all, fmt.Sprintf("%x", seeded)) {
		t.Errorf("it shows: %s", all)
	}
}
