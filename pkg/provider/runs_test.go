package provider_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// running is a file on its way to an API that a test plays.
type running struct {
	upload.Uploader
	path string
	url  string

	mu   sync.Mutex
	seen []string // METHOD /path?query, in the order in which they came
	body []string
	head []http.Header
}

// run sets a file out for a manifest whose API is answer. Each run of it is as
// by a process that has just started.
func run(t *testing.T, text, file string, answer func(w http.ResponseWriter, is, body string)) *running {
	t.Helper()
	r := &running{path: filepath.Join(t.TempDir(), "a.bin")}
	if err := os.WriteFile(r.path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		is := q.Method + " " + q.RequestURI
		r.mu.Lock()
		r.seen, r.body, r.head = append(r.seen, is), append(r.body, string(b)), append(r.head, q.Header.Clone())
		r.mu.Unlock()
		answer(w, is, string(b))
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	d, err := provider.Load(write(t, "run.yaml", "version: 1\nname: run\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Open(provider.Settings{Base: server.URL, Keys: []provider.Secret{key(testKey)}})
	if err != nil {
		t.Fatal(err)
	}
	r.Uploader = upload.Uploader{
		Provider: p, Target: p.Target(), Journal: &journal.Journal{Dir: filepath.Join(t.TempDir(), "journal")},
		Retry: transport.Policy{Retries: 3, Base: time.Millisecond},
	}
	return r
}

func (r *running) upload(ctx context.Context) (upload.Report, error) {
	return r.Upload(ctx, upload.File{Path: r.path})
}

// count is how many requests were of this kind.
func (r *running) count(is string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s == is {
			n++
		}
	}
	return n
}
