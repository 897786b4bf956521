package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
)

// docs/configuration.md is true: its files are read, and its table has every
// habit.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(examples) < 2 {
		t.Errorf("%d examples", len(examples))
	}
	for _, e := range examples {
		if _, err := load(t, setting{file: e[1]}); err != nil {
			t.Errorf("%v:\n%s", err, e[1])
		}
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(flags)
	config.GlobalFlags(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(page, "`"+config.Variable(f.Name)+"`") {
			t.Errorf("the page has no %s", config.Variable(f.Name))
		}
	})
}
