package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

// CheckURL parses an address and refuses one that bytes must not go to: only
// https, except for the loopback. What RFC 3986 allows stays as it is, since a
// signature may be over it; what it does not allow is percent-encoded, byte by
// byte.
func CheckURL(raw string) (*url.URL, error) {
	u, err := url.Parse(EscapeInvalid(raw))
	if err != nil {
		return nil, errors.New("not a URL") // the parser's error quotes it whole
	}
	switch {
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is not an absolute URL", RedactSigned(raw))
	case u.User != nil:
		return nil, fmt.Errorf("%s: a URL with a user name or password is refused", RedactSigned(raw))
	case u.Scheme == "https", u.Scheme == "http" && Loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, fmt.Errorf("%s: plain http is refused, except to this machine", RedactSigned(raw))
	}
	return nil, fmt.Errorf("%s: not an https URL", RedactSigned(raw))
}

// EscapeInvalid percent-encodes what RFC 3986 allows in neither path nor query
// of an address, whole or relative. Left to net/url, one such byte would have the
// rest of the path encoded again.
func EscapeInvalid(raw string) string {
	path := 0 // where it begins
	if before, rest, ok := strings.Cut(raw, "//"); ok && beforeHost().MatchString(before) {
		if path = strings.IndexAny(rest, "/?#"); path < 0 {
			return raw
		}
		path += len(raw) - len(rest)
	}
	var out strings.Builder
	done := 0
	for i := path; i < len(raw); i++ {
		if b := raw[i]; b == '%' && !escaped(raw[i:]) || b != '%' && !validByte(b) {
			fmt.Fprintf(&out, "%s%%%02X", raw[done:i], b)
			done = i + 1
		}
	}
	if done == 0 {
		return raw
	}
	return out.String() + raw[done:]
}

// beforeHost is what may stand before the // of an address.
var beforeHost = text.Pattern(`^(?:[A-Za-z][A-Za-z0-9+.-]*:)?$`)

// escaped reports whether s begins with a percent-encoded byte.
func escaped(s string) bool {
	hex := func(b byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", b) >= 0 }
	return len(s) > 2 && hex(s[1]) && hex(s[2])
}

func validByte(b byte) bool {
	switch {
	case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
		return true
	}
	return strings.IndexByte("-._~!$&'()*+,;=:@/?#", b) >= 0
}

// hostOf is what the Host header says of an address: without the port that its
// scheme has anyway. A signature is over it, and other clients leave it out.
func hostOf(u *url.URL) string {
	return strings.TrimSuffix(u.Host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
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
