// Package transport makes one HTTP exchange at a time, and retries whole operations
// under one policy.
//
// It knows no provider and no store: what a status or a body means is for its
// callers to say. It follows no redirect, and uses plain HTTP only for the
// loopback.
//
// # Mechanism
//
// [Client.Do] sends one [Request] and reads the whole [Reply]. A request with Bulk
// set carries the bytes of a part: it goes over HTTP/1.1 with Content-Length, is
// held to Client.Limit, and adds no header and changes no byte of the URL, as either
// would break a signature. All others may use HTTP/2 and are decompressed.
//
// An exchange that got no answer is an [*Error]; so is a reply that the caller calls
// a failure ([Reply.Error]). It says whether a retry may help (Temporary), how long
// the server asked to wait (RetryAfter), and whether the request never left
// (Unsent). A proxy, TLS or a redirect that is in the way has an error of its own:
// [*ProxyError], [*TLSError], [*RedirectError], [*NotHTTPError].
//
// [Retry] and [Tries] are the only retry layer of multiput. Waits have full jitter
// and end with the context.
//
// # Configuration
//
// The zero Client works, without limits: set Stall (30 s is a good value) to end
// exchanges in which no byte moves. The zero [Policy] is [DefaultPolicy]: retry for
// 15 minutes. Proxies come from the environment, as net/http reads it.
//
// # Caveats
//
// Errors, traces and messages are redacted and stripped of control characters:
// no key, no signature and little of a presigned URL is in them. What a caller
// formats by itself goes through [Redact], [Clean] or [Visible] first.
//
// A reply is read into memory, up to 64 MiB ([MaxReply]): this is not a client for
// downloads.
package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// MaxReply is the most bytes of a reply that are read; a longer one is an
// error. The longest honest one is a plan of 10,000 parts with their URLs.
const MaxReply = 64 << 20

// maxBulkReply is that of a reply to a Bulk request, and of a refusal. Many are
// under way at once, and all an honest one holds is a receipt or a refusal.
const maxBulkReply = 1 << 20

// slowFactor is how much longer than Stall a Slow request may be answered in.
const slowFactor = 5

// Client makes exchanges. The zero value works, without limits. It may be used
// by several goroutines; its fields are not changed after the first Do.
type Client struct {
	UserAgent string
	// Stall ends an exchange in which no byte moves for so long; 0: never.
	Stall time.Duration
	// Limit holds the bytes of Bulk requests to a rate (bytes per second);
	// nil: none.
	Limit *rate.Limiter
	// RootCAs are trusted instead of the system's; nil: the system's.
	RootCAs *x509.CertPool
	// Trace is called with every request before it is sent and with its outcome,
	// a line each, redacted. It may be called from several goroutines. Nil:
	// nothing is traced.
	Trace func(line string)

	traced atomic.Int64 // how many requests were traced
	bare   atomic.Int64 // how often in a row a server wanted a client certificate and hung up
	odd    atomic.Int64 // how many answers in a row were not HTTP
	once   sync.Once

	api, bulk, plain *http.Transport // plain: bulk without TLS
}

// Request is one HTTP request.
type Request struct {
	Op     string // what it is for, as an error says it: "create upload", "send part 3"
	Method string
	URL    string
	Header http.Header
	// Body is sent with exactly Size bytes, never chunked. Nil sends none.
	Body io.Reader
	Size int64
	// Bulk marks a body of file bytes: it goes over HTTP/1.1, so that parallel
	// parts do not share one connection, and is held to Client.Limit.
	Bulk bool
	// Signed marks a presigned URL: its path may be as secret as its query, and
	// little of either is shown.
	Signed bool
	// Slow marks a request that the server may work on for minutes before it
	// answers: five times Client.Stall.
	Slow bool
}

// Reply is the answer to a Request, whatever its status, with its body read
// whole. A body that is gzip-encoded without a request for it is decoded, as
// often as it was encoded; UTF-16 becomes UTF-8, and a byte order mark is left out.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	// Encoding is the Content-Encoding of a body that could not be decoded;
	// empty: there is none.
	Encoding string
	At       time.Time            // when it came
	TLS      *tls.ConnectionState // nil: it came over plain HTTP

	op, url      string
	signed, bulk bool
}

// From is the address that answered, as far as it may be shown.
func (r *Reply) From() string { return shownURL(r.url, r.signed) }

// shownURL is an address as far as it may be shown.
func shownURL(raw string, signed bool) string {
	if signed {
		return RedactSigned(raw)
	}
	return Redact(raw)
}

// Answer is a Reply to r that did not come over a network: of an exchange that
// is played.
func (r Request) Answer(status int, header http.Header, body []byte) *Reply {
	return &Reply{Status: status, Header: header, Body: body, At: time.Now(), op: r.Op, url: r.URL, signed: r.Signed, bulk: r.Bulk}
}

