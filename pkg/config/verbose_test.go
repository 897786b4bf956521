package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
)

// -v counts, and what a variable or the file says is a number or a yes.
func TestVerbose(t *testing.T) {
	for _, c := range []struct {
		args      []string
		env, file string
		want      int // below 0: refused
	}{
		{want: 0},
		{args: []string{"-v"}, want: Decisions},
		{args: []string{"-vv"}, want: Requests},
		{args: []string{"-v", "-v", "-v"}, want: Requests},
		{args: []string{"--verbose"}, want: Decisions},
		{args: []string{"--verbose=true"}, want: Decisions},
		{args: []string{"--verbose=2"}, want: Requests},
		{args: []string{"--verbose=false"}, env: "2", want: 0},
		{args: []string{"--verbose=loud"}, want: -1},
		{env: "true", want: Decisions},
		{env: "1", want: Decisions},
		{env: "2", want: Requests},
		{env: "false", file: "2", want: 0},
		{env: "loud", want: -1},
		{file: "true", want: Decisions},
		{file: "2", want: Requests},
		{file: "-1", want: -1},
		{args: []string{"-v"}, file: "2", want: Decisions},
	} {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if c.file != "" {
			if err := os.WriteFile(path, []byte("verbose: "+c.file+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("MULTIPUT_CONFIG", path)
		t.Setenv("MULTIPUT_VERBOSE", c.env)
		t.Setenv("MULTIPUT_JOURNAL", "j")
		f := pflag.NewFlagSet("multiput", pflag.ContinueOnError)
		Flags(f)
		GlobalFlags(f)
		err := f.Parse(c.args)
		var cfg Config
		if err == nil {
			cfg, err = Load(f)
		}
		var own *Error
		switch {
		case c.want < 0 && err == nil:
			t.Errorf("%+v is taken as %d", c, cfg.Verbose)
		case c.want < 0 && len(c.args) == 0 && !errors.As(err, &own):
			t.Errorf("%+v: %v", c, err)
		case c.want >= 0 && (err != nil || cfg.Verbose != c.want):
			t.Errorf("%+v gives %d, %v", c, cfg.Verbose, err)
		}
	}
}
