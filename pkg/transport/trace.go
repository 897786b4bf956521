package transport

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
)

// traceOut tells of a request before it is sent, and gives its number, by which
// its answer is known among those of others. Of headers it has the names: a
// value may be a secret.
func (c *Client) traceOut(req *http.Request, signed bool) int64 {
	if c.Trace == nil {
		return 0
	}
	n := c.traced.Add(1)
	c.tell("#%d > %s %s (%d bytes; %s)", n, req.Method, shownURL(req.URL.String(), signed), max(0, req.ContentLength), headerNames(req.Header))
	return n
}

// traceIn tells of the answer.
func (c *Client) traceIn(n int64, req *http.Request, reply *Reply, took time.Duration) {
	if c.Trace == nil {
		return
	}
	id := ""
	if id = showableID(reply.requestID(), req); id != "" {
		id = ", request id " + id
	}
	c.tell("#%d < %s %d in %s%s (%d bytes; %s)", n, req.Method, reply.Status, took.Round(time.Millisecond), id, len(reply.Body), headerNames(reply.Header))
}

// traceFailed tells that there is none.
func (c *Client) traceFailed(n int64, req *http.Request, took time.Duration, err error) {
	c.tell("#%d ! %s no answer after %s: %s", n, req.Method, took.Round(time.Millisecond), Clean(err.Error()))
}

func (c *Client) tell(format string, args ...any) {
	if c.Trace != nil {
		c.Trace(fmt.Sprintf(format, args...))
	}
}

func headerNames(h http.Header) string {
	if len(h) == 0 {
		return "no headers"
	}
	names := make([]string, 0, len(h))
	for k := range h {
		names = append(names, strings.ToLower(k))
	}
	slices.Sort(names)
	return Clean(strings.Join(names, " "))
}

// plainID is what a server's name for an exchange looks like.
var plainID = text.Pattern(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// showableID is a request id if it can be shown: a server may call an exchange
// by what it was sent.
func showableID(id string, req *http.Request) string {
	const secret = 6 // a shorter word is in another by chance
	if !plainID().MatchString(id) {
		return ""
	}
	for _, vs := range req.Header {
		for _, word := range strings.Fields(strings.Join(vs, " ")) {
			if len(word) >= secret && strings.Contains(id, word) || len(id) >= secret && strings.Contains(word, id) {
				return "…"
			}
		}
	}
	if len(id) >= secret && strings.Contains(req.URL.RawQuery, id) {
		return "…"
	}
	return id
}
