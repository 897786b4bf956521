package provider_test

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// everyState is a manifest whose uploads go through each state that there is.
const everyState = `version: 1
name: states
auth: {header: Authorization, value: "Bearer {secret}"}
create:
- {send: POST /a, digests: [sha256], body: '{sum: $digests.sha256}', keep: '{token: .t}'}
- {send: POST /b, body: '{token: $upload.token}', keep: '{id}', part_size: .each}
presign: {send: "GET /sign/{part.number}", max: 1, digests: [md5], urls: '{number: $part.number, url, headers: {"Content-MD5": $part.md5_base64}}'}
part:
  send: PUT
  receipt: $header.etag
  confirm: {send: "POST /add/{part.number}", body: '{etag: $part.receipt}', ok: .ok, receipt: .r}
complete:
- {send: "POST /c/{id}", body: '{parts: [$parts[].receipt]}', keep: '{etag: .etag}', ok: '.etag != null'}
- {send: POST /files, body: '{upload: $upload.id, etag: $upload.etag}', keep: '{file: .id}', ok: '.id != null', result: .id}
ready: {send: "GET /f/{file}", every: 1ms, timeout: 30s, done: .ready, required: true}
abort: {send: "DELETE /u/{id}"}
`

// states is the API of everyState.
type states struct {
	t     *testing.T
	mu    sync.Mutex
	seen  []string
	parts map[string][]byte
	polls int
	// before is asked before a request is answered, and after once it was
	// acted on: false breaks the connection.
	before, after func(n int) bool
}

func (s *states) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	n := len(s.seen)
	if s.before != nil && !s.before(n) {
		panic(http.ErrAbortHandler)
	}
	var reply any
	at := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch path := r.URL.Path; {
	case path == "/a":
		reply = map[string]any{"t": "token-of-create"}
	case path == "/b":
		reply = map[string]any{"id": "u1", "each": 4}
	case strings.HasPrefix(path, "/sign/"):
		reply = map[string]any{"url": "/store/" + at}
	case strings.HasPrefix(path, "/store/"):
		sum := md5.Sum(b)
		if r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) || r.Header.Get("Authorization") != "" {
			s.t.Errorf("part %s came with %v", at, r.Header)
		}
		s.parts[at] = b
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:])+`"`)
	case strings.HasPrefix(path, "/add/"):
		if s.parts[at] == nil {
			s.t.Errorf("part %s is confirmed and was not stored", at)
		}
		reply = map[string]any{"ok": true, "r": "R" + at}
	case path == "/c/u1":
		if string(b) != `{"parts":["R1","R2","R3"]}` {
			s.t.Errorf("complete has %s", b)
		}
		reply = map[string]any{"etag": "E"}
	case path == "/files":
		if string(b) != `{"etag":"E","upload":"u1"}` {
			s.t.Errorf("the file is made of %s", b)
		}
		reply = map[string]any{"id": "f1"}
	case path == "/f/f1":
		s.polls++
		reply = map[string]any{"ready": s.polls > 2}
	case path == "/u/u1":
		reply = map[string]any{}
	default:
		s.t.Errorf("was asked for %s %s", r.Method, r.URL)
	}
	if s.after != nil && !s.after(n) {
		panic(http.ErrAbortHandler)
	}
	if reply != nil {
		if err := json.NewEncoder(w).Encode(reply); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *states) count(what string) (n int) {
	for _, x := range s.seen {
		if x == what {
			n++
		}
	}
	return n
}

// TestEveryState takes a file through each state: undisturbed, with each reply
// lost, and stopped at each request and continued by another process.
func TestEveryState(t *testing.T) {
	body := []byte("0123456789")
	file := filepath.Join(t.TempDir(), "a.bin")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := provider.Load(write(t, "states.yaml", everyState))
	if err != nil {
		t.Fatal(err)
	}
	type rig struct {
		api *states
		run func(context.Context) (upload.Report, error)
	}
	open := func(t *testing.T) rig {
		api := &states{t: t, parts: map[string][]byte{}}
		server := httptest.NewServer(api)
		t.Cleanup(server.Close)
		dir := filepath.Join(t.TempDir(), "journal")
		return rig{api, func(ctx context.Context) (upload.Report, error) {
			p, err := d.Open(provider.Settings{Base: server.URL, Keys: []provider.Secret{key(testKey)}})
			if err != nil {
				t.Fatal(err)
			}
			u := &upload.Uploader{
				Provider: p, Target: p.Target(), Journal: &journal.Journal{Dir: dir}, Concurrency: 1,
				Retry: transport.Policy{Retries: 3, Base: time.Millisecond},
			}
			return u.Upload(ctx, upload.File{Path: file})
		}}
	}
	ended := func(t *testing.T, r rig, rep upload.Report, err error) {
		t.Helper()
		if err != nil || rep.Result.Value != "f1" || rep.Verification != upload.VerifiedETag {
			t.Errorf("%q, %s, %v", rep.Result.Value, rep.Verification, err)
		}
		if got := string(r.api.parts["1"]) + string(r.api.parts["2"]) + string(r.api.parts["3"]); got != string(body) {
			t.Errorf("stored %q", got)
		}
	}
	r := open(t)
	rep, err := r.run(t.Context())
	ended(t, r, rep, err)
	all := len(r.api.seen)
	if all < 16 || r.api.polls != 3 {
		t.Fatalf("asked %v", r.api.seen)
	}
	for n := 1; n <= all; n++ {
		t.Run(fmt.Sprintf("the reply to request %d is lost", n), func(t *testing.T) {
			r := open(t)
			r.api.after = func(at int) bool { return at != n }
			rep, err := r.run(t.Context())
			ended(t, r, rep, err)
		})
		t.Run(fmt.Sprintf("stopped at request %d", n), func(t *testing.T) {
			r := open(t)
			ctx, stop := context.WithCancelCause(t.Context())
			stopped := errors.New("stopped")
			r.api.before = func(at int) bool {
				if at >= n {
					stop(stopped)
				}
				return at < n // whatever comes meanwhile is lost
			}
			if _, err := r.run(ctx); err == nil {
				t.Fatal("it came to its end")
			}
			stored := r.api.count("PUT /store/1")
			confirmed := r.api.count("POST /add/1") > 0
			r.api.before = nil
			rep, err := r.run(t.Context())
			ended(t, r, rep, err)
			if confirmed && r.api.count("PUT /store/1") != stored {
				t.Errorf("part 1 was stored again: %v", r.api.seen)
			}
			if c, f := r.api.count("POST /c/u1"), r.api.count("POST /files"); c > 2 || f > 2 || c == 2 && f == 2 {
				t.Errorf("completed %d and %d times: %v", c, f, r.api.seen)
			}
		})
	}
}
