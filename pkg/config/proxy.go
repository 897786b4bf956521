package config

import (
	"net/url"
	"os"
	"slices"
)

var httpsProxy, allProxy = []string{"HTTPS_PROXY", "https_proxy"}, []string{"ALL_PROXY", "all_proxy"}

// fromAll is what UseAllProxy made of ALL_PROXY.
var fromAll string

// UseAllProxy has ALL_PROXY count where no variable names a proxy for https, as
// it does for curl: net/http, which reads the others, does not know it. It is to
// be called before the first request.
func UseAllProxy() error {
	for _, name := range slices.Concat(httpsProxy, allProxy) {
		v := os.Getenv(name)
		switch {
		case v == "":
		case slices.Contains(httpsProxy, name):
			return nil
		default:
			fromAll = v
			return os.Setenv(httpsProxy[0], v)
		}
	}
	return nil
}

// BadProxy names the variable that should name a proxy for https and holds no
// address of one; empty: all is well. Such a variable is ignored, silently, by
// what reads it. What it holds is not shown: there may be a password in it.
func BadProxy() string {
	for _, name := range slices.Concat(httpsProxy, allProxy) {
		v := os.Getenv(name)
		if v == "" || slices.Contains(httpsProxy, name) && v == fromAll {
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
