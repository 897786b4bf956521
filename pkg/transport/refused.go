package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/multiput/multiput/pkg/internal/text"
)

// ProxyError is a proxy that did not connect to the server. Nothing was sent to
// the server.
type ProxyError struct {
	Proxy  string // scheme, host and port
	Status int    // what it answered to CONNECT; 0: it is a SOCKS proxy
	Reason string // of a SOCKS proxy
	Denied bool   // whether it wants other credentials, or any
	Portal bool   // whether it is a captive portal: a network that wants a login first
}

func (e *ProxyError) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("the proxy %s refused to connect: %s", e.Proxy, e.Reason)
	}
	s := strings.TrimSpace(fmt.Sprintf("the proxy %s answered CONNECT with %d %s", e.Proxy, e.Status, http.StatusText(e.Status)))
	if e.Status == http.StatusOK {
		s += " and a web page"
	}
	return s
}

// Temporary reports whether the proxy may connect later: only its gateway
// errors say so.
func (e *ProxyError) Temporary() bool {
	return slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, e.Status)
}

// connected turns a proxy's refusal of CONNECT into a ProxyError: net/http has
// only its text, which reads as if the server had said it.
func connected(_ context.Context, proxy *url.URL, _ *http.Request, reply *http.Response) error {
	page := reply.ContentLength > 0 && strings.HasPrefix(reply.Header.Get("Content-Type"), "text/html")
	if reply.StatusCode == http.StatusOK && !page {
		return nil
	}
	denied := reply.StatusCode == http.StatusProxyAuthRequired || reply.StatusCode == http.StatusUnauthorized
	return &ProxyError{Proxy: origin(proxy), Status: reply.StatusCode, Denied: denied, Portal: page && reply.StatusCode == http.StatusOK || isPortal(reply)}
}

// isPortal reports whether a reply is one with which a captive portal sends people to
// its login.
func isPortal(reply *http.Response) bool {
	return reply.StatusCode == http.StatusNetworkAuthenticationRequired || reply.StatusCode/100 == 3 && reply.Header.Get("Location") != ""
}

// NotHTTPError is an answer that is not HTTP.
type NotHTTPError struct {
	Proxy string // which proxy gave it, to CONNECT; empty: the server did
	Err   error
	Final bool // whether it came so often that it is not an accident
}

func (e *NotHTTPError) Error() string {
	who := "the server"
	if e.Proxy != "" {
		who = "the proxy " + e.Proxy
	}
	return who + " does not speak HTTP: " + e.Err.Error()
}

func (e *NotHTTPError) Unwrap() error { return e.Err }

// oddTries is how many answers in a row are not HTTP before that is no accident.
const oddTries = 3

// notHTTP is what of an error says that an answer was not HTTP; nil: nothing does.
// What net/http says has no type. An answer that was cut off in its first line is
// no such: what came of it is the beginning of one in HTTP.
func notHTTP(err error) error {
	for ; err != nil; err = errors.Unwrap(err) {
		said, is := strings.CutPrefix(err.Error(), "malformed HTTP ")
		if !is {
			continue
		}
		if cutOff().MatchString(said) {
			return nil
		}
		return err
	}
	return nil
}

// cutOff matches what net/http could not read of "HTTP/1.1 200" because the rest
// is missing.
var cutOff = text.Pattern(`^(status code "\d{0,2}"|(response|version) "(H(T(T(P(/(1(\.[01]?)?)?)?)?)?)?)?")$`)

// throughProxy names the proxy in an error of the way to it or beyond it, where
// net/http does not. What a SOCKS proxy refuses for good is a ProxyError.
func throughProxy(err error, req *http.Request) error {
	var op, dial *net.OpError
	if !errors.As(err, &op) || op.Op != "proxyconnect" && op.Op != "socks connect" {
		return err
	}
	proxy, unset := http.ProxyFromEnvironment(req)
	if unset != nil || proxy == nil {
		return err
	}
	reason := strings.TrimPrefix(Clean(op.Err.Error()), "unknown error ")
	if denied, ok := socksRefusals[reason]; ok {
		return &ProxyError{Proxy: origin(proxy), Reason: reason, Denied: denied}
	}
	what := "cannot be reached"
	if op.Op == "socks connect" && !errors.As(op.Err, &dial) {
		what = "cannot connect"
	}
	var number syscall.Errno
	if op.Op == "proxyconnect" && errors.As(op.Err, &number) {
		reason = number.Error() // without the address again
	}
	return &proxyTrouble{fmt.Sprintf("the proxy %s %s: %s", origin(proxy), what, reason), op.Err}
}

// ByProxy says what a proxy answered, or why it cannot be reached, where that is what
// failed; empty: it is not.
func ByProxy(err error) string {
	var (
		answered *ProxyError
		trouble  *proxyTrouble
	)
	switch {
	case errors.As(err, &answered):
		return answered.Error()
	case errors.As(err, &trouble):
		return trouble.Error()
	}
	return ""
}

