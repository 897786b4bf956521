package main

import (
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
)

// Every flag whose value is a FILE or a DIR takes ~/ for the home directory. Those
// that the config file has too are expanded where the settings are read.
func TestPathFlagsTakeTheHomeDirectory(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	settings := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(settings)
	seen := map[string]bool{}
	_, all := allCommands()
	for path, c := range all {
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			kind, _ := pflag.UnquoteUsage(f)
			if kind != "FILE" && kind != "DIR" || settings.Lookup(f.Name) != nil {
				return
			}
			seen[f.Name] = true
			if err := f.Value.Set("~/some where"); err != nil || f.Value.String() != filepath.Join(home, "some where") {
				t.Errorf("%s --%s: ~/some where is %q, %v", path, f.Name, f.Value, err)
			}
			if err := f.Value.Set("~nobody/here"); err == nil {
				t.Errorf("%s --%s: ~nobody/here is %q", path, f.Name, f.Value)
			}
		})
	}
	for _, name := range []string{"output", "record", "dir", "files-from", "checksums", "spool-dir"} {
		if !seen[name] {
			t.Errorf("--%s is not among the flags of paths", name)
		}
	}
}
