package sandbox_test

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

const testKey = "key-that-only-the-api-sees"

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a running sandbox and a client that is written by hand.
type rig struct {
	t      *testing.T
	s      *sandbox.Server
	base   string
	header map[string]string
	stop   func() error
}

// run starts a sandbox for the test.
func run(t *testing.T, s *sandbox.Server, faults ...string) *rig {
	t.Helper()
	if s.Dir == "" {
		s.Dir = t.TempDir()
	}
	s.Key = testKey
	if s.Faults == nil {
		f, err := sandbox.ParseFaults(faults...)
		if err != nil {
			t.Fatal(err)
		}
		s.Faults = f
	}
	base, stop, err := s.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, s: s, base: base, stop: stop}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		if left := s.Faults.Unfired(); left != nil {
			t.Errorf("these faults never happened: %q", left)
		}
	})
	switch s.API {
	case "upscayl":
		r.header = map[string]string{"X-API-Key": testKey}
	case "fileai":
		r.header = map[string]string{"x-api-key": testKey}
	default:
		r.header = map[string]string{"Authorization": "Bearer " + testKey}
	}
	return r
}

// answer is a reply, its body decoded if it is JSON.
type answer struct {
	status int
	header http.Header
	raw    string
	json   any
}

func (a answer) at(path ...any) any {
	v := a.json
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (a answer) text(path ...any) string { s, _ := a.at(path...).(string); return s }

func (a answer) number(path ...any) int64 {
	n, _ := a.at(path...).(json.Number)
	i, _ := n.Int64()
	return i
}

func (a answer) list(path ...any) []any { l, _ := a.at(path...).([]any); return l }

var client = &http.Client{
	Transport:     &http.Transport{},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func send(t *testing.T, req *http.Request) (answer, error) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if dec.Decode(&a.json) != nil {
		a.json = nil
	}
	return a, nil
}

// try makes a JSON request to the API; a body that is empty is none.
func (r *rig) try(method, path, body string, header ...string) (answer, error) {
	r.t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, b)
	if err != nil {
		r.t.Fatal(err)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Del(header[i])
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	return send(r.t, req)
}

// post makes a JSON request that must be answered with this status.
func (r *rig) post(status int, path, body string, header ...string) answer {
	r.t.Helper()
	a, err := r.try("POST", path, body, header...)
	if err != nil {
		r.t.Fatalf("POST %s: %v", path, err)
	}
	if a.status != status {
		r.t.Fatalf("POST %s %s: %d %s, want %d", path, body, a.status, a.raw, status)
	}
	return a
}

func tryPut(t *testing.T, url string, body []byte, header ...string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return send(t, req)
}

// put sends a part and returns its ETag.
func put(t *testing.T, url string, body []byte, header ...string) string {
	t.Helper()
	a, err := tryPut(t, url, body, header...)
	if err != nil {
		t.Fatalf("PUT: %v", err)
	}
	if a.status != 200 {
		t.Fatalf("PUT: %d %s", a.status, a.raw)
	}
	return a.header.Get("ETag")
}

// refused sends a part that the store must refuse.
func refused(t *testing.T, status int, code, url string, body []byte, header ...string) answer {
	t.Helper()
	a, err := tryPut(t, url, body, header...)
	if err != nil {
		t.Fatalf("PUT: %v", err)
	}
	if a.status != status || !strings.Contains(a.raw, "<Code>"+code+"</Code>") {
		t.Fatalf("PUT: %d %s, want %d %s", a.status, a.raw, status, code)
	}
	return a
}

// form makes OpenAI's body of a part.
func form(field, filename string, data []byte) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	create := func() (io.Writer, error) { return w.CreateFormField(field) }
	if filename != "" {
		create = func() (io.Writer, error) { return w.CreateFormFile(field, filename) }
	}
	part, err := create()
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return w.FormDataContentType(), b.String()
}

// bytesOf makes a file's content that is the same in every run.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte("a file"))).Read(b)
	return b
}

func quotedMD5(b []byte) string {
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// object returns what the only finished upload came to.
func (r *rig) object() []byte {
	r.t.Helper()
	list, err := r.s.Finished()
	if err != nil || len(list) != 1 {
		r.t.Fatalf("finished: %v, %v", list, err)
	}
	b, err := os.ReadFile(list[0].Path)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) wantObject(want []byte) {
	r.t.Helper()
	if got := r.object(); !bytes.Equal(got, want) {
		r.t.Fatalf("the object has %d bytes and is not the file, which has %d", len(got), len(want))
	}
}

// keys are the names of a JSON object.
func keys(v any) []string {
	m, _ := v.(map[string]any)
	var names []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

func wantKeys(t *testing.T, v any, names ...string) {
	t.Helper()
	slices.Sort(names)
	if got := keys(v); !slices.Equal(got, names) {
		t.Errorf("the reply has the fields %q, want %q", got, names)
	}
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// sizes are those at which plans go wrong.
func sizes(part int) []int { return []int{0, 1, part - 1, part, part + 1, 3*part + 7} }

// strict is a request that a strict API refuses.
type strict struct {
	name, body string
	status     int
	want       string // in the reply
}

func (r *rig) wantRefusals(path string, cases []strict) {
	r.t.Helper()
	for _, c := range cases {
		a, err := r.try("POST", path, c.body)
		if err != nil {
			r.t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.status != c.status || !strings.Contains(a.raw, c.want) {
			r.t.Errorf("%s: %d %s, want %d and %q", c.name, a.status, a.raw, c.status, c.want)
		}
	}
}

// wantStrictHTTP checks what every API refuses, with a good body of create.
func (r *rig) wantStrictHTTP(path, body, keyHeader, good string, shape func(a answer) bool) {
	r.t.Helper()
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
	}{
		{"no key", "POST", path, body, []string{keyHeader, ""}, 401},
		{"wrong key", "POST", path, body, []string{keyHeader, good + "x"}, 401},
		{"key without prefix", "POST", path, body, []string{keyHeader, "Basic " + testKey}, 401},
		{"no such path", "POST", path + "/", body, nil, 404},
		{"other method", "PUT", path, body, nil, 405},
		{"query", "POST", path + "?a=b", body, nil, 400},
		{"form", "POST", path, body, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400},
		{"no content type", "POST", path, body, []string{"Content-Type", ""}, 400},
		{"other charset", "POST", path, body, []string{"Content-Type", "application/json; charset=latin1"}, 400},
		{"two objects", "POST", path, body + "{}", nil, 400},
		{"an array", "POST", path, "[" + body + "]", nil, 400},
		{"is not JSON", "POST", path, "hello", nil, 400},
		{"half of it", "POST", path, body[:len(body)/2], nil, 400},
		{"twice", "POST", path, body[:len(body)-1] + "," + body[1:], nil, 400},
	} {
		a, err := r.try(c.method, c.path, c.body, c.header...)
		if err != nil {
			r.t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.status != c.status {
			r.t.Errorf("%s: %d %s, want %d", c.name, a.status, a.raw, c.status)
		}
		if !shape(a) {
			r.t.Errorf("%s: the error has another shape: %s", c.name, a.raw)
		}
	}
	a, err := r.try("POST", path, body, "Content-Type", "application/json; charset=utf-8")
	if err != nil || a.status != 200 {
		r.t.Errorf("with a charset: %d %s %v", a.status, a.raw, err)
	}
	if got := fmt.Sprint(r.s.Requests()); strings.Contains(got, "\n") {
		r.t.Errorf("log lines are one line each: %q", got)
	}
}
