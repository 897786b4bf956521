package e2e

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// answering is a server that gives every connection the same answer.
func answering(t *testing.T, answer string) (address string, asked *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				if n, _ := c.Read(make([]byte, 8<<10)); n == 0 {
					return
				}
				asked.Add(1)
				_, _ = c.Write([]byte(answer))
				_ = c.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, c) // closing with something unread would take the answer back
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String(), asked
}

// TestCaptivePortal: a network that wants a login first, and what does not speak
// HTTP at all, is no network that is gone. That ends soon, and is said.
func TestCaptivePortal(t *testing.T) {
	const (
		page  = "Content-Type: text/html\r\nContent-Length: 16\r\n\r\n<h1>Log in!</h1>"
		login = "a captive portal"
	)
	for name, c := range map[string]struct{ answer, viaProxy, direct, hint string }{
		"redirect": {"HTTP/1.1 302 Found\r\nLocation: http://login.wifi.example/?a\r\nContent-Length: 0\r\n\r\n", "answered CONNECT with 302 Found", "http://login.wifi.example", login},
		"511":      {"HTTP/1.1 511 Network Authentication Required\r\nConnection: close\r\n" + page, "answered CONNECT with 511 Network Authentication Required", "511", login},
		"page":     {"HTTP/1.1 200 OK\r\nConnection: close\r\n" + page, "answered CONNECT with 200 OK and a web page", "text/html", ""},
		"not HTTP": {"220 mail.example ESMTP\r\n", "does not speak HTTP", "the server does not speak HTTP", "HTTPS_PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, base := proxied(t)
			address, asked := answering(t, c.answer)
			file, env := r.file(t, 1000), r.env
			for _, way := range []struct{ base, proxy, says string }{
				{base, "HTTPS_PROXY=http://" + address, "the proxy http://" + address + " " + c.viaProxy},
				{"http://" + address, "NO_PROXY=*", c.direct},
			} {
				asked.Store(0)
				r.env = append(append([]string(nil), env...), way.proxy)
				_, messages, code := r.said(t, "upload", "-p", "archetype", "--base-url", way.base, "--restart", file)
				// What hangs up before it is asked in full may be a broken connection
				// now and then; three answers suffice.
				if code != exitFailed || asked.Load() > 10 || !strings.Contains(messages, way.says) || !strings.Contains(messages, c.hint) {
					t.Errorf("%s: exit code %d after %d requests: %s", way.proxy, code, asked.Load(), messages)
				}
				if name == "page" && way.base != base {
					continue // it speaks HTTP: that is all that doctor asks for
				}
				out, _, code := r.said(t, "doctor", "-p", "archetype", "--base-url", way.base)
				if code != exitFailed || !strings.Contains(out, c.hint) {
					t.Errorf("%s: doctor ends with %d: %s", way.proxy, code, out)
				}
			}
		})
	}
}
