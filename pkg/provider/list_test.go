package provider_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
)

func TestList(t *testing.T) {
	dir := filepath.Dir(write(t, "mine.yaml", mine))
	for name, text := range map[string]string{"openai": mine, "broken": "version: 1\n", "other": mine} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := provider.List(dir, t.TempDir(), dir)
	got := map[string]bool{}
	for _, e := range all {
		if got[e.Name] {
			t.Errorf("%s is there twice", e.Name)
		}
		got[e.Name] = true
		user := e.Name == "mine" || e.Name == "broken" || e.Name == "other"
		if (e.File != "") != user || e.D != nil && e.D.File != e.File {
			t.Errorf("%s lies in %q", e.Name, e.File)
		}
		var bad *provider.Error
		if broken := errors.As(e.Err, &bad); broken != (e.Name == "broken" || e.Name == "other") || broken == (e.D != nil) {
			t.Errorf("%s: %v", e.Name, e.Err)
		}
	}
	if len(all) != len(provider.Names())+3 {
		t.Errorf("there are %d", len(all))
	}
}

// TestNew holds that what one starts from is a manifest that passes its own
// check.
func TestNew(t *testing.T) {
	text, err := provider.New("my-api")
	if err != nil {
		t.Fatal(err)
	}
	m, err := provider.Load(write(t, "my-api.yaml", text))
	if err != nil || m.Name != "my-api" || m.KeyEnv() != "MY_API_API_KEY" {
		t.Fatalf("is %v, %v", m, err)
	}
	if n, err := check.Samples(t.Context(), m); n < 5 || err != nil {
		t.Errorf("plays %d samples, %v", n, err)
	}
	var bad *provider.Error
	for _, name := range []string{"", "My", "openai", "a/b"} {
		if _, err := provider.New(name); !errors.As(err, &bad) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
