package config

import "testing"

func TestBadProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "")
	for value, want := range map[string]string{
		"": "", "http://proxy.example:3128": "", "proxy.example:3128": "", "socks5://u:p@proxy.example": "", "10.0.0.1:80": "",
		"http://u:p@%zz": "https_proxy", "http://": "https_proxy", "u:p w@x y": "https_proxy",
	} {
		t.Setenv("https_proxy", value)
		if got := BadProxy(); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
