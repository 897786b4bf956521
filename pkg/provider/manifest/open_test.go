package manifest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

type key string

func (k key) Reveal() string { return string(k) }

// secret is one that every form of escaping changes.
const secret = `s3cr3t/K&y+"<0123456789>"`

// mustParse is the manifest of this text.
func mustParse(t testing.TB, text []byte) *Manifest {
	t.Helper()
	m, err := Parse("acme.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// serve opens the manifest on a server of its own. Under /v1 it is the API;
// {server} in the answers is its address.
func serve(t testing.TB, m *Manifest, options map[string]string, h http.HandlerFunc) (spec.Provider, string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p, err := m.Open(spec.Settings{Base: server.URL + "/v1", Keys: []spec.Secret{key(secret)}, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	return p, server.URL
}

func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var kind = map[string]string{"kind": "a"}

func TestOpenBase(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for base, want := range map[string]string{
		"":                             "https://acme.example/v1",
		"https://ACME.example/":        "https://acme.example",
		"https://acme.example/a/b//":   "https://acme.example/a/b",
		"http://127.0.0.1:8080":        "http://127.0.0.1:8080",
		"http://[::1]:8080/x":          "http://[::1]:8080/x",
		"http://localhost/x":           "http://localhost/x",
		"http://acme.example":          "",
		"http://127.0.0.1.evil.com":    "",
		"https://acme.example?k=v":     "",
		"https://acme.example#f":       "",
		"https://u:p@acme.example":     "",
		"acme.example":                 "",
		"ftp://acme.example":           "",
		"https://":                     "",
		"https://acme.example/a/../b":  "",
		"https://acme.example/%2e%2e/": "",
	} {
		p, err := m.Open(spec.Settings{Base: base, Keys: []spec.Secret{key(secret)}, Options: kind})
		var bad *spec.BaseError
		switch {
		case want == "" && (!errors.As(err, &bad) || strings.Contains(err.Error(), "u:p")):
			t.Errorf("%s: %v", base, err)
		case want != "" && (err != nil || p.Target().Base != want):
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestOpenWithoutBase(t *testing.T) {
	m := mustParse(t, edit(t, "base: https://acme.example/v1/\n", ""))
	var bad *spec.BaseError
	if _, err := m.Open(spec.Settings{Keys: []spec.Secret{key(secret)}, Options: kind}); !errors.As(err, &bad) {
		t.Errorf("opened: %v", err)
	}
	given := spec.Settings{Base: "http://127.0.0.1:1", Keys: []spec.Secret{key(secret)}, Options: kind}
	p, err := m.Open(given)
	if err != nil || p.Target().Base != given.Base {
		t.Errorf("the address is no part of the identity: %v", err)
	}
	if p, err = m.Moving().Open(given); err != nil || p.Target().Base != "" {
		t.Errorf("an address that changes is part of the identity: %v", err)
	}
}

func TestOpenKey(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for k, want := range map[string]string{
		"":                 "no API key is set (ACME_KEY)",
		"abc\n":            "white space",
		" abc":             "white space",
		"abc\r\nX-Evil: 1": "a character in it that no key has",
		"abc\x00def":       "a character in it that no key has",
		"“abc”":            "a character in it that no key has",
	} {
		_, err := m.Open(spec.Settings{Keys: []spec.Secret{key(k)}, Options: kind})
		if !errors.Is(err, upload.ErrDenied) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "abc") {
			t.Errorf("%q: %v", k, err)
		}
	}
	if _, err := m.Open(spec.Settings{Options: kind}); !errors.Is(err, upload.ErrDenied) {
		t.Errorf("without a key: %v", err)
	}
	open := mustParse(t, edit(t, `auth: {header: X-Key, value: "Token {secret}", env: ACME_KEY}`+"\n", ""))
	if _, err := open.Open(spec.Settings{Options: kind}); err != nil || open.Definition().NeedsKey() {
		t.Errorf("an API without auth needs a key: %v", err)
	}
}

func TestOpenOptions(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for _, c := range []struct {
		set    map[string]string
		option string
		want   string
	}{
		{nil, "kind", "has to be set (what it is for)"},
		{map[string]string{"kind": ""}, "kind", "is not one of a, b"},
		{map[string]string{"kind": "c"}, "kind", `"c" is not one of a, b`},
		{map[string]string{"kind": "a", "dyas": "4"}, "dyas", `did you mean "days"?`},
		{map[string]string{"kind": "a", "zzzzzz": "4"}, "zzzzzz", "there is no such option"},
		{map[string]string{"kind": "a", "days": "4.5"}, "days", `"4.5" is not a whole number`},
		{map[string]string{"kind": "a", "ratio": "much"}, "ratio", `"much" is not a number`},
		{map[string]string{"kind": "a", "ratio": "[1]"}, "ratio", `"[1]" is not a number`},
		{map[string]string{"kind": "a", "ratio": "1e400"}, "ratio", `"1e400" has a number that is too large`},
		{map[string]string{"kind": "a", "extra": "[1e400]"}, "extra", `"[1e400]" has a number that is too large`},
		{map[string]string{"kind": "a", "open": "yes"}, "open", `"yes" is neither true nor false`},
		{map[string]string{"kind": "a", "extra": "{"}, "extra", "is not JSON"},
		{map[string]string{"kind": "a", "extra": "null"}, "extra", "null"},
	} {
		_, err := m.Open(spec.Settings{Keys: []spec.Secret{key(secret)}, Options: c.set})
		var e *spec.OptionError
		if !errors.As(err, &e) || e.Option != c.option || !strings.Contains(e.Reason, c.want) || len(e.Known) != 6 ||
			!strings.Contains(err.Error(), "its options: kind, days, ratio, open, extra, pass") {
			t.Errorf("%v: %v; want %s: %s", c.set, err, c.option, c.want)
		}
	}
	if _, err := m.Open(spec.Settings{}); err == nil || errors.Is(err, upload.ErrDenied) {
		t.Errorf("a wrong option comes before a missing key: %v", err)
	}
	set := map[string]string{"kind": "b", "days": "7", "ratio": "1e2", "open": "true", "extra": `{"b":[1,null]}`, "pass": "hunter22"}
	p, err := m.Open(spec.Settings{Keys: []spec.Secret{key(secret)}, Options: set})
	if err != nil {
		t.Fatal(err)
	}
	target := p.Target()
	want := upload.Target{Provider: "acme", Base: "https://acme.example/v1",
		Options: json.RawMessage(`{"days":7,"extra":{"b":[1,null]},"kind":"b","open":true,"ratio":100}`)}
	if target.Provider != want.Provider || target.Base != want.Base || string(target.Options) != string(want.Options) {
		t.Errorf("goes to %+v with %s", target, target.Options)
	}
	p, err = mustParse(t, edit(t, "required: true, ", "")).Open(spec.Settings{Keys: []spec.Secret{key(secret)}})
	if err != nil || p.Target().Options != nil {
		t.Errorf("options that were not set are part of the identity: %v", err)
	}
}
