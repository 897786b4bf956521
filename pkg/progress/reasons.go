package progress

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// cause is why there is no progress.
type cause struct {
	text   string
	short  string    // the same in 16 columns
	doing  bool      // the text is all there is to say
	at     time.Time // when it was known
	until  time.Time // when the next attempt begins; zero: not known
	try    int       // the number of that attempt; 0: it is no retry
	most   int       // attempts there are; 0: as many as the time allows
	failed bool      // a request failed
	gone   bool      // of those: the server cannot be reached
	part   bool      // of those: the store answered, and did not take the part
}

// forms is the cause in shorter and shorter words.
func (c cause) forms(now time.Time) []string {
	full := c.text
	switch {
	case c.try == 0 || c.gone && c.most == 0:
	case c.most == 0:
		full += fmt.Sprintf(", attempt %d", c.try)
	default:
		full += fmt.Sprintf(", attempt %d of %d", c.try, c.most)
	}
	forms := []string{full, c.text, c.short}
	if in := c.until.Sub(now); in > waitSoon && full != c.text {
		forms = append([]string{full + " in " + long(in)}, forms...)
	}
	return forms
}

// reading is how far the file is read without being sent.
type reading struct {
	text     string // empty: it is not
	short    string
	done, of int64 // bytes; of below 0: not known
	since    time.Time
}

// forms is the same in shorter and shorter words.
func (r reading) forms() []string {
	switch {
	case r.of < 0:
		return []string{r.text + ": " + text.Bytes(r.done), r.short + ": " + text.Bytes(r.done)}
	case r.of == 0:
		return []string{r.text, r.short}
	}
	percent := fmt.Sprintf(": %d%%", int(float64(r.done)/float64(r.of)*100))
	return []string{r.text + percent + " (" + ofBytes(r.done, r.of) + ")", r.text + percent, r.short + percent}
}

func hashing(why upload.Reading) (text, short string) {
	switch why {
	case upload.ReadForDigests:
		return "computing the digest of the whole file", "digest"
	case upload.ReadAhead:
		return "computing digests before the upload", "digests"
	case upload.ReadToCompare:
	}
	return "comparing the file with its stored parts", "comparing"
}

func (w *waits) host() string { return cmp.Or(w.to, "the provider") }

// requesting is the reason while a request is not answered.
func (w *waits) requesting(op upload.Op, now time.Time) cause {
	switch op {
	case upload.OpCreate, upload.OpProbe, upload.OpAbort:
		return cause{text: "connecting to " + w.host() + "…", short: "connecting…", doing: true, at: now}
	case upload.OpPart:
		return cause{text: "the store has not answered yet", short: "no answer", at: now}
	case upload.OpReady:
		if !w.reason.at.Before(w.since) {
			return w.reason // that the file is not ready
		}
	case upload.OpPresign, upload.OpCheckpoint, upload.OpComplete, upload.OpConfirm:
	}
	return cause{text: fmt.Sprintf("%s has not answered yet (%s)", w.host(), op), short: "no answer", at: now}
}

// retrying is the reason after a request that failed.
func (w *waits) retrying(e upload.Retrying, now time.Time) cause {
	r := cause{at: now, until: now.Add(e.Wait), try: e.Try + 1, most: e.Most, failed: true}
	who := "the provider"
	if e.Op == upload.OpPart {
		who = "the store"
	}
	var t *transport.Error
	switch {
	case transport.Unreached(e.Err):
		r.gone = true
		r.text, r.short = unreached(e.Err, w.host())
	case !errors.As(e.Err, &t):
		r.text, r.short = transport.Line(e.Err.Error()), "retrying"
	case t.Status == 503:
		r.text, r.short = who+" is busy (503)", "busy (503)"
	case t.Status == 429:
		r.text, r.short = who+" limits the rate (429)", "rate limit (429)"
	case t.Status >= 500:
		r.text, r.short = fmt.Sprintf("%s failed (%d)", who, t.Status), fmt.Sprintf("failed (%d)", t.Status)
	case t.Status > 0:
		r.text, r.short = fmt.Sprintf("%s answered with status %d", who, t.Status), fmt.Sprintf("status %d", t.Status)
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		r.text, r.short = "too many files are open here", "too many files"
	case errors.Is(e.Err, transport.ErrStalled):
		r.text, r.short = who+" stopped receiving data", "stalled"
	default:
		r.text, r.short = "the connection to "+who+" broke", "disconnected"
	}
	r.part = e.Op == upload.OpPart && t != nil && t.Status > 0
	return r
}

// unreached says why a server cannot be reached.
func unreached(err error, host string) (text, short string) {
	if said := transport.ByProxy(err); said != "" {
		return said, "proxy failed"
	}
	var t *transport.Error
	if errors.As(err, &t) {
		if u, bad := url.Parse(t.URL); bad == nil && u.Host != "" {
			host = u.Host
		}
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN):
		return "no network", "no network"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "cannot reach " + host + " (connection refused)", "unreachable"
	}
	return "cannot reach " + host, "unreachable"
}
