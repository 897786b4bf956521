package transport

import (
	"net/url"
	"testing"
)

func mustURL(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := CheckURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestHostHasNoDefaultPort looks at the header that every signature is over.
func TestHostHasNoDefaultPort(t *testing.T) {
	for given, want := range map[string]string{
		"https://Store.example:443/o":  "Store.example",
		"https://store.example:8443/o": "store.example:8443",
		"https://store.example:80/o":   "store.example:80",
		"https://store.example/o:443":  "store.example",
		"https://[2001:db8::1]:443/o":  "[2001:db8::1]",
		"http://127.0.0.1:80/o":        "127.0.0.1",
		"http://127.0.0.1:443/o":       "127.0.0.1:443",
		"http://[::1]:80":              "[::1]",
	} {
		if got := hostOf(mustURL(t, given)); got != want {
			t.Errorf("%s: Host is %q, want %q", given, got, want)
		}
	}
}
