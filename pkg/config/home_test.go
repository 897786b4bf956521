package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/config"
)

// Without a home directory ~ cannot be expanded, and the home directories of other
// users are not known: neither creates a directory of that name.
func TestHomeThatIsNotKnown(t *testing.T) {
	home := t.TempDir()
	for _, c := range []struct{ home, path, want string }{
		{home, "~", home},
		{home, "~/", home},
		{home, "~/a/b", filepath.Join(home, "a", "b")},
		{home, "a/~/b", "a/~/b"},
		{home, "./~", "./~"},
		{home, "~$draft.docx", "~$draft.docx"},
		{home, "~1", "~1"},
		{home, "~bob", ""},
		{home, "~bob/j", ""},
		{home, "~élodie_2/j", ""},
		{"", "~", ""},
		{"", "~/j", ""},
		{"here", "~/j", ""},
		{"", "j", "j"},
	} {
		t.Setenv("HOME", c.home)
		t.Setenv("USERPROFILE", c.home)
		got, err := config.Expand(c.path)
		if got != c.want || (c.want == "") != (err != nil) {
			t.Errorf("with the home directory %q, %s is %q, %v; want %q", c.home, c.path, got, err, c.want)
		}
	}
}

// The error names where the path is set: the flag, the variable, or the file.
func TestPathsWithoutAHome(t *testing.T) {
	none := func(more ...string) map[string]string {
		env := map[string]string{"HOME": "", "USERPROFILE": ""}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	for _, path := range []string{"~/j", "~", "~bob/j"} {
		for _, key := range []string{"journal", "cacert", "api-key-file", "config"} {
			t.Run(key+" "+path, func(t *testing.T) {
				var usage *config.UsageError
				if _, err := load(t, setting{args: []string{"--" + key, path}, env: none()}); !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), "--"+key+": ") {
					t.Errorf("--%s %s: %v", key, path, err)
				}
				name := config.Variable(key)
				var wrong *config.Error
				if _, err := load(t, setting{env: none(name, path)}); !errors.As(err, &wrong) || wrong.Where != name {
					t.Errorf("%s=%s: %v", name, path, err)
				}
				if key == "config" {
					return
				}
				t.Setenv(name, "")
				if _, err := load(t, setting{file: key + ": \"" + path + "\"", env: none()}); !errors.As(err, &wrong) || !strings.Contains(wrong.Where, key+" (line 1)") {
					t.Errorf("%s: %s in the file: %v", key, path, err)
				}
			})
		}
	}
}