// Do makes one exchange. It returns a Reply for every status; its error is an
// *Error, which holds no secret, or what Body.Read returned.
func (c *Client) Do(ctx context.Context, r Request) (*Reply, error) {
	c.once.Do(c.dial)
	caller := ctx
	ctx, watch := newWatch(ctx, c.Stall, r.Slow)
	defer watch.stop()
	req, err := c.request(httptrace.WithClientTrace(ctx, watch.trace()), r)
	if err != nil {
		return nil, &Error{Op: r.Op, URL: shownURL(r.URL, r.Signed), Err: plain(err), Unsent: true}
	}
	body := &meteredBody{body: r.Body, watch: watch, ctx: ctx}
	if r.Bulk {
		body.limit = c.Limit
	} else {
		watch.limit()
	}
	if r.Body != nil {
		body.left = r.Size
		req.Body, err = body.ready(r.Size)
	}
	start, n := time.Now(), c.traceOut(req, r.Signed)
	var reply *Reply
	if err == nil {
		reply, err = c.exchange(r, req, watch)
	}
	stopped := context.Cause(ctx) // before watch.stop, which cancels it too
	watch.stop()
	left, bodyErr := body.end()
	switch {
	case bodyErr != nil && !errors.Is(bodyErr, context.Canceled):
		c.traceFailed(n, req, time.Since(start), bodyErr)
		return nil, bodyErr
	case err == nil && left > 0 && reply.Status < 300 && r.Bulk:
		err = fmt.Errorf("the server confirmed the request before it received the last %d bytes", left)
	case err == nil:
		c.traceIn(n, req, reply, time.Since(start))
		c.bare.Store(0)
		c.odd.Store(0)
		return reply, nil
	case stopped != nil:
		err = stopped
	}
	err = c.refused(plain(err), watch, req)
	c.traceFailed(n, req, time.Since(start), err)
	return nil, &Error{
		Op: r.Op, URL: shownURL(r.URL, r.Signed), Err: err,
		Retry:  caller.Err() == nil && mayPass(err),
		Unsent: watch.conn.Load() == nil || errors.As(err, new(*TLSError)),
	}
}

// request is r as net/http has it, without its body.
func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	u, err := CheckURL(r.URL)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "", nil)
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = u, hostOf(u)
	if r.Body != nil {
		req.ContentLength = r.Size
	}
	for k, vs := range r.Header {
		req.Header[http.CanonicalHeaderKey(k)] = vs
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	return req, nil
}

// exchange sends a request and reads its answer whole. Of a refusal, what can
// be read is enough: many a server hangs up on the body that it will not take,
// and cuts its own words short.
func (c *Client) exchange(r Request, req *http.Request, w *watch) (*Reply, error) {
	client, most := c.api, int64(MaxReply)
	if r.Bulk {
		client, most = c.bulk, maxBulkReply
		if req.URL.Scheme == "http" {
			client = c.plain
		}
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	w.limit()
	// The length in an answer to HEAD is that of the object, which may be of any size.
	if resp.StatusCode < 300 && resp.ContentLength > most && req.Method != http.MethodHead {
		return nil, &tooLong{most}
	}
	if resp.StatusCode >= 300 {
		most = min(most, maxBulkReply)
	}
	b, err := readAll(&watchedReader{resp.Body, w}, resp.ContentLength, most+1)
	if long := int64(len(b)) > most; long && resp.StatusCode < 300 {
		return nil, &tooLong{most}
	} else if long {
		b = b[:most]
	}
	if err != nil && resp.StatusCode < 300 {
		return nil, err
	}
	reply := r.Answer(resp.StatusCode, resp.Header, b)
	reply.TLS = resp.TLS
	if err := reply.decode(most); err != nil {
		return nil, err
	}
	return reply, nil
}

// readAll reads at most a number of bytes of a reply that may say its length. A large
// one is allocated once, as it may be most of the memory; but only when some of it came:
// the length alone proves nothing.
func readAll(r io.Reader, length, most int64) ([]byte, error) {
	const some = 256 << 10
	first := bytes.NewBuffer(make([]byte, 0, max(0, min(length, some))+bytes.MinRead))
	n, err := first.ReadFrom(io.LimitReader(r, min(some, most)))
	if n < some || n == most || err != nil {
		return first.Bytes(), err
	}
	all := bytes.NewBuffer(make([]byte, 0, max(n, min(length, most))+bytes.MinRead))
	all.Write(first.Bytes())
	_, err = all.ReadFrom(io.LimitReader(r, most-n))
	return all.Bytes(), err
}

// tooLong is a reply with more bytes than an honest one has.
type tooLong struct{ most int64 }

func (e *tooLong) Error() string { return fmt.Sprintf("the reply is longer than %d MiB", e.most>>20) }

// mayPass reports whether the error of an exchange that got no answer is of a
// kind that passes. What is wrong with a certificate or an address stays wrong.
func mayPass(err error) bool {
	var (
		verify *tls.CertificateVerificationError
		header tls.RecordHeaderError
		opaque x509.UnknownAuthorityError
		long   *tooLong
		proxy  *ProxyError
		refuse *TLSError
		odd    *NotHTTPError
	)
	switch {
	case errors.As(err, &proxy):
		return proxy.Temporary()
	case errors.As(err, &odd):
		return !odd.Final
	case errors.As(err, &refuse):
		return false
	case errors.Is(err, context.Canceled), errors.As(err, &long):
		return false
	case errors.As(err, &verify), errors.As(err, &header), errors.As(err, &opaque), errors.Is(err, http.ErrSchemeMismatch):
		return false
	}
	return true // a name that does not resolve too: it is what no network looks like
}