// proxyTrouble is an error of the way to a proxy, or of one that cannot connect
// now.
type proxyTrouble struct {
	text string
	err  error
}

func (e *proxyTrouble) Error() string { return e.text }
func (e *proxyTrouble) Unwrap() error { return e.err }

func origin(u *url.URL) string { return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String() }

// RedirectError is an answer that sends the request elsewhere. It is never
// followed: a key or a signature is for the server that it was meant for.
type RedirectError struct {
	// To is its scheme, host and port, or what the server named; empty: it did not say.
	// On the server that was asked, and not of a presigned URL, the path is there too.
	To     string
	Same   bool // whether it leads to the server that was asked
	Signed bool // whether it answered a presigned URL
}

func (e *RedirectError) Error() string {
	if e.To == "" {
		return "a redirect is not followed"
	}
	return "a redirect is not followed; it leads to " + e.To
}

// Redirect says where a reply sends the request, by its Location. signed: the
// request went to a presigned URL.
func (r *Reply) Redirect(signed bool) *RedirectError {
	e := &RedirectError{Signed: signed}
	to := r.Header.Get("Location")
	base, err := url.Parse(EscapeInvalid(r.url))
	if err != nil || to == "" {
		return e
	}
	if u, err := base.Parse(EscapeInvalid(to)); err == nil && u.Host != "" {
		e.To, e.Same = Clean(origin(u)), origin(u) == origin(base)
		if e.Same && !signed {
			e.To += Clean(u.EscapedPath())
		}
	}
	return e
}

// TLSError is a TLS connection that one of the sides refused: no common version
// or cipher, a client certificate that is missing. Nothing that was sent was
// read.
type TLSError struct{ Err error }

func (e *TLSError) Error() string { return "no TLS connection: " + e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// refused makes a ProxyError, a TLSError or a NotHTTPError of an error that is one, and leaves
// any other as it is.
func (c *Client) refused(err error, w *watch, req *http.Request) error {
	var (
		verify *tls.CertificateVerificationError
		header tls.RecordHeaderError
		op     *net.OpError
	)
	err = throughProxy(err, req)
	if odd := notHTTP(err); odd != nil {
		e := &NotHTTPError{Err: odd, Final: c.odd.Add(1) >= oddTries}
		if proxy, unset := http.ProxyFromEnvironment(req); unset == nil && proxy != nil && w.conn.Load() == nil {
			e.Proxy = origin(proxy)
		}
		return e
	}
	handshake := w.handshake.Load()
	if cut := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); cut && handshake == nil && w.conn.Load() == nil {
		if proxy, unset := http.ProxyFromEnvironment(req); unset == nil && proxy != nil {
			return &proxyTrouble{fmt.Sprintf("the proxy %s closed the connection", origin(proxy)), err}
		}
	}
	switch {
	case errors.As(err, &verify), errors.As(err, &header), errors.Is(err, http.ErrSchemeMismatch):
		return err // known as they are
	case errors.As(err, &op) && op.Op == "remote error" && !passing(op.Err):
		return &TLSError{err}
	case handshake != nil && errors.Is(err, *handshake) && !lostConnection(err):
		return &TLSError{err}
	case w.asked.Load() && !w.answered.Load() && lostConnection(err) && c.bare.Add(1) >= bareTries:
		return &TLSError{fmt.Errorf("the server requires a client certificate and closed the connection (%w)", err)}
	}
	return err
}

// bareTries is how often a server may want a client certificate and hang up
// before that is its answer. Its alert is often lost: it closes a connection on
// which the request is already under way.
const bareTries = 3

// noCertificate stands for a missing client certificate. It notes that one
// was requested, which alone is not a failure: it may be optional.
func noCertificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if w, ok := info.Context().Value(watchKey{}).(*watch); ok {
		w.asked.Store(true)
	}
	return &tls.Certificate{}, nil
}

// passing reports whether a TLS alert is of a kind that another connection may
// not meet: damage on the way, trouble at the server.
func passing(alert error) bool {
	const badRecordMAC, internalError, userCanceled = 20, 80, 90
	v := reflect.ValueOf(alert) // crypto/tls has no name for its type
	return v.Kind() == reflect.Uint8 && slices.Contains([]uint64{badRecordMAC, internalError, userCanceled}, v.Uint())
}

// lostConnection reports whether an error is of the network and not of TLS.
func lostConnection(err error) bool {
	var (
		number syscall.Errno
		late   net.Error
		op     *net.OpError
	)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &number):
		return true
	case errors.As(err, &late) && late.Timeout(), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	return errors.As(err, &op) && op.Op == "remote error" // passing
}

// socksRefusals are what net/http says when a SOCKS proxy refuses for good, and
// whether it is for want of credentials. They have no types; "unknown error" stands
// before some.
var socksRefusals = map[string]bool{
	"username/password authentication failed": true,
	"no acceptable authentication methods":    true,
	"connection not allowed by ruleset":       false,
	"command not supported":                   false,
	"address type not supported":              false,
}
