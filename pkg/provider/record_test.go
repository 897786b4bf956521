package provider_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// TestRecord: what a live check writes down are samples that pass, without a
// secret.
func TestRecord(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
	}{{"archetype", nil}, {"fileai", nil}, {"openai", map[string]string{"purpose": "batch", "md5": "hex"}}, {"upscayl", nil}} {
		t.Run(c.name, func(t *testing.T) {
			d, err := provider.Load(c.name)
			if err != nil {
				t.Fatal(err)
			}
			server := &sandbox.Server{API: c.name, Dir: t.TempDir(), Key: goodKey}
			base := serveSandbox(t, server)
			record := &check.Transcript{Client: &transport.Client{}, Base: base, Hide: []string{goodKey}}
			p, err := d.Open(provider.Settings{Base: base, Keys: []provider.Secret{contractKey(goodKey)}, Options: c.options, Client: record})
			if err != nil {
				t.Fatal(err)
			}
			options := map[string]any{}
			for k, v := range c.options {
				options[k] = v
			}
			live := check.Live{Provider: p, Aborts: d.Abilities.Aborts, Record: record, Options: options}
			if _, err := live.Run(t.Context(), upload.File{Name: "a b.txt", Type: "text/plain"}, []byte("some bytes\n")); err != nil {
				t.Fatal(err)
			}
			samples, err := record.YAML()
			if err != nil || !bytes.HasPrefix(samples, []byte("samples:\n")) {
				t.Fatalf("%v: %.80s", err, samples)
			}
			if bytes.Contains(samples, []byte(goodKey)) || strings.Contains(strings.ReplaceAll(string(samples), "Signature=REDACTED", ""), "Signature=") {
				t.Errorf("a secret is written down:\n%s", samples)
			}
			text := strings.NewReplacer("\nname: ", "\nname: own-", ", env: "+d.KeyEnv(), "").Replace(string(d.Text)) + string(samples)
			own, err := provider.Load(write(t, "own.yaml", text))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := check.Samples(t.Context(), own); err != nil || n < 3 {
				t.Errorf("%d samples, %v", n, err)
			}
		})
	}
}
