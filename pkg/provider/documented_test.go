package provider_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

const manifestsDir = "../../docs/manifests"

// TestDocumentedManifests holds each manifest of the documentation to what
// provider check says: valid, with samples of its steps that pass.
func TestDocumentedManifests(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(manifestsDir, "*.yaml"))
	if err != nil || len(paths) < len(simulators) {
		t.Fatalf("%d manifests and %d simulators, %v", len(paths), len(simulators), err)
	}
	const page = 120 // lines
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		m, err := provider.Load(name, manifestsDir)
		if err != nil {
			t.Error(err)
			continue
		}
		if n, err := check.Samples(t.Context(), m); err != nil || n < 3 {
			t.Errorf("%s: %d samples, %v", name, n, err)
		}
		text := string(m.Text)
		if !strings.Contains(text, "\n# What it cannot do:") || strings.Count(text, "\n") > page {
			t.Errorf("%s does not say what it cannot do, or is longer than a page", name)
		}
		for _, o := range m.Options {
			if o.Help == "" {
				t.Errorf("%s: the option %s has no help", name, o.Name)
			}
		}
	}
}

// simulator is an API as its documentation has it, on this machine.
type simulator struct {
	options map[string]string
	// prefix comes before the base address of the manifest is extended.
	prefix string
	api    func(*simulation) map[string]endpoint
	auth   string // the header and what comes before the key, or the field of a form
	result string
	aborts bool
	again  bool // whether an address can be asked for again
	can    check.Subject
	// skip are cases of the contract that do not apply, beside those of skipped.
	skip []string
}

// endpoint answers a request whose JSON, form or query is in.
type endpoint func(r *http.Request, in map[string]any) (status int, out any)

// simulation is a simulator at work: its API and its store.
type simulation struct {
	t      *testing.T
	key    string
	store  string // its address
	auth   string
	later  bool // complete is to be asked more than once
	noETag bool
	signed map[string]string // headers that a part has to come with

	mu      sync.Mutex
	parts   map[int][]byte
	puts    map[int]int
	refuse  int // the store answers so many PUTs as past their end
	size    int64
	done    []byte // what was put together
	aborted int
	calls   map[string]int
}

// url is the presigned URL of a part. Any number of them is valid.
func (s *simulation) url(part int) string {
	return fmt.Sprintf("%s/parts/%d?X-Amz-Signature=0123456789abcdef", s.store, part)
}

func (s *simulation) urls(first, count int) []any {
	list := []any{}
	for n := first; n < first+count; n++ {
		list = append(list, s.url(n))
	}
	return list
}

