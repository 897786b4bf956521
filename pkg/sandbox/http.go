package sandbox

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
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

// read takes at most n bytes of the body and keeps none.
func (c *call) read(n int64) {
	_, _ = io.CopyN(io.Discard, c.r.Body, n) // a client that leaves ends it
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
