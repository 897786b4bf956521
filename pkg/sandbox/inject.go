package sandbox

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// instead does the faults that happen in place of what was asked for.
func (c *call) instead(fail func(int, string, string) reply) (rp reply, done bool) {
	f := c.fault
	if f == nil {
		return reply{}, false
	}
	switch f.kind {
	case kindStatus:
		return f.answer(fail), true
	case kindErrorIn200:
		rp := fail(500, "", "We encountered an internal error. Please try again.")
		rp.status = 200
		return rp, true
	case kindReset:
		c.read(f.bytes)
		return reply{drop: true}, true
	case kindStall:
		c.read(f.bytes)
		c.hold()
		return reply{drop: true}, true
	case kindExpire:
		return c.expired(f.how), true
	case kindHTML:
		return reply{
			status: f.status, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
			body: []byte("<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Please sign in to the network</h1></body></html>\n"),
		}, true
	case kindRedirect:
		return reply{status: f.status, header: http.Header{"Location": {f.url}}}, true
	case kindKill:
		c.kill()
		return reply{drop: true}, true
	case kindSlow:
		c.body.ReadCloser = &slowBody{ReadCloser: c.body.ReadCloser, rate: f.bytes, gone: c.r.Context().Done(), stop: c.s.stopping}
	}
	return reply{}, false
}

// answer is what the faults status and status-late answer.
func (f *fault) answer(fail func(int, string, string) reply) reply {
	rp := fail(f.status, f.code, f.message)
	for name, values := range f.header {
		rp = rp.with(name, values[0])
	}
	return rp
}

// afterwards does the faults that change the answer to what was done.
func (c *call) afterwards(rp reply, fail func(int, string, string) reply) reply {
	f := c.fault
	if f == nil {
		return rp
	}
	ok := rp.status >= 200 && rp.status < 300
	switch f.kind {
	case kindLostReply:
		rp.drop = true
	case kindStatusLate:
		late := f.answer(fail)
		late.stored = rp.stored
		return late
	case kindStallLate:
		c.hold()
		rp.drop = true
	case kindKillLate:
		c.kill()
		rp.drop = true
	case kindBadJSON:
		rp.body = rp.body[:len(rp.body)/2]
	case kindPatch:
		if v, err := fromJSON(rp.body); err == nil && ok {
			rp.body = toJSON(merge(v, f.patch))
			return rp
		}
		c.unfire()
	case kindNoETag, kindWrongETag:
		switch {
		case !ok:
			c.unfire()
		case rp.header.Get("ETag") == "": // OpenAI: its receipt is an id
			v, err := fromJSON(rp.body)
			if err != nil {
				c.unfire()
				return rp
			}
			rp.body = toJSON(merge(v, map[string]any{"id": nil}))
		case f.kind == kindNoETag:
			h := rp.header.Clone()
			h.Del("ETag")
			rp.header = h
		default:
			rp = rp.with("ETag", `"00000000000000000000000000000bad"`)
		}
	case kindOpaqueETag:
		if !ok {
			c.unfire()
		}
	case kindCorrupt:
		if c.flip == nil || !c.flip.flipped {
			c.unfire()
		}
	}
	return rp
}

// unfire takes back a fault that could not happen after all.
func (c *call) unfire() {
	c.s.Faults.mu.Lock()
	defer c.s.Faults.mu.Unlock()
	c.fault.fired--
	c.fault = nil
}

// hold waits until the client is gone or the sandbox stops. A client whose
// body was not read to its end is not seen to leave.
func (c *call) hold() {
	select {
	case <-c.r.Context().Done():
	case <-c.s.stopping:
	}
}

func (c *call) kill() {
	if c.fault.pid == 0 {
		c.s.Kill()
		return
	}
	if p, err := os.FindProcess(c.fault.pid); err == nil {
		_ = p.Kill() // it may be gone already
	}
}

// reset ends a connection without an answer, as a network does that breaks.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the stream alone is reset
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = raw.Close()
}

// slowBody is read at so many bytes a second.
type slowBody struct {
	io.ReadCloser
	rate int64
	gone <-chan struct{}
	stop <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), max(1, b.rate/20))])
	select {
	case <-time.After(time.Duration(float64(n) / float64(b.rate) * float64(time.Second))):
		return n, err
	case <-b.gone:
		return n, errors.New("the client is gone")
	case <-b.stop:
		return n, errors.New("the sandbox stops")
	}
}

// flipReader inverts one bit of the first byte that comes through.
type flipReader struct {
	io.Reader
	flipped bool
}

func (f *flipReader) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 && !f.flipped {
		p[0] ^= 1
		f.flipped = true
	}
	return n, err
}

// data is the body of a part, corrupted where that was asked for.
func (c *call) data(body io.Reader) io.Reader {
	if c.fault == nil || c.fault.kind != kindCorrupt {
		return body
	}
	c.flip = &flipReader{Reader: body}
	return c.flip
}
