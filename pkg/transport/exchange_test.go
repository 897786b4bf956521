package transport_test

import (
	"bufio"
	"compress/gzip"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// TestWhatIsOnTheWire reads the request as it came: a presigned URL is signed
// for headers, and a store wants a length.
func TestWhatIsOnTheWire(t *testing.T) {
	for _, bulk := range []bool{false, true} {
		for _, size := range []int64{0, 1, 100_000} {
			t.Run(fmt.Sprintf("bulk=%t,%d bytes", bulk, size), func(t *testing.T) {
				got := make(chan []string, 1)
				url := sockets(t, func(c *net.TCPConn) {
					r := bufio.NewReader(c)
					lines, err := head(r)
					if err != nil {
						return
					}
					n, _ := io.CopyN(io.Discard, r, size)
					got <- append(lines, fmt.Sprintf("body %d", n))
					answer(c, 200, "")
				})
				c := &transport.Client{UserAgent: "multiput/test"}
				q := put(url+"/o?X-Amz-Signature=a%2Fb+c", strings.NewReader(strings.Repeat("x", int(size)+10)), size)
				q.Bulk = bulk
				q.Header = http.Header{"x-amz-meta": {"1"}, "Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}}
				if _, err := c.Do(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				lines := <-got
				host := "Host: " + strings.TrimPrefix(url, "http://")
				want := []string{
					"PUT /o?X-Amz-Signature=a%2Fb+c HTTP/1.1", host, "User-Agent: multiput/test",
					fmt.Sprintf("Content-Length: %d", size), "X-Amz-Meta: 1", fmt.Sprintf("body %d", size),
				}
				slices.Sort(lines)
				slices.Sort(want)
				if !slices.Equal(lines, want) {
					t.Errorf("on the wire:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}

// Without a body there is no length to a GET, and one of zero to a POST.
// TestURLIsSentAsItCame reads the request line: a signature is over every byte
// of it.
func TestURLIsSentAsItCame(t *testing.T) {
	for given, want := range map[string]string{
		"":                            "/",
		"?a=b":                        "/?a=b",
		"/a%2Fb%2bc":                  "/a%2Fb%2bc",
		"/%41%7e/..//.;x=1/":          "/%41%7e/..//.;x=1/",
		"/!$&'()*+,;=:@-._~":          "/!$&'()*+,;=:@-._~",
		"/a%2Fb/c d%2Be":              "/a%2Fb/c%20d%2Be",
		"/a%2Fb/{c}|\\^`\"<>[0]%2Be":  "/a%2Fb/%7Bc%7D%7C%5C%5E%60%22%3C%3E%5B0%5D%2Be",
		"/%2Fü%2f":                    "/%2F%C3%BC%2f",
		"/%2F\xff\x00\n%2B":           "/%2F%FF%00%0A%2B",
		"/100%/%2F/%zz%4":             "/100%25/%2F/%25zz%254",
		"/o?name=two  words&s=a%2Fb+": "/o?name=two%20%20words&s=a%2Fb+",
		"/o?s=é|%7C&x=?/[]&&":         "/o?s=%C3%A9%7C%7C&x=?/%5B%5D&&",
		"/o?":                         "/o?",
		"/o?a=1#never sent":           "/o?a=1",
	} {
		got := make(chan string, 1)
		server := sockets(t, func(c *net.TCPConn) {
			lines, err := head(bufio.NewReader(c))
			if err != nil {
				got <- err.Error()
				return
			}
			got <- lines[0]
			answer(c, 200, "")
		})
		if _, err := (&transport.Client{}).Do(t.Context(), put(server+given, nil, 0)); err != nil {
			t.Errorf("%q: %v", given, err)
			continue
		}
		if line := <-got; line != "PUT "+want+" HTTP/1.1" {
			t.Errorf("%q went as %q, want %q", given, line, want)
		}
	}
}

func TestNoBody(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %d %v %s", r.Method, r.ContentLength, r.TransferEncoding, r.Header.Get("Content-Length"))
	})
	c := &transport.Client{}
	for method, want := range map[string]string{"GET": "GET 0 [] ", "POST": "POST 0 [] 0"} {
		reply, err := c.Do(t.Context(), transport.Request{Op: "ask", Method: method, URL: url})
		if err != nil || string(reply.Body) != want {
			t.Errorf("%q, %v; want %q", reply.Body, err, want)
		}
	}
}

func TestBodyShorterThanItsSize(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, err := (&transport.Client{}).Do(t.Context(), put(url, strings.NewReader("abc"), 4))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want io.ErrUnexpectedEOF", err)
	}
}

// What the source of the bytes says is not a network's error, and comes back as
// it is, even where the server had answered by then.
func TestErrorOfTheSource(t *testing.T) {
	changed := fmt.Errorf("file: %w", source.ErrChanged)
	for name, h := range map[string]http.HandlerFunc{
		"while it is read": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"answered early":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
	} {
		t.Run(name, func(t *testing.T) {
			body := io.MultiReader(zeros(1<<20), failing{changed})
			_, err := (&transport.Client{}).Do(t.Context(), put(serve(t, h), body, 2<<20))
			var e *transport.Error
			if name == "answered early" && errors.As(err, &e) {
				return // the answer was there before the source failed, and is no yes
			}
			if !errors.Is(err, source.ErrChanged) {
				t.Errorf("error %v, want source.ErrChanged", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Bool
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	c := &transport.Client{}
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", elsewhere)
			w.WriteHeader(status)
		})
		for _, bulk := range []bool{false, true} {
			q := put(url, strings.NewReader("abc"), 3)
			q.Bulk, q.Header = bulk, http.Header{"X-Api-Key": {"secret"}}
			reply, err := c.Do(t.Context(), q)
			if err != nil || reply.Status != status {
				t.Errorf("%d: reply %+v, error %v", status, reply, err)
			}
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestRefusedAddresses(t *testing.T) {
	for url, want := range map[string]bool{
		"https://api.example.com/v1":       true,
		"HTTPS://API.EXAMPLE.COM":          true,
		"http://127.0.0.1:8080/x":          true,
		"http://127.9.9.9/x":               true,
		"http://[::1]:8080/x":              true,
		"http://[::ffff:127.0.0.1]/x":      true,
		"http://localhost:1/x":             true,
		"http://LocalHost/x":               true,
		"http://example.com/":              false,
		"http://10.0.0.1/":                 false,
		"http://localhost.example.com/":    false,
		"http://127.0.0.1.example.com/":    false,
		"http://[::]/":                     false,
		"http://0.0.0.0/":                  false,
		"https://user:hunter22@h.example/": false,
		"http://hunter22@127.0.0.1/":       false,
		"ftp://example.com/":               false,
		"file:///etc/passwd":               false,
		"//example.com/":                   false,
		"example.com":                      false,
		"https://":                         false,
		"https://:443/":                    false,
		"https:hunter22@example.com":       false,
		"https://h%zz/?hunter22":           false,
		"":                                 false,
	} {
		_, err := transport.CheckURL(url)
		if (err == nil) != want {
			t.Errorf("%s: error %v, want one: %t", url, err, !want)
		}
		if err == nil {
			continue
		}
		_, err = (&transport.Client{}).Do(t.Context(), put(url, strings.NewReader("x"), 1))
		if e := failed(t, err); !e.Unsent || e.Retry || e.Status != 0 {
			t.Errorf("%s: %+v, want unsent and not to be retried", url, e)
		}
		if strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the error gives it away: %v", url, err)
		}
	}
}

// TestEncodedReplies has servers encode replies without being asked.
func TestEncodedReplies(t *testing.T) {
	zip := func(s string) string {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	const bom = "\ufeff"
	for _, c := range []struct {
		encoding, body, want, named string
		status                      int
	}{
		{encoding: "gzip", body: zip(`{"a":1}`), want: `{"a":1}`},
		{encoding: "X-GZip", body: zip(bom + "é"), want: "é"},
		{encoding: "identity", body: "x", want: "x"},
		{body: bom + "[]", want: "[]"},
		{body: bom, want: ""},
		{encoding: "gzip", body: "", want: ""},
		{encoding: "br", body: "\x8b\x00", want: "\x8b\x00", named: "br"},
		{encoding: "deflate", body: "x", want: "x", named: "deflate"},
		{encoding: "gzip, zstd", body: "x", want: "x", named: "gzip, zstd"},
		{encoding: "gzip", body: "no gzip", want: "no gzip", named: "broken gzip"},
		{encoding: "gzip", body: zip("of a whole")[:20], want: zip("of a whole")[:20], named: "broken gzip"},
		{encoding: "gzip", body: zip("busy"), want: "busy", status: 503},
		{body: zip(`{"b":[2]}`), want: `{"b":[2]}`},
		{encoding: "gzip, gzip", body: zip(zip(`{"c":3}`)), want: `{"c":3}`},
		{encoding: "gzip", body: zip(zip(`{"d":4}`)), want: `{"d":4}`},
		{encoding: "gzip", body: `{"e":5}`, want: `{"e":5}`},
		{encoding: "UTF-8", body: `{"f":6}`, want: `{"f":6}`},
		{encoding: "identity, x-gzip", body: zip("g"), want: "g"},
		{body: zip("cut off")[:15], want: zip("cut off")[:15], named: "broken gzip"},
		{body: "\xff\xfe{\x00\"\x00\xe9\x00\"\x00:\x001\x00}\x00", want: `{"é":1}`},
		{body: "\xfe\xff\x00[\xd8\x3d\xde\x00\x00]", want: "[😀]"},
		{encoding: "gzip", body: zip("\xff\xfe[\x00]\x00"), want: "[]"},
		{body: "[\x00]\x00", want: "[\x00]\x00", named: "UTF-16"},
	} {
		asked := make(chan string, 1)
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Header.Get("Accept-Encoding")
			if c.encoding != "" {
				w.Header().Set("Content-Encoding", c.encoding)
			}
			w.Header().Set("Content-Type", "application/json")
			if c.status != 0 {
				w.WriteHeader(c.status)
			}
			_, _ = io.WriteString(w, c.body)
		})
		reply, err := (&transport.Client{}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
		if err != nil || string(reply.Body) != c.want || reply.Encoding != c.named {
			t.Errorf("%q %q: %+v, %v", c.encoding, c.body, reply, err)
		}
		if sent := <-asked; sent != "" {
			t.Errorf("the request asks for %q", sent)
		}
	}
	// What decodes to more than an honest reply has is as long as it is.
	bomb := zip(strings.Repeat("0", transport.MaxReply+2))
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, bomb)
	})
	_, err := (&transport.Client{}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
	if e := failed(t, err); e.Retry || !strings.Contains(e.Error(), "longer than") {
		t.Errorf("a bomb: %v", err)
	}
}

func TestRepliesAreCapped(t *testing.T) {
	const bulkMost = 1 << 20
	tests := []struct {
		bulk   bool
		status int
		size   int64
		told   bool // the length, in advance
		gives  int  // bytes; -1: an error
	}{
		{bulk: true, status: 200, size: bulkMost, gives: bulkMost},
		{bulk: true, status: 200, size: bulkMost + 1, gives: -1},
		{bulk: true, status: 403, size: bulkMost + 1, gives: bulkMost}, // its beginning is enough to know why
		{bulk: true, status: 403, size: bulkMost + 1, told: true, gives: bulkMost},
		{bulk: false, status: 200, size: bulkMost + 1, gives: bulkMost + 1},
		{bulk: false, status: 200, size: transport.MaxReply + 1, told: true, gives: -1},
	}
	for _, test := range tests {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if test.told {
				w.Header().Set("Content-Length", strconv.FormatInt(test.size, 10))
			}
			w.WriteHeader(test.status)
			_, _ = io.CopyN(w, zero{}, test.size)
		})
		q := put(url, strings.NewReader("x"), 1)
		q.Bulk = test.bulk
		reply, err := (&transport.Client{}).Do(t.Context(), q)
		if test.gives < 0 {
			if e := failed(t, err); e.Retry || e.Unsent {
				t.Errorf("%+v: %+v, want one that is not retried", test, e)
			}
		} else if err != nil || reply.Status != test.status || len(reply.Body) != test.gives {
			t.Errorf("%+v: error %v", test, err)
		}
	}
}

// The length that an answer to HEAD has is that of an object, not of the answer.
func TestHeadOfLargeObject(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(5<<40))
		w.Header().Set("Content-Encoding", "gzip")
	})
	reply, err := (&transport.Client{}).Do(t.Context(), transport.Request{Op: "look", Method: "HEAD", URL: url})
	if err != nil || reply.Status != http.StatusOK || reply.Header.Get("Content-Length") != strconv.Itoa(5<<40) {
		t.Errorf("%+v, %v", reply, err)
	}
}

// Parts go over HTTP/1.1 and the API over whatever it offers, and neither
// disturbs the other.
func TestProtocols(t *testing.T) {
	for _, first := range []bool{false, true} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintf(w, "%s %d", r.Proto, n)
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		defer s.Close()
		c := &transport.Client{RootCAs: x509.NewCertPool()}
		c.RootCAs.AddCert(s.Certificate())
		for i := range 4 {
			bulk, want := first == (i%2 == 0), "HTTP/2.0 5"
			if bulk {
				want = "HTTP/1.1 5"
			}
			q := put(s.URL, strings.NewReader("12345"), 5)
			q.Bulk = bulk
			reply, err := c.Do(t.Context(), q)
			if err != nil || string(reply.Body) != want {
				t.Errorf("bulk %t: %+v, %v; want %s", bulk, reply, err, want)
			}
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Config.ErrorLog = nil
	defer s.Close()
	_, err := (&transport.Client{}).Do(t.Context(), put(s.URL, strings.NewReader("x"), 1))
	if e := failed(t, err); e.Retry || !e.Unsent {
		t.Errorf("%+v, want one that is unsent and not retried", e)
	}
}

func TestUnsentOnlyWithoutAConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	_ = l.Close()
	_, err = (&transport.Client{}).Do(t.Context(), put(closed, strings.NewReader("x"), 1))
	if e := failed(t, err); !e.Unsent || !e.Retry {
		t.Errorf("no listener: %+v, want unsent and temporary", e)
	}
	hangsUp := sockets(t, func(c *net.TCPConn) {
		_, _ = head(bufio.NewReader(c))
		reset(c)
	})
	_, err = (&transport.Client{}).Do(t.Context(), put(hangsUp, strings.NewReader("x"), 1))
	if e := failed(t, err); e.Unsent || !e.Retry {
		t.Errorf("hung up: %+v, want sent and temporary", e)
	}
}

func TestResetInTheMiddle(t *testing.T) {
	url := sockets(t, func(c *net.TCPConn) {
		_, _ = io.CopyN(io.Discard, c, 300_000)
		reset(c)
	})
	_, err := (&transport.Client{}).Do(t.Context(), put(url, zeros(64<<20), 64<<20))
	if e := failed(t, err); e.Unsent || !e.Retry || e.Status != 0 {
		t.Errorf("%+v, want temporary, without a status", e)
	}
}

// A yes to a part that was not read is none: a store that cuts a part short
// must not be believed.
func TestConfirmedBeforeTheEnd(t *testing.T) {
	url := sockets(t, func(c *net.TCPConn) {
		_, _ = io.CopyN(io.Discard, c, 100_000)
		answer(c, 200, "")
		_, _ = io.Copy(io.Discard, c)
	})
	_, err := (&transport.Client{}).Do(t.Context(), put(url, zeros(64<<20), 64<<20))
	if e := failed(t, err); !e.Retry || e.Status != 0 {
		t.Errorf("%+v, want temporary, without a status", e)
	}
}

// TestRefusalWhileTheBodyIsSent: stores refuse a part as soon as they have read
// its headers, and many hang up at once, which resets the connection. What they
// said is worth more than the failed write.
func TestRefusalWhileTheBodyIsSent(t *testing.T) {
	const why = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
	for name, after := range map[string]func(*net.TCPConn){
		"hangs up":   func(c *net.TCPConn) { _ = c.Close() }, // what is unread makes it a reset
		"reads on":   func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) },
		"stays open": func(*net.TCPConn) {},
	} {
		t.Run(name, func(t *testing.T) {
			url := sockets(t, func(c *net.TCPConn) {
				if _, err := head(bufio.NewReaderSize(c, 16)); err == nil {
					answer(c, 403, why)
					after(c)
				}
			})
			c := &transport.Client{}
			var tries sync.WaitGroup
			for range 40 {
				tries.Go(func() {
					reply, err := c.Do(t.Context(), put(url, zeros(64<<20), 64<<20))
					if err != nil {
						t.Errorf("error %v, want the status 403", err)
					} else if reply.Status != 403 || string(reply.Body) != why {
						t.Errorf("status %d, %q", reply.Status, reply.Body)
					}
				})
			}
			tries.Wait()
		})
	}
}

// Of a refusal that is cut short the status still counts; a yes must be whole.
func TestReplyCutShort(t *testing.T) {
	for status, fails := range map[int]bool{200: true, 404: false, 503: false} {
		url := sockets(t, func(c *net.TCPConn) {
			if _, err := head(bufio.NewReader(c)); err == nil {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: 100\r\n\r\nonly this", status)
				_ = c.CloseWrite()
				_, _ = io.Copy(io.Discard, c)
			}
		})
		reply, err := (&transport.Client{}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
		if fails {
			if e := failed(t, err); !e.Retry {
				t.Errorf("%d: %+v", status, e)
			}
		} else if err != nil || reply.Status != status || string(reply.Body) != "only this" {
			t.Errorf("%d: %+v, %v", status, reply, err)
		}
	}
}

func TestTraceTellsNoSecret(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		id := "req-7"
		if r.URL.Query().Get("partNumber") == "" {
			id = "hunter22" // whatever it was sent
		}
		w.Header().Set("X-Request-Id", id)
		w.Header().Set("Etag", "hunter22")
	})
	var told []string
	c := &transport.Client{Trace: func(line string) { told = append(told, line) }}
	for _, u := range []string{url + "/o?X-Amz-Signature=hunter22&partNumber=3", url + "/o", "http://127.0.0.1:1/o?sig=hunter22"} {
		q := put(u, strings.NewReader("x"), 1)
		q.Header = http.Header{"Authorization": {"Bearer hunter22"}}
		_, _ = c.Do(t.Context(), q)
	}
	all := strings.Join(told, "\n")
	if len(told) != 6 || strings.Contains(all, "hunter22") {
		t.Errorf("told:\n%s", all)
	}
	for i, want := range []string{
		"#1 > PUT " + url + `/o\?X-Amz-Signature=…&partNumber=3 \(1 bytes; authorization user-agent\)`,
		`#1 < PUT 200 in \d+m?s, request id req-7 \(0 bytes; content-length date etag x-request-id\)`,
		`#2 > .*`, `#2 < PUT 200 in \d+m?s, request id … .*`, `#3 > .*`, `#3 ! PUT no answer after \d+m?s: .*refused.*`,
	} {
		if i < len(told) && !regexp.MustCompile("^"+want+"$").MatchString(told[i]) {
			t.Errorf("%q is not %s", told[i], want)
		}
	}
}

// A small body is read before the header is sent, so that both leave in one write.
func TestSmallBodyGoesWithItsHeader(t *testing.T) {
	arrived := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { close(arrived) })
	body := readerFunc(func(p []byte) (int, error) {
		select {
		case <-arrived:
			t.Error("the header came alone")
		case <-time.After(200 * time.Millisecond):
		}
		return copy(p, "line"), nil
	})
	if _, err := (&transport.Client{}).Do(t.Context(), put(url, body, 4)); err != nil {
		t.Fatal(err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestLargeReplies holds that the body of a reply whose length is said is allocated
// once, and that of a refusal only its beginning is read.
func TestLargeReplies(t *testing.T) {
	const size = 8 << 20
	large := make([]byte, size)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Header().Set("Content-Type", "text/plain")
		if r.URL.Path == "/refused" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write(large)
	}))
	defer server.Close()
	for path, want := range map[string]int{"/": size, "/refused": 1 << 20} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		reply, err := (&transport.Client{}).Do(t.Context(), transport.Request{Method: http.MethodGet, URL: server.URL + path})
		runtime.ReadMemStats(&after)
		if err != nil || len(reply.Body) != want {
			t.Fatalf("%s: %d bytes, %v", path, len(reply.Body), err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(want)*3/2 {
			t.Errorf("%s: %d bytes allocated %d", path, want, got)
		}
	}
}

// TestALengthAloneCostsNothing holds that memory is allocated for bytes that came.
func TestALengthAloneCostsNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(60<<20))
		_, _ = io.WriteString(w, "{")
	}))
	defer server.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := (&transport.Client{}).Do(t.Context(), transport.Request{Method: http.MethodGet, URL: server.URL})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 4<<20 {
		t.Errorf("%d bytes allocated, %v", got, err)
	}
}
