package transport

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Error is an exchange that failed: no answer came (Status 0), or one that the
// caller calls a failure. It holds no secret.
type Error struct {
	Op        string // what the exchange was for
	URL       string // where it went, redacted
	Status    int    // 0: no answer came, and the server may or may not have acted
	Code      string // the server's own word for the error, if any
	Message   string // the server's message, if any
	RequestID string // the server's name for the exchange, if any
	Err       error  // why no answer came
	Retry     bool   // whether the same exchange may succeed later
	Unsent    bool   // no answer came because the request never left
	Bulk      bool   // an answered request carried bytes of the file

	after time.Duration
	when  bool // whether the server said when to come again, be it at once
}

// ErrStalled is the Err of an exchange in which no data was transferred for too long.
var ErrStalled = errors.New("no data was transferred for too long")

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	switch {
	case e.Status == 0:
		fmt.Fprintf(&b, ": %s: %s", e.URL, why(e.Err))
		return b.String()
	case e.Message != "":
		fmt.Fprintf(&b, ": %s (status %d", e.Message, e.Status)
	default:
		fmt.Fprintf(&b, ": %s answered with status %d %s (no message", e.URL, e.Status, http.StatusText(e.Status))
	}
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		fmt.Fprintf(&b, ", code %s", e.Code)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", request id %s", e.RequestID)
	}
	b.WriteString(")")
	if e.Err != nil {
		fmt.Fprintf(&b, ": %s", why(e.Err))
	}
	return b.String()
}

// why is an error as text: net/http quotes addresses and answers.
func why(err error) string {
	if err == nil {
		return "no answer"
	}
	return Clean(err.Error())
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same exchange may succeed later.
func (e *Error) Temporary() bool { return e.Retry }

// RetryAfter is the least time to wait that the server asked for; 0: none.
func (e *Error) RetryAfter() time.Duration { return e.after }

// SaysWhen reports whether the server said when to come again, be it at once.
func (e *Error) SaysWhen() bool { return e.when }

// Error makes an error of a reply that the caller calls a failure. The message
// and the request id are cleaned with [Clean]; the wish of the server when, or
// whether, to come again is read from its headers.
func (r *Reply) Error(code, message, requestID string) *Error {
	if requestID == "" {
		requestID = r.requestID()
	}
	if r.signed {
		message = withoutPath(message, r.url)
	}
	return &Error{
		Op: r.op, URL: shownURL(r.url, r.signed), Status: r.Status, Bulk: r.bulk,
		Code: Clean(code), Message: Clean(message), RequestID: Clean(requestID),
		Retry: retryable(r.Status, r.Header), after: retryAfter(r.Header, r.At), when: saysWhen(r.Header),
	}
}

// requestID is the server's name for the exchange, by its headers; empty: none.
func (r *Reply) requestID() string {
	for _, h := range []string{"X-Request-Id", "X-Amz-Request-Id", "X-Ms-Request-Id", "Request-Id"} {
		if id := r.Header.Get(h); id != "" {
			return id
		}
	}
	return ""
}

func retryable(status int, h http.Header) bool {
	switch h.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusConflict: // final, unless the server says when to come again
		return saysWhen(h)
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported, http.StatusNetworkAuthenticationRequired:
		return false // a later try finds the same server, or the same captive portal
	}
	return status >= 500
}

func saysWhen(h http.Header) bool {
	return h.Get("Retry-After") != "" || h.Get("Retry-After-Ms") != ""
}

// retryAfter reads retry-after-ms, and Retry-After in seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return clampSeconds(ms / 1000)
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 {
		return clampSeconds(s)
	}
	if t, err := http.ParseTime(v); err == nil {
		// The server's clock says when; its Date says what time it is there.
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		return max(0, t.Sub(now))
	}
	return 0
}

func clampSeconds(s float64) time.Duration {
	return time.Duration(min(s, 24*3600) * float64(time.Second))
}

// plain takes the URL out of net/http's errors: it may be a presigned one.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return plain(u.Err)
	}
	return err
}