// put stores a part and gives its ETag.
func (s *simulation) put(n int, b []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[n] = b
	s.puts[n]++
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// etag is that of a stored part.
func (s *simulation) etag(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := md5.Sum(s.parts[n])
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// assemble puts the parts together in the order of their numbers, and reports
// whether they are the number of parts that complete spoke of.
func (s *simulation) assemble(count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parts) != count || count <= 0 || s.aborted > 0 {
		return false
	}
	s.done = nil
	for n := 1; n <= count; n++ {
		s.done = append(s.done, s.parts[n]...)
	}
	return s.size < 0 || int64(len(s.done)) == s.size
}

// bucket is the store: it takes what comes to a signed address, and nothing
// that has to do with the API.
func (s *simulation) bucket(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/parts/"))
	if err != nil || r.Method != http.MethodPut || r.ContentLength < 0 {
		s.t.Errorf("the store was asked for %s %s", r.Method, r.URL)
	}
	for name, vs := range r.Header {
		if strings.Contains(strings.Join(vs, " "), s.key) {
			s.t.Errorf("the store was sent the key in %s", name)
		}
	}
	for name, v := range s.signed {
		if got := r.Header.Get(name); got != v && (got == "" || v != "*") {
			s.t.Errorf("the store was sent %s: %q, want %q", name, r.Header.Get(name), v)
		}
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return // interrupted
	}
	s.mu.Lock()
	expired, gone := s.refuse > 0, s.aborted > 0
	s.refuse--
	s.mu.Unlock()
	if gone {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchUpload</Code></Error>")
		return
	}
	if expired {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
		return
	}
	etag := s.put(n, b)
	if !s.noETag {
		w.Header().Set("ETag", etag)
	}
	w.WriteHeader(http.StatusOK)
}

// ServeHTTP is the API.
func (s *simulation) serve(endpoints map[string]endpoint) http.HandlerFunc {
	mux := http.NewServeMux()
	for pattern, answer := range endpoints {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			in := map[string]any{}
			switch kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind {
			case "application/json":
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					s.t.Errorf("%s: %v", pattern, err)
				}
			case "application/x-www-form-urlencoded":
				if err := r.ParseForm(); err != nil {
					s.t.Errorf("%s: %v", pattern, err)
				}
				for k, v := range r.PostForm {
					in[k] = v[0]
				}
			}
			for k, v := range r.URL.Query() {
				in[k] = v[0]
			}
			s.mu.Lock()
			s.calls[pattern]++
			s.mu.Unlock()
			if !s.knows(r, in) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			status, out := answer(r, in)
			if h, ok := out.(http.Header); ok {
				for k, v := range h {
					w.Header()[k] = v
				}
				out = nil
			}
			if out != nil {
				w.Header().Set("Content-Type", "application/json")
			}
			w.WriteHeader(status)
			if out != nil {
				_ = json.NewEncoder(w).Encode(out)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.t.Errorf("the API was asked for %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
	})
	return mux.ServeHTTP
}

// knows reports whether a request has the key, where the API wants it.
func (s *simulation) knows(r *http.Request, in map[string]any) bool {
	where, prefix, _ := strings.Cut(s.auth, ": ")
	if where == "form" {
		return in[prefix] == s.key
	}
	return r.Header.Get(where) == prefix+s.key
}

// begin begins an upload: there is one at a time.
func (s *simulation) begin(size any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size, s.parts, s.done, s.aborted = int64(number(size)), map[int][]byte{}, nil, 0
}

func (s *simulation) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted++
}

func (s *simulation) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aborted > 0
}

// count is the number of parts of a size.
func (s *simulation) count(each int) int { return max(1, (int(s.size)+each-1)/each) }

// equal holds that a field of a request is what it should be.
func (s *simulation) equal(what string, got, want any) {
	b, err := json.Marshal(want)
	if err != nil {
		s.t.Error(err)
	}
	var plain any
	if err := json.Unmarshal(b, &plain); err != nil {
		s.t.Error(err)
	}
	if !reflect.DeepEqual(got, plain) {
		s.t.Errorf("%s is %v, want %v", what, got, plain)
	}
}

const (
	liveSize = 21_000_000 // above what the APIs want at least
	livePart = 5 << 20
)

type liveRun struct {
	sim  *simulation
	up   *upload.Uploader
	file string
	body []byte
}

