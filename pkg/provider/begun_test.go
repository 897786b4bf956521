package provider_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// polled waits in its create until the API has a place for the file.
const polled = `version: 1
name: polled
create:
- {send: POST /files, digests: [sha256], body: '{sum: $digests.sha256}', keep: '{id: .id, count: .count}'}
- {send: "GET /files/{id}/place/{count}", keep: '{at: .at}', ok: .state == "ready", part_size: 4096}
part: {send: "PUT /{at}/{part.number}", receipt: .etag}
complete: {send: "POST /files/{id}/end", body: '{sum: $digests.sha256}', result: .id}
abort: {send: "DELETE /files/{id}"}
error: {retry: .state == "pending"}
`

// TestCreateGoesOn holds that a request of create to which the API says "later" is
// repeated alone, and that create starts over after any other failure. When no try is left the
// upload is aborted.
func TestCreateGoesOn(t *testing.T) {
	const begin, look, drop = "POST /files", "GET /files/u1/place/9007199254740993", "DELETE /files/u1"
	const pending = `{"state":"pending","at":"not-yet"}`
	for _, c := range []struct {
		name    string
		replies []string // to each look
		want    []string // before the parts
		fails   bool
	}{
		{"later", []string{pending, "429", pending}, []string{begin, look, look, look, look}, false},
		{"no answer that says later", []string{pending, "500"}, []string{begin, look, look, drop, begin, look}, false},
		{"a refusal", []string{pending, "404"}, []string{begin, look, look, drop}, true},
		{"never", slices.Repeat([]string{pending}, 9), []string{begin, look, look, look, look, look, drop}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, seen := servePolled(t, c.replies)
			path := filepath.Join(t.TempDir(), "f.bin")
			if err := os.WriteFile(path, make([]byte, 5000), 0o600); err != nil {
				t.Fatal(err)
			}
			u := upload.Uploader{Provider: p, Target: p.Target(), Retry: transport.Policy{Retries: 4, Base: time.Millisecond, Cap: time.Millisecond}}
			_, err := u.Upload(t.Context(), upload.File{Path: path})
			if (err != nil) != c.fails {
				t.Errorf("ended with %v", err)
			}
			got := seen()
			if n := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "PUT ") }); n >= 0 {
				got = got[:n]
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("sent %v, want %v", got, c.want)
			}
		})
	}
}

// TestCreateGoesOnWithAnothers holds that an upload that may be another's is left alone
// also where a request of create was repeated before its answer said so.
func TestCreateGoesOnWithAnothers(t *testing.T) {
	text := strings.Replace(polled, "part_size: 4096", "part_size: 4096, resumed: .state == \"ready\"", 1)
	for last, abort := range map[string]bool{`{"state":"ready","at":"here"}`: false, "404": true} {
		p, seen := serveManifest(t, text, []string{"429", last})
		path := filepath.Join(t.TempDir(), "f.bin")
		if err := os.WriteFile(path, make([]byte, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
		u := upload.Uploader{Provider: p, Target: p.Target(), Retry: transport.Policy{Retries: 4, Base: time.Millisecond, Cap: time.Millisecond}}
		_, err := u.Upload(t.Context(), upload.File{Path: path})
		if errors.Is(err, upload.ErrUnverified) == abort {
			t.Errorf("%s: %v", last, err)
		}
		if slices.Contains(seen(), "DELETE /files/u1") != abort {
			t.Errorf("%s: sent %v", last, seen())
		}
	}
}

// TestLiveCreateGoesOn holds that a live check continues so too, and that what it
// records passes.
func TestLiveCreateGoesOn(t *testing.T) {
	record := &check.Transcript{Client: &transport.Client{}, Text: polled}
	p, _ := servePolled(t, []string{`{"state":"pending"}`, `{"state":"pending"}`}, record)
	live := check.Live{Provider: p, Record: record, Retry: transport.Policy{Retries: 4, Base: time.Millisecond, Cap: time.Millisecond}}
	if _, err := live.Run(t.Context(), upload.File{Name: "f.bin", Type: "text/plain"}, []byte("some bytes\n")); err != nil {
		t.Fatal(err)
	}
	samples, err := record.YAML()
	if err != nil {
		t.Fatal(err)
	}
	d, err := provider.Load(write(t, "polled.yaml", polled+string(samples)))
	if err != nil {
		t.Fatal(err)
	}
	ran, err := check.Samples(t.Context(), d)
	if err != nil || ran != 4 {
		t.Errorf("%d samples: %v\n%s", ran, err, samples)
	}
}

// servePolled opens the manifest on an API that answers the looks for a place so, and
// that the place is there from then on.
func servePolled(t *testing.T, replies []string, record ...*check.Transcript) (provider.Provider, func() []string) {
	t.Helper()
	return serveManifest(t, polled, replies, record...)
}

func serveManifest(t *testing.T, text string, replies []string, record ...*check.Transcript) (provider.Provider, func() []string) {
	t.Helper()
	var (
		mu   sync.Mutex
		seen []string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Method+" "+r.URL.Path)
		if !strings.Contains(r.URL.Path, "/place/") {
			_, _ = io.WriteString(w, `{"id":"u1","count":9007199254740993,"etag":"e"}`)
			return
		}
		reply := `{"state":"ready","at":"here"}`
		if len(replies) > 0 {
			reply, replies = replies[0], replies[1:]
		}
		if status, known := map[string]int{"429": 429, "500": 500, "404": 404}[reply]; known {
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, reply)
	}))
	t.Cleanup(server.Close)
	d, err := provider.Load(write(t, "polled.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	s := provider.Settings{Base: server.URL}
	if len(record) > 0 {
		s.Client, record[0].Base = record[0], server.URL
	}
	p, err := d.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return p, func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(seen) }
}
