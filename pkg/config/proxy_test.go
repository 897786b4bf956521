package config

import (
	"os"
	"testing"
)

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

func TestAllProxy(t *testing.T) {
	t.Cleanup(func() { fromAll = "" })
	for _, c := range []struct{ https, lower, all, want, bad string }{
		{"", "", "socks5h://127.0.0.1:1080", "socks5h://127.0.0.1:1080", ""},
		{"http://p.example:1", "", "socks5h://127.0.0.1:1080", "http://p.example:1", ""},
		{"", "http://p.example:2", "http://p.example:3", "", ""},
		{"", "", "", "", ""},
		{"", "", "http://u:p@%zz", "http://u:p@%zz", "ALL_PROXY"},
	} {
		for name, value := range map[string]string{"HTTPS_PROXY": c.https, "https_proxy": c.lower, "ALL_PROXY": c.all, "all_proxy": ""} {
			t.Setenv(name, value)
		}
		fromAll = ""
		if err := UseAllProxy(); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("HTTPS_PROXY"); got != c.want {
			t.Errorf("%+v: HTTPS_PROXY is %q", c, got)
		}
		if got := BadProxy(); got != c.bad {
			t.Errorf("%+v: BadProxy says %q", c, got)
		}
	}
}