func live(t *testing.T, name string) *liveRun {
	t.Helper()
	c := simulators[name]
	s := &simulation{t: t, key: "key-of-" + name + "-0a1b2c3d", auth: c.auth, later: true, parts: map[int][]byte{}, puts: map[int]int{}, calls: map[string]int{}}
	store := httptest.NewServer(http.HandlerFunc(s.bucket))
	t.Cleanup(store.Close)
	s.store = store.URL
	api := httptest.NewServer(s.serve(c.api(s)))
	t.Cleanup(api.Close)
	m, err := loadLarge(t, name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Open(provider.Settings{Base: api.URL + c.prefix, Keys: []provider.Secret{key(s.key)}, Options: c.options})
	if err != nil {
		t.Fatal(err)
	}
	l := &liveRun{sim: s, file: filepath.Join(t.TempDir(), "film 1.mp4"), body: make([]byte, liveSize)}
	_, _ = rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32s", name)))).Read(l.body)
	if err := os.WriteFile(l.file, l.body, 0o600); err != nil {
		t.Fatal(err)
	}
	l.up = &upload.Uploader{
		Provider: p, Target: p.Target(), Journal: &journal.Journal{Dir: filepath.Join(t.TempDir(), "journal")},
		Concurrency: 2, Retry: transport.Policy{Retries: 4, Base: time.Millisecond},
	}
	if p.Limits().MinPart > 0 || p.Limits().MaxPart > 0 {
		l.up.PartSize = livePart // where we choose
	}
	return l
}

// stored holds that what the API put together is the file.
func (l *liveRun) stored(t *testing.T, r upload.Report, err error, result string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if r.Result.Value != result {
		t.Errorf("the result is %q, want %q", r.Result.Value, result)
	}
	if !bytes.Equal(l.sim.done, l.body) {
		t.Errorf("%d bytes were put together, and they are not the file", len(l.sim.done))
	}
}

// TestUploads takes a file through each API: whole, and interrupted after its
// first part and taken up again.
func TestUploads(t *testing.T) {
	for name, c := range simulators {
		t.Run(name, func(t *testing.T) {
			l := live(t, name)
			r, err := l.up.Upload(t.Context(), upload.File{Path: l.file})
			l.stored(t, r, err, c.result)
			if name == "box" && r.Verification != upload.VerifiedSHA1 {
				t.Errorf("verified by %s", r.Verification)
			}
			if r.Parts < 3 {
				t.Errorf("it had %d parts", r.Parts)
			}
		})
		t.Run(name+", interrupted", func(t *testing.T) {
			l := live(t, name)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			l.up.Observe = func(e upload.Event) {
				if _, ok := e.(upload.Stored); ok {
					stop()
				}
			}
			r, err := l.up.Upload(ctx, upload.File{Path: l.file})
			if !errors.Is(err, context.Canceled) || r.PartsStored == 0 || r.PartsStored >= r.Parts {
				t.Fatalf("was not interrupted: %d of %d parts, %v", r.PartsStored, r.Parts, err)
			}
			before := r.PartsStored
			l.up.Observe = nil
			r, err = l.up.Upload(t.Context(), upload.File{Path: l.file})
			l.stored(t, r, err, c.result)
			if r.PartsReused < before {
				t.Errorf("%d parts were stored, and %d used again", before, r.PartsReused)
			}
		})
		t.Run(name+", refused addresses", func(t *testing.T) {
			l := live(t, name)
			if len(l.sim.calls) > 0 || c.api == nil {
				t.Fatal("used before")
			}
			l.sim.refuse = 1
			over := false
			l.up.Observe = func(e upload.Event) {
				if w, ok := e.(upload.Warning); ok && strings.Contains(progress.Text(w), "starting over") {
					over = true
				}
			}
			r, err := l.up.Upload(t.Context(), upload.File{Path: l.file})
			l.stored(t, r, err, c.result)
			// Asked for again or begun again, where the store is asked at all.
			if refused := l.sim.refuse < 1; over == c.again && refused {
				t.Errorf("started over: %v", over)
			}
		})
		t.Run(name+", aborted", func(t *testing.T) {
			l := live(t, name)
			f := upload.File{Path: l.file, Name: filepath.Base(l.file), Type: "video/mp4", Size: liveSize}
			u, _, err := l.up.Provider.Create(t.Context(), f, upload.Hint{PartSize: l.up.PartSize})
			if err != nil {
				t.Fatal(err)
			}
			err = l.up.Provider.Abort(t.Context(), u)
			if c.aborts != (err == nil) || c.aborts == errors.Is(err, errors.ErrUnsupported) || (l.sim.aborted == 1) != c.aborts {
				t.Errorf("aborts: %v, it was asked %d times, %v", c.aborts, l.sim.aborted, err)
			}
		})
	}
}

func number(v any) int {
	switch v := v.(type) {
	case float64:
		return int(v)
	case string:
		n, _ := strconv.Atoi(v)
		return n
	}
	return -1
}

// etags is the number of receipts in a list; -1 if one is not that of its part.
func (s *simulation) etags(v any, numberKey, etagKey string) int {
	list, _ := v.([]any)
	for i, e := range list {
		m, _ := e.(map[string]any)
		if number(m[numberKey]) != i+1 || m[etagKey] != s.etag(i+1) {
			return -1
		}
	}
	return len(list)
}

var no = map[string]any{"message": "not all parts are there"}

// simulators are the APIs of docs/manifests, by name.
var simulators = map[string]simulator{
	"azure-openai": {
		can: check.Subject{PartSize: 64 << 10, Renewable: true}, skip: []string{"a forged receipt"},
		auth:    "Api-Key: ",
		options: map[string]string{"purpose": "fine-tune"}, result: "file-1",
		api: func(s *simulation) map[string]endpoint {
			check := func(_ *http.Request, in map[string]any) {
				s.equal("api-version", in["api-version"], "2024-10-21")
			}
			ids := map[string]int{}
			return map[string]endpoint{
				"POST /openai/uploads": func(r *http.Request, in map[string]any) (int, any) {
					check(r, in)
					s.begin(in["bytes"])
					clear(ids)
					s.equal("purpose", in["purpose"], "fine-tune")
					return 200, map[string]any{"id": "upload_1", "bytes": in["bytes"], "status": "pending", "expires_at": time.Now().Add(2 * time.Hour).Unix()}
				},
				"POST /openai/uploads/upload_1/parts": func(r *http.Request, in map[string]any) (int, any) {
					check(r, in)
					f, _, err := r.FormFile("data")
					if err != nil {
						return 400, no
					}
					b, _ := io.ReadAll(f)
					s.mu.Lock()
					n := len(ids) + 1
					id := fmt.Sprintf("part_%d", 100+7*n)
					ids[id] = n
					s.mu.Unlock()
					s.put(-n, b)
					return 200, map[string]any{"id": id, "azure_block_id": "b"}
				},
				"POST /openai/uploads/upload_1/complete": func(r *http.Request, in map[string]any) (int, any) {
					check(r, in)
					s.mu.Lock()
					defer s.mu.Unlock()
					s.done = nil
					for _, id := range in["part_ids"].([]any) {
						s.done = append(s.done, s.parts[-ids[id.(string)]]...)
					}
					if int64(len(s.done)) != s.size {
						return 400, no
					}
					return 200, map[string]any{"id": "upload_1", "status": "completed", "file": map[string]any{"id": "file-1"}}
				},
			}
		},
	},
	"hyperstack": {
		can:    check.Subject{PartSize: livePart, Aborts: true},
		auth:   "Api_key: ",
		result: "u/film 1.mp4", aborts: true,
		api: func(s *simulation) map[string]endpoint {
			return map[string]endpoint{
				"GET /data/multipart-signed-url": func(r *http.Request, in map[string]any) (int, any) {
					s.begin(-1) // it is not told
					return 200, map[string]any{"filename": "u/film 1.mp4", "uploadID": "u1", "presignedURLs": s.urls(1, number(in["chunks"]))}
				},
				"POST /data/multipart-complete": func(r *http.Request, in map[string]any) (int, any) {
					s.equal("uploadID", in["uploadID"], "u1")
					s.equal("filename", in["filename"], "u/film 1.mp4")
					if !s.assemble(s.etags(in["parts"], "PartNumber", "ETag")) {
						return 400, no
					}
					return 200, map[string]any{}
				},
				"POST /data/multipart-abort": func(_ *http.Request, in map[string]any) (int, any) {
					s.equal("uploadID", in["uploadID"], "u1")
					s.abort()
					return 200, nil
				},
			}
		},
	},
	"notion": {
		can: check.Subject{PartSize: livePart, Renewable: true, Probes: true}, skip: append([]string{"a forged receipt"}, roundTrips...),
		auth:   "Authorization: Bearer ",
		result: "u1",
		api: func(s *simulation) map[string]endpoint {
			check := func(r *http.Request) {
				s.equal("Notion-Version", r.Header.Get("Notion-Version"), "2022-06-28")
			}
			total, status := 0, "pending"
			object := func() map[string]any {
				return map[string]any{"id": "u1", "status": status, "expiry_time": time.Now().Add(time.Hour).Format(time.RFC3339)}
			}
			return map[string]endpoint{
				"POST /v1/file_uploads": func(r *http.Request, in map[string]any) (int, any) {
					check(r)
					s.equal("mode", in["mode"], "multi_part")
					s.begin(-1)
					total, status = number(in["number_of_parts"]), "pending"
					return 200, object()
				},
				"POST /v1/file_uploads/u1/send": func(r *http.Request, _ map[string]any) (int, any) {
					check(r)
					f, _, err := r.FormFile("file")
					if err != nil {
						return 400, no
					}
					b, _ := io.ReadAll(f)
					s.put(number(r.FormValue("part_number")), b)
					return 200, object()
				},
				"POST /v1/file_uploads/u1/complete": func(r *http.Request, in map[string]any) (int, any) {
					check(r)
					if r.ContentLength > 0 || len(in) > 0 || !s.assemble(total) {
						return 400, no
					}
					status = "uploaded"
					return 200, object()
				},
				"GET /v1/file_uploads/u1": func(r *http.Request, _ map[string]any) (int, any) {
					check(r)
					return 200, object()
				},
			}
		},
	},
	"uploadcare": {
		can: check.Subject{PartSize: livePart}, skip: append([]string{"a forged receipt", "where the key went"}, roundTrips...),
		auth:   "form: UPLOADCARE_PUB_KEY",
		result: "u1",
		api: func(s *simulation) map[string]endpoint {
			s.noETag = true
			s.signed = map[string]string{"Content-Type": "*"}
			count := 0
			return map[string]endpoint{
				"POST /multipart/start/": func(_ *http.Request, in map[string]any) (int, any) {
					s.begin(in["size"])
					count = s.count(number(in["part_size"]))
					return 200, map[string]any{"uuid": "u1", "parts": s.urls(1, count)}
				},
				"POST /multipart/complete/": func(_ *http.Request, in map[string]any) (int, any) {
					if in["uuid"] != "u1" || !s.assemble(count) {
						return 400, no
					}
					return 200, map[string]any{"uuid": "u1"}
				},
			}
		},
	},
	"databricks": {
		can:     check.Subject{PartSize: livePart, Renewable: true},
		auth:    "Authorization: Bearer ",
		options: map[string]string{"folder": "/Volumes/main/default/raw"}, result: "/Volumes/main/default/raw/film 1.mp4", again: true,
		api: func(s *simulation) map[string]endpoint {
			name := ""
			s.signed = map[string]string{"X-Ms-Blob-Type": "BlockBlob"}
			return map[string]endpoint{
				"POST /api/2.0/fs/files/Volumes/main/default/raw/{name}": func(r *http.Request, in map[string]any) (int, any) {
					name = r.PathValue("name")
					if in["action"] == "initiate-upload" {
						s.begin(-1)
						return 200, map[string]any{"multipart_upload": map[string]any{"session_token": "t/1"}}
					}
					s.equal("action", in["action"], "complete-upload")
					s.equal("upload_type", in["upload_type"], "multipart")
					s.equal("session_token", in["session_token"], "t/1")
					if !s.assemble(s.etags(in["parts"], "part_number", "etag")) {
						return 400, no
					}
					return 200, nil
				},
				"POST /api/2.0/fs/create-upload-part-urls": func(r *http.Request, in map[string]any) (int, any) {
					s.equal("path", in["path"], "/Volumes/main/default/raw/"+name)
					s.equal("session_token", in["session_token"], "t/1")
					if _, err := time.Parse(time.RFC3339, fmt.Sprint(in["expire_time"])); err != nil {
						s.t.Error(err)
					}
					list := []any{}
					first := number(in["start_part_number"])
					for n := first; n < first+number(in["count"]); n++ {
						list = append(list, map[string]any{
							"part_number": n, "url": s.url(n),
							"headers": []any{map[string]any{"name": "x-ms-blob-type", "value": "BlockBlob"}},
						})
					}
					return 200, map[string]any{"upload_part_urls": list}
				},
			}
		},
	},
	"autodesk-oss": {
		can: check.Subject{PartSize: livePart, Renewable: true}, skip: append([]string{"a forged receipt"}, roundTrips...),
		auth:    "Authorization: Bearer ",
		options: map[string]string{"bucket": "my models"}, result: "urn:o1", again: true,
		api: func(s *simulation) map[string]endpoint {
			const path = " /oss/v2/buckets/{bucket}/objects/{name}/signeds3upload"
			check := func(r *http.Request) {
				s.equal("the bucket", r.PathValue("bucket"), "my models")
			}
			total := 0
			return map[string]endpoint{
				"GET" + path: func(r *http.Request, in map[string]any) (int, any) {
					check(r)
					if k, ok := in["uploadKey"]; ok {
						s.equal("uploadKey", k, "k1")
					} else {
						s.equal("firstPart", in["firstPart"], "1")
						s.begin(-1)
						total = number(in["parts"])
					}
					return 200, map[string]any{"uploadKey": "k1", "urls": s.urls(number(in["firstPart"]), number(in["parts"]))}
				},
				"POST" + path: func(r *http.Request, in map[string]any) (int, any) {
					check(r)
					s.equal("uploadKey", in["uploadKey"], "k1")
					if !s.assemble(total) {
						return 400, no
					}
					return 200, map[string]any{"objectId": "urn:o1"}
				},
			}
		},
	},
	"twelvelabs": {
		can:    check.Subject{PartSize: 4 << 20, Renewable: true, Probes: true},
		auth:   "X-Api-Key: ",
		prefix: "/v1.3", result: "a1", again: true,
		api: func(s *simulation) map[string]endpoint {
			const each = 4 << 20
			urls := func(first, n int) []any {
				list := []any{}
				for i := first; i < first+n; i++ {
					list = append(list, map[string]any{"chunk_index": i, "url": s.url(i), "expires_at": time.Now().Add(time.Hour).Format(time.RFC3339)})
				}
				return list
			}
			finished := false
			return map[string]endpoint{
				"POST /v1.3/assets/multipart-uploads": func(r *http.Request, in map[string]any) (int, any) {
					s.begin(in["total_size"])
					finished = false
					n := s.count(each)
					return 200, map[string]any{"upload_id": "u1", "asset_id": "a1", "chunk_size": each, "total_chunks": n, "upload_urls": urls(1, min(n, 2))}
				},
				"POST /v1.3/assets/multipart-uploads/u1/presigned-urls": func(r *http.Request, in map[string]any) (int, any) {
					return 200, map[string]any{"upload_urls": urls(number(in["start"]), number(in["count"]))}
				},
				"POST /v1.3/assets/multipart-uploads/u1": func(r *http.Request, in map[string]any) (int, any) {
					n := s.etags(in["completed_chunks"], "chunk_index", "proof")
					if n <= 0 {
						return 400, no
					}
					finished = s.assemble(n)
					return 200, map[string]any{"total_processed": n}
				},
				"GET /v1.3/assets/multipart-uploads/u1": func(*http.Request, map[string]any) (int, any) {
					return 200, map[string]any{"status": map[bool]string{true: "completed", false: "active"}[finished]}
				},
			}
		},
	},
	"box": {
		can: check.Subject{PartSize: 4 << 20, Renewable: true, Aborts: true, Digest: upload.DigestSHA1}, skip: append([]string{}, roundTrips...),
		auth:   "Authorization: Bearer ",
		prefix: "/api/2.0", result: "42", aborts: true,
		api: func(s *simulation) map[string]endpoint {
			const each = 4 << 20
			sha := func(b []byte) string {
				sum := sha1.Sum(b)
				return "sha=" + base64.StdEncoding.EncodeToString(sum[:])
			}
			part := func(n int, b []byte) map[string]any {
				return map[string]any{"part_id": fmt.Sprintf("P%d", n), "offset": (n - 1) * each, "size": len(b), "sha1": sha(b)}
			}
			commits := 0
			return map[string]endpoint{
				"POST /api/2.0/files/upload_sessions": func(r *http.Request, in map[string]any) (int, any) {
					s.begin(in["file_size"])
					return 201, map[string]any{"id": "s1", "part_size": each, "total_parts": s.count(each)}
				},
				"PUT /api/2.0/files/upload_sessions/s1": func(r *http.Request, _ map[string]any) (int, any) {
					b, err := io.ReadAll(r.Body)
					if err != nil || s.gone() {
						return 404, no
					}
					var from, to, all int
					if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &all); err != nil {
						s.t.Error(err)
					}
					if to-from+1 != len(b) || int64(all) != s.size || r.Header.Get("Digest") != sha(b) {
						s.t.Errorf("a part came with %v", r.Header)
						return 412, no
					}
					n := from/each + 1
					s.put(n, b)
					return 200, map[string]any{"part": part(n, b)}
				},
				"POST /api/2.0/files/upload_sessions/s1/commit": func(r *http.Request, in map[string]any) (int, any) {
					count := s.count(each)
					var want []any
					s.mu.Lock()
					for n := 1; n <= count; n++ {
						want = append(want, part(n, s.parts[n]))
					}
					s.mu.Unlock()
					if got, _ := in["parts"].([]any); fmt.Sprint(got...) != fmt.Sprint(plainJSON(want)...) || !s.assemble(count) || r.Header.Get("Digest") != sha(s.done) {
						return 412, no
					}
					switch commits++; {
					case s.later && commits == 1:
						return 202, http.Header{"Retry-After": {"0.01"}}
					case s.later && commits == 2:
						return 400, map[string]any{"code": "parts_mismatch", "message": "not yet"}
					}
					return 201, map[string]any{"entries": []any{map[string]any{"id": "42"}}}
				},
				"DELETE /api/2.0/files/upload_sessions/s1": func(*http.Request, map[string]any) (int, any) {
					s.abort()
					return 204, nil
				},
			}
		},
	},
	"adobe-aem": {
		can: check.Subject{PartSize: 4 << 20}, skip: append([]string{"a forged receipt"}, roundTrips...),
		auth:    "Authorization: Bearer ",
		options: map[string]string{"folder": "/content/dam/my films"}, result: "/content/dam/my films/film 1.mp4",
		api: func(s *simulation) map[string]endpoint {
			const least = 4 << 20
			var name any
			s.noETag = true
			return map[string]endpoint{
				"POST /content/dam/{folder}": func(r *http.Request, in map[string]any) (int, any) {
					if r.PathValue("folder") == "my films.initiateUpload.json" {
						s.begin(in["fileSize"])
						name = in["fileName"]
						return 200, map[string]any{"completeURI": "/content/dam/my%20films.completeUpload.json", "files": []any{map[string]any{
							"fileName": in["fileName"], "mimeType": "video/mp4", "uploadToken": "t1", "minPartSize": least, "maxPartSize": 100 << 20,
							"uploadURIs": s.urls(1, s.count(least)+3),
						}}}
					}
					s.equal("the path", r.PathValue("folder"), "my films.completeUpload.json")
					s.equal("the form", in, map[string]any{"fileName": name, "mimeType": "video/mp4", "uploadToken": "t1"})
					if !s.assemble(s.count(least)) {
						return 400, no
					}
					return 200, nil
				},
			}
		},
	},
}

