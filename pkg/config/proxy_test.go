package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestCheckProxy(t *testing.T) {
	for _, name := range slices.Concat(httpsProxy, httpProxy, allProxy) {
		t.Run(name, func(t *testing.T) {
			for _, other := range slices.Concat(httpsProxy, httpProxy, allProxy) {
				t.Setenv(other, "")
			}
			for value, good := range map[string]bool{
				"": true, "http://proxy.example:3128": true, "proxy.example:3128": true, "proxy.example": true, "socks5://u:p@proxy.example": true,
				"socks5h://[::1]:1080": true, "10.0.0.1:80": true, "https://proxy.example/": true, "u:hunter2@proxy.example:80": true,
				"%%": false, "http://u:hunter2@%zz": false, "http://": false, "u:hunter2@x y": false, "http://u:hunter2@proxy.example:99999": false,
				"ftp://proxy.example": false, "socks4://u:hunter2@proxy.example": false, "proxy.example:port": false, " ": false, ":8080": false,
				"http//proxy.example:3128": true, // a host and a path
			} {
				t.Setenv(name, value)
				err := CheckProxy()
				if (err == nil) != good || err != nil && (!strings.HasPrefix(err.Error(), name+": ") || strings.Contains(err.Error(), "hunter2")) {
					t.Errorf("%q: %v", value, err)
				}
			}
		})
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
		for name, value := range map[string]string{"HTTPS_PROXY": c.https, "https_proxy": c.lower, "ALL_PROXY": c.all, "all_proxy": "", "HTTP_PROXY": "", "http_proxy": ""} {
			t.Setenv(name, value)
		}
		fromAll = ""
		if err := UseAllProxy(); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("HTTPS_PROXY"); got != c.want {
			t.Errorf("%+v: HTTPS_PROXY is %q", c, got)
		}
		if err := CheckProxy(); (err == nil) != (c.bad == "") || err != nil && !strings.HasPrefix(err.Error(), c.bad+": ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
