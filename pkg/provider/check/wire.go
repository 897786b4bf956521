package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Where an exchange was seen.
const (
	API   = "api"
	Store = "store"
)

// Exchange is one request as it was seen on the wire, and its answer.
type Exchange struct {
	At     string // API or Store
	Method string
	Host   string
	URI    string // as it was sent
	Header http.Header
	Body   []byte // of a JSON request
	Status int
	Answer http.Header
	Reply  []byte // of a JSON answer
}

// String leaves out what is secret in a URI.
func (x Exchange) String() string {
	path, _, _ := strings.Cut(x.URI, "?")
	return fmt.Sprintf("%s %s %s: %d", x.At, x.Method, path, x.Status)
}

// texts are those in a JSON document, wherever they are.
func texts(doc []byte) []string {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return nil
	}
	var all []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	return all
}

// Recorder watches the wire from the server's side: it goes in front of the
// handlers of an API and of its store. It is safe for concurrent use, and its
// zero value is ready.
type Recorder struct {
	mu    sync.Mutex
	ended *sync.Cond // one that was under way has ended
	busy  int
	list  []Exchange
	hold  *hold
}

// hold is for the next request: it is received and never answered.
type hold struct {
	came    chan struct{}
	release chan struct{}
}

// Handler watches what comes to next.
func (r *Recorder) Handler(at string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		x := Exchange{At: at, Method: req.Method, Host: req.Host, URI: req.RequestURI, Header: req.Header.Clone()}
		h := r.begin()
		var body bytes.Buffer
		answer := &watchedWriter{ResponseWriter: w}
		defer func() {
			x.Body, x.Status, x.Answer, x.Reply = body.Bytes(), answer.status, answer.header, answer.body.Bytes()
			r.end(x)
		}()
		if h != nil {
			_, _ = io.Copy(io.Discard, req.Body) // only then is a client seen to urls
			close(h.came)
			select {
			case <-req.Context().Done():
			case <-h.release:
			}
			panic(http.ErrAbortHandler)
		}
		if isJSON(req.Header) {
			req.Body = &teedBody{ReadCloser: req.Body, to: &body}
		}
		next.ServeHTTP(answer, req)
	})
}

func (r *Recorder) begin() *hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy++
	h := r.hold
	r.hold = nil
	return h
}

func (r *Recorder) end(x Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy--
	r.list = append(r.list, x)
	if r.ended != nil {
		r.ended.Broadcast()
	}
}

// Exchanges are all that there were, in the order in which they ended. It
// waits for those under way: a client has its answer before a server is done
// with it.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended == nil {
		r.ended = sync.NewCond(&r.mu)
	}
	for r.busy > 0 {
		r.ended.Wait()
	}
	return slices.Clone(r.list)
}

// Hold has the next request received and never answered. came is closed when
// it is there; the hold ends with the client or with release, which may be
// called more than once and though nothing came.
func (r *Recorder) Hold() (came <-chan struct{}, release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &hold{came: make(chan struct{}), release: make(chan struct{})}
	r.hold = h
	return h.came, sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.hold == h {
			r.hold = nil
		}
		close(h.release)
	})
}

func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// teedBody is a body of which a copy is kept.
type teedBody struct {
	io.ReadCloser
	to *bytes.Buffer
}

func (b *teedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.to.Write(p[:n])
	return n, err
}

// watchedWriter keeps an answer, and its body if that is JSON.
type watchedWriter struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// Unwrap is for http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watchedWriter) WriteHeader(status int) {
	w.status, w.header = status, w.Header().Clone()
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if isJSON(w.header) {
		w.body.Write(p)
	}
	return w.ResponseWriter.Write(p)
}