func plainJSON(v []any) (out []any) {
	b, err := json.Marshal(v)
	if err != nil || json.Unmarshal(b, &out) != nil {
		return nil
	}
	return out
}

// Cases of the contract that no simulator is for: they are about the store (a
// sandbox's or a real one is behind the built-in providers), or about what it
// says of an upload that is over, which none of the nine documents.
var skipped = []string{"empty file", "names", "a part cut short", "urls again", "a presigned URL past its end", "completed twice", "abort after complete", "an unknown upload", "asked how it ended", "taking over", "checkpoints", "another digest"}

// roundTrips look for each receipt in what complete sends, word for word: they
// are for APIs that want it back, and not inside something else.
var roundTrips = []string{"one byte", "one part", "one part and a byte", "several parts"}

// TestContractOfDocumented runs what applies of the contract against the
// simulators.
func TestContractOfDocumented(t *testing.T) {
	for name, c := range simulators {
		t.Run(name, func(t *testing.T) {
			m, err := loadLarge(t, name)
			if err != nil {
				t.Fatal(err)
			}
			s := &simulation{t: t, key: goodKey, auth: c.auth, parts: map[int][]byte{}, puts: map[int]int{}, calls: map[string]int{}}
			wire := &check.Recorder{}
			store := httptest.NewServer(wire.Handler(check.Store, http.HandlerFunc(s.bucket)))
			t.Cleanup(store.Close)
			s.store = store.URL
			api := httptest.NewServer(wire.Handler(check.API, s.serve(c.api(s))))
			t.Cleanup(api.Close)
			can := c.can
			can.Key, can.BadKey, can.Wire = goodKey, badKey, wire
			can.Open = func(o check.Opening) (upload.Provider, error) {
				return m.Open(provider.Settings{Base: api.URL + c.prefix, Keys: []provider.Secret{contractKey(o.Key)}, Options: c.options})
			}
			can.Object = func(context.Context, upload.Upload, upload.Result) (string, []byte, error) {
				s.mu.Lock()
				defer s.mu.Unlock()
				return "", s.done, nil
			}
			for _, name := range check.Cases() {
				if !slices.Contains(skipped, name) && !slices.Contains(c.skip, name) {
					can.Only = append(can.Only, name)
				}
			}
			check.Run(t, can)
		})
	}
}

