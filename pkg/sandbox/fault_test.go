package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

func TestFaultSyntax(t *testing.T) {
	for spec, want := range map[string]string{
		"":                                "no ':'",
		"put":                             "no ':'",
		"upload:status=503":               `no such step "upload"`,
		"put:":                            "no such kind",
		"put:explode":                     `no such kind "explode"`,
		"put:status":                      "is not a status",
		"put:status=99":                   "is not a status",
		"put:status=503,retry-after":      "not NAME=VALUE",
		"put@part:reset":                  "is not a count",
		"put@part=-1:reset":               "is not a count",
		"put@part=1@part=2:reset":         "twice",
		"put@times=0:reset":               "is not a count",
		"put@when=now:reset":              "no such condition",
		"create@part=1:reset":             "@part is for put",
		"put:reset=ten":                   "not a size",
		"put:reset=-1":                    "not a size",
		"put:slow":                        "not a size",
		"put:slow=0":                      "above 0",
		"put:expire=gcs":                  "no such store",
		"put:no-etag=1":                   "no argument",
		"create:expire":                   "happens at put",
		"complete:no-etag":                "happens at put",
		"put:once":                        "happens at complete",
		"put:error-in-200":                "not at put",
		"create:redirect":                 "is not a URL",
		"create:redirect=200,http://a":    "is not a redirect",
		"create:patch=[]":                 "is not a JSON object",
		"create:patch={":                  "is not JSON",
		"put:kill=0":                      "is not a process id",
		"put:kill=me":                     "is not a process id",
		"put:html=1":                      "is not a status",
		"put@part=1@after=1@times=x:html": "is not a count",
	} {
		if _, err := sandbox.ParseFaults(spec); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", spec)) {
			t.Errorf("%q: %v, want %q", spec, err, want)
		}
	}
	f, err := sandbox.ParseFaults("put:reset", "put@part=3@after=2@times=all:status=503,Retry-After=2,code=SlowDown")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Unfired(); len(got) != 2 {
		t.Errorf("unfired: %q", got)
	}
	if err := f.Add("put:corrupt", "nonsense"); err == nil || len(f.Unfired()) != 2 {
		t.Errorf("half a list was added: %v, %q", err, f.Unfired())
	}
	f.Clear()
	if got := f.Unfired(); got != nil {
		t.Errorf("unfired: %q", got)
	}
	var none *sandbox.Faults
	if none.Unfired() != nil || none.Fired() != 0 {
		t.Error("no faults are not nothing")
	}
}

// What cannot happen is said at the start, and when it is added later.
func TestFaultsThatCannotHappen(t *testing.T) {
	for api, specs := range map[string][]string{
		"upscayl":   {"presign:reset", "checkpoint:reset", "abort:reset", "status:reset", "put:bad-json", `put:patch={}`, "put:kill"},
		"openai":    {"presign:reset", "put:expire", "put:wrong-etag", "put:opaque-etag", "put:truncate-store", "complete:kill-late"},
		"fileai":    {"abort:status=500"},
		"archetype": {"status:status=500"},
	} {
		for _, spec := range specs {
			f, err := sandbox.ParseFaults(spec)
			if err != nil {
				t.Fatal(err)
			}
			s := &sandbox.Server{API: api, Dir: t.TempDir(), Faults: f}
			if _, err := s.Handler(); err == nil || !strings.Contains(err.Error(), spec) {
				t.Errorf("%s %s: %v", api, spec, err)
			}
			s = &sandbox.Server{API: api, Dir: t.TempDir(), Faults: &sandbox.Faults{}}
			if _, err := s.Handler(); err != nil {
				t.Fatal(err)
			}
			if err := s.Faults.Add(spec); err == nil {
				t.Errorf("%s %s could be added", api, spec)
			}
		}
	}
	f, _ := sandbox.ParseFaults("put:corrupt")
	if _, err := (&sandbox.Server{API: "fileai", Dir: t.TempDir(), Faults: f, Discard: true}).Handler(); err == nil {
		t.Error("what is discarded cannot be corrupted")
	}
}

