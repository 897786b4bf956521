package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/transport"
)

// TestWhatTLSRefuses has servers that want what this client does not have. That
// stays so, and must not look like a network that is gone.
func TestWhatTLSRefuses(t *testing.T) {
	for name, config := range map[string]*tls.Config{
		"a client certificate, TLS 1.3":  {ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13},
		"a client certificate, TLS 1.2":  {ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12},
		"an old version":                 {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"a cipher that is not offered":   {MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}},
		"another protocol than HTTP/1.1": {NextProtos: []string{"spdy/9"}},
	} {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS, s.Config.ErrorLog = config, log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		c := &transport.Client{RootCAs: pool}
		for _, bulk := range []bool{true, false} {
			q := put(s.URL+"/o", strings.NewReader("x"), 1)
			q.Bulk = bulk
			var (
				reply *transport.Reply
				err   error
			)
			for range 3 { // what tells may be lost, as the connection is
				if reply, err = c.Do(t.Context(), q); reply != nil || errors.As(err, new(*transport.TLSError)) {
					break
				}
				q.Body = strings.NewReader("x")
			}
			if reply != nil && name == "another protocol than HTTP/1.1" {
				continue // its server speaks HTTP/1.1 whatever it says
			}
			e := failed(t, err)
			if e.Retry || !e.Unsent || transport.Unreached(err) || !errors.As(err, new(*transport.TLSError)) {
				t.Errorf("%s (bulk %t): %+v (%v), want a TLSError that is not retried", name, bulk, e, err)
			}
		}
	}
}

// A handshake that the network breaks is retried.
func TestTLSThatIsCutOff(t *testing.T) {
	for name, handle := range map[string]func(net net.Conn){
		"hung up":        func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _ = c.Close() },
		"reset":          func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); reset(c.(*net.TCPConn)) },
		"internal error": func(c net.Conn) { _, _ = c.Read(make([]byte, 1)); _, _ = c.Write([]byte{21, 3, 1, 0, 2, 2, 80}) },
	} {
		url := strings.Replace(sockets(t, func(c *net.TCPConn) { handle(c) }), "http:", "https:", 1)
		_, err := (&transport.Client{}).Do(t.Context(), put(url, strings.NewReader("x"), 1))
		if e := failed(t, err); !e.Retry || !e.Unsent {
			t.Errorf("%s: %+v (%v), want temporary", name, e, err)
		}
	}
}
