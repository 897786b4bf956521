package sandbox

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// maxJSON is the most bytes of a JSON request: the longest honest one lists
// 10,000 parts.
const maxJSON = 16 << 20

// maxDrain is how much of a refused body is read, so that the client gets the
// refusal and not a connection reset.
const maxDrain = 256 << 20

// front is one API.
type front struct {
	base   string   // path
	header string   // that carries the key
	prefix string   // before the key
	query  []string // the parameters that may come with any call
	routes []route
	// fail answers with an error in the API's own shape.
	fail func(status int, code, message string) reply
	// denied answers a missing or a wrong key.
	denied func(given bool) reply
	// every is what every reply carries.
	every func(h http.Header)
}

// route is one step of an API. {} in its path is the id of an upload.
type route struct {
	method, path, step string
	act                func(*call) reply
}

// reply is an answer before it is sent.
type reply struct {
	status int
	header http.Header
	body   []byte
	note   string
	stored bool
	drop   bool // no answer: the connection is reset
}

func (r reply) with(name, value string) reply {
	h := r.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set(name, value)
	r.header = h
	return r
}

// call is one request under way.
type call struct {
	s     *Server
	r     *http.Request
	rec   Request
	body  *countedBody
	fault *fault
	flip  *flipReader // of the fault corrupt
	base  string      // where the store is, as this client sees it
}

// countedBody is the body of a request: how much of it came, and how it ended.
type countedBody struct {
	io.ReadCloser
	n   int64
	err error // nil if it ended well, or has not ended
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (s *Server) newCall(at string, r *http.Request) *call {
	c := &call{s: s, r: r, base: s.StoreURL, body: &countedBody{ReadCloser: r.Body}}
	if c.base == "" && s.disk != nil {
		c.base = "http://" + r.Host
		if r.TLS != nil {
			c.base = "https://" + r.Host
		}
	}
	c.base = strings.TrimSuffix(c.base, "/")
	r.Body = c.body
	c.rec = Request{
		Time: s.Now(), At: at, Method: r.Method, Host: r.Host, Path: r.URL.Path,
		Query: redactQuery(r.URL.RawQuery), Header: r.Header.Clone(), Size: r.ContentLength,
	}
	return c
}

// serveAPI answers one request to the API.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	c := s.newCall("api", r)
	f := s.front
	act, refusal := c.route(f)
	if act == nil {
		s.finish(w, c, refusal)
		return
	}
	if c.rec.Step == StepPut {
		c.rec.Part = s.arrivals.next(c.rec.Upload)
	}
	s.answer(w, c, f.fail, func() reply {
		if refused := c.authorize(f); refused != nil {
			return *refused
		}
		for name := range r.URL.Query() {
			if !slices.Contains(f.query, name) {
				return f.fail(400, "", "this call has no query parameters")
			}
		}
		return act(c)
	})
}

// route finds the step of a request.
func (c *call) route(f *front) (func(*call) reply, reply) {
	path, ok := strings.CutPrefix(c.r.URL.Path, f.base)
	if !ok {
		return nil, f.fail(404, "", fmt.Sprintf("no such path: this API is below %s", f.base))
	}
	var methods []string
	for _, rt := range f.routes {
		id, ok := match(rt.path, path)
		if !ok {
			continue
		}
		if rt.method != c.r.Method {
			methods = append(methods, rt.method)
			continue
		}
		c.rec.Step, c.rec.Upload = rt.step, id
		return rt.act, reply{}
	}
	if methods != nil {
		return nil, f.fail(405, "", "no such method here").with("Allow", strings.Join(methods, ", "))
	}
	return nil, f.fail(404, "", "no such path")
}

// match compares a path with a pattern, whose {} is one name.
func match(pattern, path string) (id string, ok bool) {
	before, after, has := strings.Cut(pattern, "{}")
	if !has {
		return "", pattern == path
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, after)
	return id, ok && id != "" && !strings.Contains(id, "/")
}

func (c *call) authorize(f *front) *reply {
	if c.s.Key == "" {
		return nil
	}
	values := c.r.Header.Values(f.header)
	want := f.prefix + c.s.Key
	if len(values) == 1 && subtle.ConstantTimeCompare([]byte(values[0]), []byte(want)) == 1 {
		return nil
	}
	r := f.denied(len(values) > 0)
	r.note = "the key is missing or wrong"
	return &r
}

// answer does one request, with the fault that it meets.
func (s *Server) answer(w http.ResponseWriter, c *call, fail func(int, string, string) reply, act func() reply) {
	if s.Before != nil {
		s.Before(c.rec)
	}
	c.fault = s.Faults.take(c.rec.Step, c.rec.Part, c.r.ContentLength)
	rp, done := c.instead(fail)
	if !done {
		rp = c.afterwards(act(), fail)
	}
	if c.fault != nil {
		c.rec.Fault = c.fault.spec
	}
	s.finish(w, c, rp)
}

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

// read takes at most n bytes of the body and keeps none.
func (c *call) read(n int64) {
	_, _ = io.CopyN(io.Discard, c.r.Body, n) // a client that leaves ends it
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

// finish sends the answer and writes the request down.
func (s *Server) finish(w http.ResponseWriter, c *call, rp reply) {
	if !rp.drop && c.r.Header.Get("Expect") == "" {
		c.read(maxDrain)
	}
	c.rec.Bytes = c.body.n
	c.rec.Stored, c.rec.Note = rp.stored, rp.note
	if !rp.drop {
		c.rec.Status = rp.status
	}
	c.rec.Took = s.Now().Sub(c.rec.Time)
	s.log.add(c.rec)
	if s.After != nil {
		s.After(c.rec)
	}
	if rp.drop {
		reset(w)
		return
	}
	h := w.Header()
	if c.rec.At == "api" && s.front.every != nil {
		s.front.every(h)
	}
	maps.Copy(h, rp.header)
	h.Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if len(rp.body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	w.WriteHeader(rp.status)
	_, _ = w.Write(rp.body) // the client may have left
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
	t := time.NewTimer(time.Duration(float64(n) / float64(b.rate) * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
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

// ok answers with a JSON document.
func ok(status int, v any) reply {
	return reply{status: status, body: toJSON(v)}
}

func toJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // the types are our own
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func fromJSON(b []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}