// isReset reports that a connection ended without an answer. (While it writes,
// Go's client may see that it closed the connection itself, for that reason.)
func isReset(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func TestFaultsOfPut(t *testing.T) {
	file := bytesOf(300_000)
	md5 := quotedMD5(file)
	for spec, check := range map[string]func(t *testing.T, r *rig, link string){
		"put:status=503,retry-after=7,code=Busy": func(t *testing.T, r *rig, link string) {
			if a := refused(t, 503, "Busy", link, file); a.header.Get("Retry-After") != "7" {
				t.Error(a.header)
			}
		},
		"put:status=503": func(t *testing.T, _ *rig, link string) { refused(t, 503, "SlowDown", link, file) },
		"put:status=400,code=RequestTimeout,message=slow": func(t *testing.T, _ *rig, link string) {
			refused(t, 400, "RequestTimeout", link, file)
		},
		"put:reset": func(t *testing.T, r *rig, link string) {
			if _, err := tryPut(t, link, file); !isReset(err) {
				t.Error(err)
			}
		},
		"put:reset=100k": func(t *testing.T, r *rig, link string) {
			if _, err := tryPut(t, link, file); !isReset(err) {
				t.Error(err)
			}
			if got := r.s.Requests()[1]; got.Bytes < 100_000 || got.Stored || got.Status != 0 {
				t.Errorf("%+v", got)
			}
		},
		"put:expire":       func(t *testing.T, _ *rig, link string) { refused(t, 403, "AccessDenied", link, file) },
		"put:expire=token": func(t *testing.T, _ *rig, link string) { refused(t, 400, "ExpiredToken", link, file) },
		"put:expire=azure": func(t *testing.T, _ *rig, link string) {
			if a := refused(t, 403, "AuthenticationFailed", link, file); !strings.Contains(a.raw, "<AuthenticationErrorDetail>Signature not valid in the specified time frame") {
				t.Error(a.raw)
			}
		},
		"put:html": func(t *testing.T, _ *rig, link string) {
			if a, err := tryPut(t, link, file); err != nil || a.status != 200 || !strings.Contains(a.raw, "<html>") || a.header.Get("ETag") != "" {
				t.Error(a, err)
			}
		},
		"put:redirect=http://127.0.0.1:1/": func(t *testing.T, _ *rig, link string) {
			if a, err := tryPut(t, link, file); err != nil || a.status != 307 || a.header.Get("Location") != "http://127.0.0.1:1/" {
				t.Error(a, err)
			}
		},
		"put:redirect=301,https://example.com/": func(t *testing.T, _ *rig, link string) {
			if a, err := tryPut(t, link, file); err != nil || a.status != 301 {
				t.Error(a, err)
			}
		},
	} {
		t.Run(spec, func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "archetype"}, spec)
			plan := r.open(len(file))
			link := plan.text("parts", 0, "url")
			check(t, r, link)
			if r.s.Puts(1) != 0 {
				t.Error("it is stored all the same")
			}
			if got := r.s.Requests()[1].Fault; got != spec {
				t.Errorf("the record says the fault was %q", got)
			}
			if got := put(t, link, file); got != md5 {
				t.Errorf("the next put: ETag %s", got)
			}
			r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion([]token{{1, md5}}, crc32c(file)))
		})
	}
	// Those that store something.
	for spec, check := range map[string]func(t *testing.T, r *rig, link string, done func(status int, etag string)){
		"put:lost-reply": func(t *testing.T, _ *rig, link string, done func(int, string)) {
			if _, err := tryPut(t, link, file); !isReset(err) {
				t.Error(err)
			}
			done(200, md5)
		},
		"put:status-late=500": func(t *testing.T, _ *rig, link string, done func(int, string)) {
			refused(t, 500, "InternalError", link, file)
			done(200, md5)
		},
		"put:no-etag": func(t *testing.T, _ *rig, link string, done func(int, string)) {
			if got := put(t, link, file); got != "" {
				t.Error(got)
			}
			done(200, md5)
		},
		"put:wrong-etag": func(t *testing.T, _ *rig, link string, done func(int, string)) {
			got := put(t, link, file)
			if got == md5 || !regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(got) {
				t.Error(got)
			}
			done(400, got)
			done(200, md5)
		},
		"put:opaque-etag": func(t *testing.T, _ *rig, link string, done func(int, string)) {
			got := put(t, link, file)
			if regexp.MustCompile(`^"[0-9a-f]{32}"$`).MatchString(got) || got == "" {
				t.Error(got)
			}
			done(400, md5)
			done(200, got)
		},
		"put:corrupt": func(t *testing.T, r *rig, link string, done func(int, string)) {
			got := put(t, link, file)
			bad := slices.Clone(file)
			bad[0] ^= 1
			if got != quotedMD5(bad) {
				t.Errorf("%s, want %s", got, quotedMD5(bad))
			}
			done(200, got)
		},
		"put:slow=1MB": func(t *testing.T, r *rig, link string, done func(int, string)) {
			began := time.Now()
			got := put(t, link, file)
			if took := time.Since(began); took < 250*time.Millisecond {
				t.Errorf("300 kB at 1 MB/s took %s", took)
			}
			done(200, got)
		},
	} {
		t.Run(spec, func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "archetype"}, spec)
			plan := r.open(len(file))
			check(t, r, plan.text("parts", 0, "url"), func(status int, etag string) {
				r.post(status, "/files/uploads/"+plan.text("upload_id")+"/complete", completion([]token{{1, etag}}, ""))
			})
			if r.s.Puts(1) != 1 {
				t.Errorf("stored %d times", r.s.Puts(1))
			}
		})
	}
}

