package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The steps of an upload, as faults and the log name them.
const (
	StepCreate     = "create"
	StepPresign    = "presign"
	StepPut        = "put"
	StepCheckpoint = "checkpoint"
	StepComplete   = "complete"
	StepAbort      = "abort"
	StepStatus     = "status"
)

// Request is one request that reached the sandbox, and what became of it.
type Request struct {
	Time   time.Time
	At     string // "api" or "store"
	Step   string // empty: a path that no step has
	Upload string // the API's id of the upload, where the request names one
	Part   int    // of a put: the number in its URL, or which it is of the upload's, counted from 1; 0 otherwise
	Method string
	Host   string
	Path   string
	Query  string // without signature
	Header http.Header
	Size   int64 // the Content-Length; -1: none
	Bytes  int64 // of the body that were read

	Status int    // 0: no answer was sent
	Stored bool   // of a put: the part is stored
	Note   string // what was wrong with it
	Fault  string // the fault that fired
	Took   time.Duration
}

// maxRequests is how many requests are remembered, the latest ones.
const maxRequests = 1 << 14

type partKey struct {
	upload string
	part   int
}

// record remembers requests. It is safe for concurrent use.
type record struct {
	mu       sync.Mutex
	requests []Request
	puts     map[partKey]int
	out      io.Writer
}

func (l *record) add(r Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.requests) >= 2*maxRequests {
		l.requests = slices.Clone(l.requests[maxRequests:])
	}
	l.requests = append(l.requests, r)
	if r.Step == StepPut && r.Stored {
		if l.puts == nil {
			l.puts = map[partKey]int{}
		}
		l.puts[partKey{r.Upload, r.Part}]++
	}
	if l.out != nil {
		fmt.Fprintln(l.out, r.String()) // nothing to be done if it fails
	}
}

// Requests returns the requests that were answered, or not, the latest 16,384
// at least, in the order in which they ended.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return slices.Clone(s.log.requests)
}

// Puts returns how often the part of this number was stored, in all uploads.
func (s *Server) Puts(part int) int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	n := 0
	for k, times := range s.log.puts {
		if k.part == part {
			n += times
		}
	}
	return n
}

// String is the line that the log has: no key and no signature is in it.
func (r Request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", r.Time.Format("15:04:05.000"), r.Method, printable(r.Path))
	if r.Query != "" && r.Step != StepPut { // a put's is its signature, and its part is told below
		fmt.Fprintf(&b, "?%s", printable(r.Query))
	}
	if r.Status == 0 {
		b.WriteString(": no answer")
	} else {
		fmt.Fprintf(&b, ": %d", r.Status)
	}
	if r.Step == StepPut {
		fmt.Fprintf(&b, ", part %d, %d bytes", r.Part, r.Bytes)
		if r.Stored {
			b.WriteString(" stored")
		}
	}
	fmt.Fprintf(&b, ", %s", r.Took.Round(time.Millisecond/10))
	if r.Note != "" {
		fmt.Fprintf(&b, " (%s)", printable(r.Note))
	}
	if r.Fault != "" {
		fmt.Fprintf(&b, " [fault %s]", printable(r.Fault))
	}
	return b.String()
}

// shownQuery are the query parameters whose values presigned nothing.
var shownQuery = []string{"partNumber", "X-Amz-Date", "X-Amz-Expires"}

func redactQuery(raw string) string {
	var out []string
	for pair := range strings.SplitSeq(raw, "&") {
		k, _, has := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(k); has && (err != nil || !slices.Contains(shownQuery, name)) {
			pair = k + "=…"
		}
		out = append(out, pair)
	}
	return strings.Join(out, "&")
}

// printable makes what a client sent fit for a terminal.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
