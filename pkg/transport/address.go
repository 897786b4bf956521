package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL parses an address and refuses one that bytes must not go to: only
// https, except for the loopback.
func CheckURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the address is not a URL") // the parser's error quotes it whole
	}
	switch {
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is not an absolute URL", Redact(raw))
	case u.User != nil:
		return nil, fmt.Errorf("%s: a URL with a user name or password is refused", Redact(raw))
	case u.Scheme == "https", u.Scheme == "http" && Loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("%s: plain http is refused, except to this machine", Redact(raw))
	}
	return nil, fmt.Errorf("%s: not an https URL", Redact(raw))
}

// Origin is the scheme, host and port of an address that CheckURL accepts.
func Origin(raw string) (string, error) {
	u, err := CheckURL(raw)
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port), nil
}

// Loopback reports whether host can only be this machine.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