// A flipped byte is what Content-MD5 is for.
func TestCorruptAndContentMD5(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"}, "put:corrupt")
	refused(t, 400, "BadDigest", r.open(3).text("parts", 0, "url"), []byte("abc"), "Content-MD5", "kAFQmDzST7DWlj99KOF/cg==")
}

func TestTruncateStore(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"}, "put@part=1:truncate-store")
	plan := r.open(100)
	link := plan.text("parts", 0, "url")
	put(t, link, make([]byte, 100)) // a whole one does not set it off
	if left := r.s.Faults.Unfired(); len(left) != 1 {
		t.Errorf("unfired: %q", left)
	}
	line, err := raw(t, link, putHead(link, "Content-Length: 100")+"abc")
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Errorf("%q, %v", line, err)
	}
	a := r.post(400, "/files/uploads/"+plan.text("upload_id")+"/complete", completion([]token{{1, quotedMD5([]byte("abc"))}}, ""))
	if !strings.Contains(a.raw, "3 bytes and should have 100") {
		t.Error(a.raw)
	}
}

func TestStall(t *testing.T) {
	for _, spec := range []string{"put:stall", "put:stall=10", "put:stall-late", "create:stall"} {
		t.Run(spec, func(t *testing.T) {
			arrived := make(chan struct{}, 8)
			s := &sandbox.Server{API: "archetype", Before: func(sandbox.Request) { arrived <- struct{}{} }}
			r := run(t, s)
			link := r.open(1000).text("parts", 0, "url")
			<-arrived
			if err := s.Faults.Add(spec); err != nil {
				t.Fatal(err)
			}
			if spec == "create:stall" {
				link = r.base + "/files/uploads/initiate"
			}
			ctx, cancel := context.WithCancel(t.Context())
			method := map[bool]string{true: "POST", false: "PUT"}[spec == "create:stall"]
			req, _ := http.NewRequestWithContext(ctx, method, link, strings.NewReader(strings.Repeat("x", 1000)))
			done := make(chan error)
			go func() {
				resp, err := client.Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				done <- err
			}()
			<-arrived
			select {
			case err := <-done:
				t.Fatalf("it answered: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func TestFaultsOfTheAPI(t *testing.T) {
	file := []byte("abc")
	for spec, check := range map[string]func(t *testing.T, r *rig, try func() (answer, error)){
		"status=429,retry-after-ms=250,x-should-retry=true": func(t *testing.T, _ *rig, try func() (answer, error)) {
			a, err := try()
			if err != nil || a.status != 429 || a.header.Get("retry-after-ms") != "250" || a.header.Get("x-should-retry") != "true" || a.text("errors", 0, "code") != "rate_limited" {
				t.Error(a, err)
			}
		},
		"status=418,code=teapot,message=short and stout": func(t *testing.T, _ *rig, try func() (answer, error)) {
			if a, _ := try(); a.status != 418 || a.text("errors", 0, "code") != "teapot" || a.text("errors", 0, "message") != "short and stout" {
				t.Error(a)
			}
		},
		"reset": func(t *testing.T, _ *rig, try func() (answer, error)) {
			if _, err := try(); !isReset(err) {
				t.Error(err)
			}
		},
		"error-in-200": func(t *testing.T, _ *rig, try func() (answer, error)) {
			if a, _ := try(); a.status != 200 || a.text("errors", 0, "code") == "" {
				t.Error(a)
			}
		},
		"html=502": func(t *testing.T, _ *rig, try func() (answer, error)) {
			if a, _ := try(); a.status != 502 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
				t.Error(a)
			}
		},
	} {
		for _, step := range []string{"create", "presign", "checkpoint", "complete", "abort"} {
			spec := step + ":" + spec
			t.Run(spec, func(t *testing.T) {
				r := run(t, &sandbox.Server{API: "archetype"}, spec)
				call := func(step string) func() (answer, error) {
					return func() (answer, error) { return r.try("POST", "/files/uploads/initiate", initiate("a", 3, "")) }
				}
				if step == "create" {
					check(t, r, call(step))
				}
				plan := r.open(3)
				tokens := archetypePut(t, plan, file)
				base := "/files/uploads/" + plan.text("upload_id")
				bodies := map[string][2]string{
					"create": {"/files/uploads/initiate", initiate("a", 3, "")}, "presign": {base + "/parts/urls", `{"part_numbers":[1]}`},
					"checkpoint": {base + "/parts/checkpoint", `{"parts":[]}`}, "complete": {base + "/complete", completion(tokens, "")}, "abort": {base + "/abort", ""},
				}
				try := func() (answer, error) { return r.try("POST", bodies[step][0], bodies[step][1]) }
				if step != "create" {
					check(t, r, try)
				}
				if a, err := try(); err != nil || a.status != 200 { // nothing was done, so it can be done now
					t.Errorf("afterwards: %d %s %v", a.status, a.raw, err)
				}
			})
		}
	}
}

func TestRepliesThatChange(t *testing.T) {
	r := run(t, &sandbox.Server{API: "fileai"},
		`create@after=1:patch={"totalSize":5,"key":null,"new":{"a":1}}`,
		"create@after=2:bad-json", "complete:lost-reply")
	plan := r.post(200, fileaiPath, megabytes(3, 1<<20, ""))
	a := r.post(200, fileaiPath, megabytes(3, 1<<20, ""))
	if a.number("totalSize") != 5 || a.at("key") != nil || a.number("new", "a") != 1 || a.text("id") == "" {
		t.Error(a.raw)
	}
	a = r.post(200, fileaiPath, megabytes(3, 1<<20, ""))
	if a.json != nil || !strings.HasPrefix(a.raw, "{") {
		t.Error(a.raw)
	}
	body := fileaiDone(plan, fileaiPut(t, plan, []byte("abc")))
	if _, err := r.try("POST", fileaiPath+"/complete", body); !isReset(err) {
		t.Error(err)
	}
	r.wantObject([]byte("abc"))
	r.post(201, fileaiPath+"/complete", body)
}

// It was done, and the answer says that it was not.
func TestLateStatus(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"}, "complete:status-late=404,code=upload_not_found")
	plan := r.open(3)
	body := completion(archetypePut(t, plan, []byte("abc")), "")
	path := "/files/uploads/" + plan.text("upload_id") + "/complete"
	if a := r.post(404, path, body); a.text("errors", 0, "code") != "upload_not_found" {
		t.Error(a.raw)
	}
	r.wantObject([]byte("abc"))
	r.post(200, path, body)
}

// A store that forgot: complete was done, and says that there is no upload.
func TestOnce(t *testing.T) {
	t.Run("archetype", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "archetype"}, "complete:once")
		plan := r.open(3)
		body := completion(archetypePut(t, plan, []byte("abc")), "")
		path := "/files/uploads/" + plan.text("upload_id") + "/complete"
		r.post(200, path, body)
		if a := r.post(404, path, body); a.text("errors", 0, "code") != "upload_not_found" {
			t.Error(a.raw)
		}
	})
	t.Run("fileai", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "fileai"}, "complete:once")
		plan := r.post(200, fileaiPath, megabytes(3, 1<<20, ""))
		body := fileaiDone(plan, fileaiPut(t, plan, []byte("abc")))
		r.post(201, fileaiPath+"/complete", body)
		r.post(422, fileaiPath+"/complete", body)
	})
	t.Run("openai", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "openai"}, "complete:once")
		id := r.post(200, "/uploads", creation(3)).text("id")
		body := listed([]string{r.openaiPart(id, []byte("abc"))}, "")
		r.post(200, "/uploads/"+id+"/complete", body)
		r.post(404, "/uploads/"+id+"/complete", body)
	})
	t.Run("upscayl", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "upscayl"}, "complete:once")
		plan := r.post(200, "/get-upload-url", picture(3, ""))
		body := upscaylDone(plan, upscaylPut(t, plan, []byte("abc")))
		r.post(200, "/complete-multipart-upload", body)
		r.post(400, "/complete-multipart-upload", body)
	})
}

