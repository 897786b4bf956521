package transport

import (
	"errors"
	"net/http"
	"net/url"
)

// Proxy is the proxy that exchanges with an address go through, without its user
// and password; nil: none. Its error quotes nothing, as what is wrong may be the
// password.
func Proxy(address string) (*url.URL, error) {
	u, err := CheckURL(address)
	if err != nil {
		return nil, err
	}
	p, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return nil, errors.New("HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy")
	}
	if p == nil {
		return nil, nil
	}
	return &url.URL{Scheme: p.Scheme, Host: p.Host}, nil
}
