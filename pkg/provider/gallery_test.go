package provider_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
)

// TestGallery: each manifest of the gallery can be named, is found again by the
// name that an upload records, and can be started from.
func TestGallery(t *testing.T) {
	names := provider.Gallery()
	if len(names) < 30 {
		t.Fatalf("there are %v", names)
	}
	for _, name := range names {
		d, err := provider.Load(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if d.Name != name || d.File != "" || len(d.Text) == 0 {
			t.Errorf("%s is called %s and lies in %q", name, d.Name, d.File)
		}
		if n, err := check.Samples(t.Context(), d); err != nil || n < 3 {
			t.Errorf("%s: %d samples, %v", name, n, err)
		}
		text, err := provider.From("my-own", name)
		if err != nil {
			t.Error(err)
			continue
		}
		mine, err := provider.Load(write(t, "my-own.yaml", text))
		if err != nil || mine.Name != "my-own" || !strings.HasPrefix(text, "# yaml-language-server: ") {
			t.Errorf("from %s: %v", name, err)
		}
	}
	for _, name := range []string{"openai", "upscayl", "box"} {
		if text, err := provider.From("mine", name); err != nil {
			t.Errorf("from %s: %v", name, err)
		} else if d, err := provider.Load(write(t, "mine.yaml", text)); err != nil || d.Name != "mine" {
			t.Errorf("from %s: %v", name, err)
		}
	}
	var unknown *provider.UnknownError
	for _, name := range []string{"gallery/bx", "gallery/", "gallery/../docs"} {
		if _, err := provider.Load(name); !errors.As(err, &unknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := provider.From("mine", "boxx"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), `did you mean "gallery/box"?`) {
		t.Errorf("from an unknown one: %v", err)
	}
}