func TestFaultConditions(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 1}, "put@part=2@after=1@times=2:status=500", "put@part=2:status=503", "put@part=3:corrupt")
	plan := r.open(3)
	var got []int
	for range 5 {
		a, err := tryPut(t, plan.text("parts", 1, "url"), []byte("b"))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.status)
	}
	if want := []int{503, 500, 500, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	put(t, plan.text("parts", 0, "url"), []byte("a"))
	// Nothing to corrupt in an empty body: it waits for the next.
	put(t, plan.text("parts", 2, "url"), nil)
	if left := r.s.Faults.Unfired(); !slices.Equal(left, []string{"put@part=3:corrupt"}) {
		t.Errorf("unfired: %q", left)
	}
	put(t, plan.text("parts", 2, "url"), []byte("c"))
	if r.s.Faults.Fired() != 4 {
		t.Errorf("fired %d times", r.s.Faults.Fired())
	}
}

// A fault that met a request which was refused anyway did nothing.
func TestFaultOnRefusedPut(t *testing.T) {
	for _, kind := range []string{"corrupt", "opaque-etag", "wrong-etag", "no-etag"} {
		r := run(t, &sandbox.Server{API: "archetype"}, "put:"+kind)
		link := r.open(3).text("parts", 0, "url")
		refused(t, 403, "SignatureDoesNotMatch", link+"x", []byte("abc"))
		if left := r.s.Faults.Unfired(); len(left) != 1 {
			t.Errorf("%s: unfired: %q", kind, left)
		}
		if got := put(t, link, []byte("abc")); got == quotedMD5([]byte("abc")) {
			t.Errorf("%s: nothing happened", kind)
		}
	}
}

