package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// maxRemote is the most bytes of a store's answer that are passed on.
const maxRemote = 1 << 20

// serveRemote passes a request on to a store with a server of its own. The
// Host stays as it came: it is signed.
func (s *Server) serveRemote(w http.ResponseWriter, r *http.Request) {
	c := s.storeCall(r)
	s.answer(w, c, c.refuse, c.passOn)
}

func (c *call) passOn() reply {
	origin := strings.TrimSuffix(c.s.Store.(Remote).Origin(), "/")
	body := &passedBody{Reader: c.data(c.r.Body), closed: make(chan struct{})}
	req, err := http.NewRequestWithContext(c.r.Context(), c.r.Method, origin+c.r.URL.RequestURI(), body)
	if err != nil {
		return c.storeError(err)
	}
	req.Host = c.r.Host
	req.ContentLength = c.r.ContentLength
	if req.ContentLength == 0 {
		req.Body = http.NoBody
	}
	req.Header = c.r.Header.Clone()
	req.Header.Del("Expect") // the body is on its way already
	req.Header.Del("Connection")
	resp, err := c.s.upstream.RoundTrip(req)
	if req.Body == body {
		// A store that refuses answers while the body is still read, and what
		// is left of it is ours.
		defer func() { <-body.closed }()
	}
	if err != nil {
		return reply{drop: true, note: fmt.Sprintf("the store did not answer: %v", err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRemote))
	if err != nil {
		return reply{drop: true, note: fmt.Sprintf("the store's answer broke off: %v", err)}
	}
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive"} {
		resp.Header.Del(name)
	}
	rp := reply{status: resp.StatusCode, header: resp.Header, body: answer}
	rp.stored = c.rec.Step == StepPut && resp.StatusCode == http.StatusOK
	if !rp.stored {
		rp.note = string(answer)
	}
	return rp
}

// passedBody is a body on its way to the store. RoundTrip closes it when it
// will read no more, which may be after it has returned.
type passedBody struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func (b *passedBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}
