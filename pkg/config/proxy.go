package config

import (
	"net/url"
	"os"
	"slices"
)

// BadProxy names the variable that should name a proxy for https and holds no
// address of one; empty: all is well. Such a variable is ignored, silently, by
// what reads it. What it holds is not shown: there may be a password in it.
func BadProxy() string {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		v := os.Getenv(name)
		if v == "" {
			continue
		}
		u, err := url.Parse(v)
		if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
			u, err = url.Parse("http://" + v)
		}
		if err != nil || u.Hostname() == "" {
			return name
		}
		return "" // the first that is set counts
	}
	return ""
}
