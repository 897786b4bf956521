package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A journal on a network file system is warned about, once a command.
func TestJournalOnANetwork(t *testing.T) {
	home := t.TempDir()
	for _, v := range []string{"HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "USERPROFILE", "LocalAppData", "AppData"} {
		t.Setenv(v, home)
	}
	var files []string
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	where := filepath.Join(home, "on", "the", "server.db")
	for _, c := range []struct {
		kind string
		args []string
		want string // at the beginning of the line
	}{
		{"nfs", nil, "warning: the journal "},
		{"nfs", []string{"--progress", "bar"}, "warning: the journal "},
		{"nfs", []string{"--json"}, `{"event":"warning"`},
		{"nfs", []string{"-q"}, ""},
		{"", nil, ""},
	} {
		var out, messages strings.Builder
		a := newApp()
		a.stdout, a.stderr, a.screen = &out, &messages, screen{}
		a.remote = func(path string) string {
			if path != where {
				t.Errorf("asked about %s", path)
			}
			return c.kind
		}
		if code := a.run(t.Context(), append(append([]string{"upload", "-p", "sandbox", "--journal", where}, c.args...), files...)); code != 0 {
			t.Errorf("exit code %d: %s", code, &messages)
		}
		told := 0
		for line := range strings.Lines(messages.String()) {
			if strings.Contains(line, "network file system (nfs)") && strings.Contains(line, "--journal DIR") {
				told++
				if c.want == "" || !strings.HasPrefix(line, c.want) {
					t.Errorf("%q: %q", c.args, line)
				}
			}
		}
		if want := min(1, len(c.want)); told != want {
			t.Errorf("%s %q: told %d times, want %d: %s", c.kind, c.args, told, want, &messages)
		}
	}
}