// TestRuns holds that an API whose requests are for parts that follow each
// other is asked for no others.
func TestRuns(t *testing.T) {
	l := live(t, "databricks")
	f := upload.File{Path: l.file, Name: "film 1.mp4", Size: liveSize}
	u, _, err := l.up.Provider.Create(t.Context(), f, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 9; n++ {
		u.Parts = append(u.Parts, upload.Part{Number: n})
	}
	asked := []upload.Part{u.Parts[3], u.Parts[0], u.Parts[4], u.Parts[6], u.Parts[5], u.Parts[8], u.Parts[3]}
	gs, err := l.up.Provider.Presign(t.Context(), u, asked)
	var got []int
	for _, g := range gs {
		got = append(got, g.Part)
	}
	if err != nil || !slices.Equal(got, []int{4, 5, 6, 7}) {
		t.Errorf("signed %v, %v", got, err)
	}
}

// smallSteps is the section of a manifest for small files.
var smallSteps = regexp.MustCompile(`(?m)^small:\n(?:[ #].*\n|\n)+`)

// loadLarge loads a manifest without its other way for small files: simulations
// are of the large ones' way, at sizes that a test can send.
func loadLarge(t *testing.T, name string) (*provider.Definition, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(manifestsDir, name+".yaml"))
	if err != nil {
		return nil, err
	}
	return provider.Load(write(t, name+".yaml", string(smallSteps.ReplaceAll(text, nil))))
}