func TestFaultsOfOpenAIParts(t *testing.T) {
	kind, body := form("data", "f", []byte("abc"))
	for spec, check := range map[string]func(t *testing.T, a answer, err error){
		"put@part=1:status=503": func(t *testing.T, a answer, err error) {
			if a.status != 503 || a.text("error", "type") != "server_error" {
				t.Error(a, err)
			}
		},
		"put:reset=5": func(t *testing.T, a answer, err error) {
			if !isReset(err) {
				t.Error(a, err)
			}
		},
		"put:no-etag": func(t *testing.T, a answer, err error) {
			if a.status != 200 || a.at("id") != nil || a.text("object") != "upload.part" {
				t.Error(a, err)
			}
		},
		"put:bad-json": func(t *testing.T, a answer, err error) {
			if a.status != 200 || a.json != nil {
				t.Error(a, err)
			}
		},
		`put:patch={"id":""}`: func(t *testing.T, a answer, err error) {
			if a.status != 200 || a.at("id") != "" {
				t.Error(a, err)
			}
		},
		"put:lost-reply": func(t *testing.T, a answer, err error) {
			if !isReset(err) {
				t.Error(a, err)
			}
		},
		"put:slow=100k": func(t *testing.T, a answer, err error) {
			if a.status != 200 {
				t.Error(a, err)
			}
		},
	} {
		t.Run(spec, func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "openai"}, spec)
			id := r.post(200, "/uploads", creation(3)).text("id")
			a, err := r.tryForm("/uploads/"+id+"/parts", kind, body)
			check(t, a, err)
			r.post(200, "/uploads/"+id+"/complete", listed([]string{r.openaiPart(id, []byte("abc"))}, ""))
			r.wantObject([]byte("abc"))
		})
	}
	r := run(t, &sandbox.Server{API: "openai"}, "put@part=2:corrupt")
	id := r.post(200, "/uploads", creation(3)).text("id")
	r.openaiPart(id, nil)
	empty := r.openaiPart(id, nil) // nothing to corrupt
	if left := r.s.Faults.Unfired(); len(left) != 1 || empty == "" {
		t.Errorf("unfired: %q", left)
	}
	r.s.Faults.Clear()
	if err := r.s.Faults.Add("put@part=3:corrupt"); err != nil {
		t.Fatal(err)
	}
	part := r.openaiPart(id, []byte("abc"))
	r.post(400, "/uploads/"+id+"/complete", listed([]string{part}, hexMD5("abc")))
	r.post(200, "/uploads/"+id+"/complete", listed([]string{part}, hexMD5("`bc")))
}

