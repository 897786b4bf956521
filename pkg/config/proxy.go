package config

import (
	"errors"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

var (
	httpsProxy = []string{"HTTPS_PROXY", "https_proxy"}
	httpProxy  = []string{"HTTP_PROXY", "http_proxy"}
	allProxy   = []string{"ALL_PROXY", "all_proxy"}
)

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

// CheckProxy refuses a variable that should name a proxy and holds no address of
// one: it would be ignored, silently, by what reads it. Of HTTPS_PROXY and
// https_proxy, or HTTP_PROXY and http_proxy, the first that is set counts. What it
// holds is not shown: there may be a password in it.
func CheckProxy() error {
	for _, names := range [][]string{slices.Concat(httpsProxy, allProxy), httpProxy} {
		for _, name := range names {
			v := os.Getenv(name)
			if v == "" || slices.Contains(httpsProxy, name) && v == fromAll {
				continue
			}
			if !isProxy(v) {
				return &Error{Where: name, Err: errors.New("is not the URL of a proxy, such as http://proxy.example:3128")}
			}
			break
		}
	}
	return nil
}

// isProxy reads an address as net/http does, which takes one without a scheme too.
func isProxy(s string) bool {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return false
	}
	if u.Port() == "" {
		return true
	}
	_, err = strconv.ParseUint(u.Port(), 10, 16)
	return err == nil
}