func TestKill(t *testing.T) {
	if os.Getenv("SANDBOX_TEST_SLEEPER") != "" {
		select {} // it is here to be killed
	}
	sleeper := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		c.Env = append(os.Environ(), "SANDBOX_TEST_SLEEPER=1")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := sleeper()
	r := run(t, &sandbox.Server{API: "upscayl"}, fmt.Sprintf("create:kill=%d", c.Process.Pid))
	if _, err := r.try("POST", "/get-upload-url", picture(3, "")); !isReset(err) {
		t.Error(err)
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Errorf("the process lives: %v", err)
	}

	var killed atomic.Int32
	r = run(t, &sandbox.Server{API: "upscayl", Kill: func() { killed.Add(1) }}, "put:kill", "put@after=1:kill-late")
	link := r.post(200, "/get-upload-url", picture(3, "")).text("data", "partUrls", 0, "signedUrl")
	for i, stored := range []int{0, 1} {
		if _, err := tryPut(t, link, []byte("abc")); !isReset(err) || killed.Load() != int32(i+1) || r.s.Puts(1) != stored {
			t.Errorf("kill %d: %v, stored %d times", killed.Load(), err, r.s.Puts(1))
		}
	}
}

func TestHooks(t *testing.T) {
	var before, after []string
	s := &sandbox.Server{API: "archetype"}
	s.Before = func(q sandbox.Request) { before = append(before, fmt.Sprint(q.Step, q.Part, q.Stored, q.Status)) }
	s.After = func(q sandbox.Request) { after = append(after, fmt.Sprint(q.Step, q.Part, q.Stored, q.Status)) }
	r := run(t, s)
	put(t, r.open(3).text("parts", 0, "url"), []byte("abc"))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"create0 false 0", "put1 false 0"}; !slices.Equal(before, want) {
		t.Errorf("before: %q", before)
	}
	if want := []string{"create0 false 200", "put1 true 200"}; !slices.Equal(after, want) {
		t.Errorf("after: %q", after)
	}
}
