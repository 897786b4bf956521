package sandbox_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

// open starts an Archetype upload and returns its plan.
func (r *rig) open(size int) answer {
	r.t.Helper()
	return r.post(200, "/files/uploads/initiate", initiate("a", size, ""))
}

// raw sends text to the host of a URL and returns the first line of the
// answer, or an error if there is none.
func raw(t *testing.T, link, text string) (string, error) {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func putHead(link string, header string) string {
	u, _ := url.Parse(link)
	return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", u.RequestURI(), u.Host, header)
}

func TestStoreRules(t *testing.T) {
	now := newClock()
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100, URLLife: time.Minute, Now: now.Now})
	file := bytesOf(250)
	plan := r.open(250)
	link := plan.text("parts", 0, "url")
	change := func(f func(u *url.URL, q url.Values)) string {
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		f(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	set := func(k, v string) string { return change(func(_ *url.URL, q url.Values) { q.Set(k, v) }) }
	sum := md5.Sum(file[:100])
	good, bad := base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(make([]byte, 16))

	for name, c := range map[string]struct {
		status int
		code   string
		link   string
		header []string
	}{
		"part":             {403, "SignatureDoesNotMatch", set("partNumber", "2"), nil},
		"life":             {403, "SignatureDoesNotMatch", set("X-Amz-Expires", "61"), nil},
		"date":             {403, "SignatureDoesNotMatch", set("X-Amz-Date", "20261102T100001Z"), nil},
		"upload":           {403, "SignatureDoesNotMatch", set("uploadId", "x"), nil},
		"signature":        {403, "SignatureDoesNotMatch", set("X-Amz-Signature", strings.Repeat("0", 64)), nil},
		"more":             {403, "SignatureDoesNotMatch", set("x", "y"), nil},
		"path":             {403, "SignatureDoesNotMatch", change(func(u *url.URL, _ url.Values) { u.Path += "b" }), nil},
		"host":             {403, "SignatureDoesNotMatch", strings.Replace(link, "127.0.0.1", "localhost", 1), nil},
		"algorithm":        {400, "AuthorizationQueryParametersError", set("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), nil},
		"no date":          {400, "AuthorizationQueryParametersError", set("X-Amz-Date", ""), nil},
		"no signature":     {403, "AccessDenied", change(func(_ *url.URL, q url.Values) { q.Del("X-Amz-Signature") }), nil},
		"the API's key":    {400, "InvalidArgument", link, []string{"Authorization", "Bearer " + testKey}},
		"unsigned x-amz":   {403, "AccessDenied", link, []string{"X-Amz-Checksum-Crc32c", "AAAAAA=="}},
		"wrong MD5":        {400, "BadDigest", link, []string{"Content-MD5", bad}},
		"no MD5":           {400, "InvalidDigest", link, []string{"Content-MD5", "abc"}},
		"hexadecimal MD5":  {400, "InvalidDigest", link, []string{"Content-MD5", fmt.Sprintf("%x", sum)}},
		"wrong MD5, again": {400, "BadDigest", link, []string{"Content-MD5", bad, "Expect", "100-continue"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.status, c.code, c.link, file[:100], c.header...) })
	}
	if r.s.Puts(1) != 0 {
		t.Error("something was stored")
	}

	for method, status := range map[string]int{"GET": 403, "POST": 403, "DELETE": 403, "HEAD": 403} {
		req, _ := http.NewRequestWithContext(t.Context(), method, link, nil)
		if a, err := send(t, req); err != nil || a.status != status {
			t.Errorf("%s: %d %v", method, a.status, err)
		}
	}

	line, err := raw(t, link, putHead(link, "Transfer-Encoding: chunked")+"3\r\nabc\r\n0\r\n\r\n")
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 411") {
		t.Errorf("chunked: %q %v", line, err)
	}
	_, _ = raw(t, link, putHead(link, "Content-Length: 100")+string(file[:99])) // cut off: whatever it hears
	if r.s.Puts(1) != 0 {
		t.Error("a part that was cut off is stored")
	}
	base := "/files/uploads/" + plan.text("upload_id")
	if a := r.post(400, base+"/parts/checkpoint", completion([]token{{1, quotedMD5(file[:99])}}, "")); !strings.Contains(a.raw, "part 1") {
		t.Error(a.raw)
	}

	put(t, link, []byte("of another size, and replaced"))
	if got := put(t, link, file[:100], "Content-MD5", good, "Content-Type", "ignored/entirely", "Expect", "100-continue"); got != quotedMD5(file[:100]) {
		t.Errorf("the ETag is %s, want %s", got, quotedMD5(file[:100]))
	}
	if r.s.Puts(1) != 2 {
		t.Errorf("part 1 was stored %d times", r.s.Puts(1))
	}

	now.pass(time.Minute) // the last moment
	two := put(t, plan.text("parts", 1, "url"), file[100:200])
	now.pass(time.Second)
	a := refused(t, 403, "AccessDenied", plan.text("parts", 2, "url"), file[200:])
	for _, want := range []string{"<Message>Request has expired</Message>", "<Expires>2026-11-02T10:01:00Z</Expires>", "<ServerTime>2026-11-02T10:01:01Z</ServerTime>"} {
		if !strings.Contains(a.raw, want) {
			t.Errorf("expired: %s has no %s", a.raw, want)
		}
	}
	if a.header.Get("Content-Type") != "application/xml" || a.header.Get("Date") != "Mon, 02 Nov 2026 10:01:01 GMT" {
		t.Errorf("expired: %v", a.header)
	}
	again := r.post(200, base+"/parts/urls", `{"part_numbers":[3]}`)
	u, _ := url.Parse(again.text("parts", 0, "url"))
	if u.Query().Get("X-Amz-Date") != "20261102T100101Z" || u.Query().Get("X-Amz-Expires") != "60" || again.text("parts", 0, "expires_at") != "2026-11-02T10:02:01Z" {
		t.Errorf("a new URL: %s", again.raw)
	}
	three := put(t, u.String(), file[200:])
	r.post(200, base+"/complete", completion([]token{{1, quotedMD5(file[:100])}, {2, two}, {3, three}}, crc32c(file)))
	r.wantObject(file)
	list, _ := r.s.Finished()
	var sums []byte
	for part := range slices.Chunk(file, 100) {
		sum := md5.Sum(part)
		sums = append(sums, sum[:]...)
	}
	if want := fmt.Sprintf(`"%x-3"`, md5.Sum(sums)); list[0].ETag != want {
		t.Errorf("the ETag of the object is %s, want %s", list[0].ETag, want)
	}
	refused(t, 404, "NoSuchUpload", u.String(), file[200:])
	if m, _ := filepath.Glob(filepath.Join(r.s.Dir, "store", "*", "parts")); m != nil {
		t.Errorf("the parts are still there: %v", m)
	}
}

func TestMinPart(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100, MinPart: 101})
	file := bytesOf(150)
	plan := r.open(150)
	base := "/files/uploads/" + plan.text("upload_id")
	if a := r.post(400, base+"/complete", completion(archetypePut(t, plan, file), "")); !strings.Contains(a.raw, "smaller than the minimum") {
		t.Error(a.raw)
	}
	last := r.open(100) // the last part may be small
	r.post(200, "/files/uploads/"+last.text("upload_id")+"/complete", completion(archetypePut(t, last, file), ""))
}

// A part of another size than planned is not what the API asked for.
func TestPartOfAnotherSize(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100})
	plan := r.open(200)
	one, two := put(t, plan.text("parts", 0, "url"), make([]byte, 120)), put(t, plan.text("parts", 1, "url"), make([]byte, 80))
	a := r.post(400, "/files/uploads/"+plan.text("upload_id")+"/complete", completion([]token{{1, one}, {2, two}}, ""))
	if !strings.Contains(a.raw, "120 bytes and should have 100") {
		t.Error(a.raw)
	}
}

// The store is at another origin: the key must not come there, and the URLs
// are good for it alone.
func TestStoreElsewhere(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype", StoreListen: "127.0.0.1:0"})
	file := bytesOf(100)
	plan := r.post(200, "/files/uploads/initiate", initiate("a", 100, ""))
	link, _ := url.Parse(plan.text("parts", 0, "url"))
	api, _ := url.Parse(r.base)
	if link.Host == api.Host {
		t.Fatalf("the store is at the API's %s", link.Host)
	}
	link.Host = api.Host
	if a, err := tryPut(t, link.String(), file); err != nil || a.status != 404 {
		t.Errorf("a part sent to the API: %d %v", a.status, err)
	}
	tokens := archetypePut(t, plan, file)
	r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(tokens, ""))
	r.wantObject(file)
	seen := map[string]int{}
	for _, q := range r.s.Requests() {
		seen[q.At+" "+q.Step]++
		if got := strings.Contains(fmt.Sprint(q.Header), testKey); got != (q.At == "api" && q.Step != "") {
			t.Errorf("%s %s: has the key: %t", q.At, q.Path, got)
		}
		if strings.Contains(q.Query, "Signature=") && !strings.Contains(q.Query, "Signature=…") {
			t.Errorf("a signature is in the record: %s", q.Query)
		}
	}
	if seen["api create"] != 1 || seen["store put"] != 1 || seen["api complete"] != 1 || seen["api "] != 1 {
		t.Errorf("the record is %v", seen)
	}
	for _, q := range r.s.Requests() {
		if q.Step == sandbox.StepPut && (q.Upload != plan.text("upload_id") || q.Part != 1 || q.Bytes != 100 || q.Size != 100 || !q.Stored || q.Status != 200) {
			t.Errorf("the record of the put is %+v", q)
		}
	}
	if got := r.s.Puts(1); got != 1 {
		t.Errorf("part 1 was stored %d times, want once", got)
	}
}

func TestStoreURL(t *testing.T) {
	// A proxy in front: URLs are signed for its address.
	var s *sandbox.Server
	front := startProxy(t, func() http.Handler { _, store, _ := s.Handlers(); return store })
	s = &sandbox.Server{API: "upscayl", StoreURL: front}
	r := run(t, s)
	plan := r.post(200, "/get-upload-url", picture(3, ""))
	if !strings.HasPrefix(plan.text("data", "partUrls", 0, "signedUrl"), front+"/") {
		t.Fatal(plan.raw)
	}
	r.post(200, "/complete-multipart-upload", upscaylDone(plan, upscaylPut(t, plan, []byte("abc"))))
	r.wantObject([]byte("abc"))
}

// startProxy serves what h returns at an address that is known beforehand.
func startProxy(t *testing.T, h func() http.Handler) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h().ServeHTTP(w, r) })}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(), <-done); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

func TestParallelPuts(t *testing.T) {
	const part, parts = 10_000, 40
	r := run(t, &sandbox.Server{API: "archetype", PartSize: part})
	file := bytesOf(part*parts - 1)
	plan := r.open(len(file))
	tokens := make([]token, parts)
	var wg sync.WaitGroup
	for i := range parts {
		for range 3 { // and each of them more than once
			wg.Go(func() {
				from, size := plan.number("parts", i, "offset"), plan.number("parts", i, "length")
				a, err := tryPut(t, plan.text("parts", i, "url"), file[from:from+size])
				if err != nil || a.status != 200 || a.header.Get("ETag") != quotedMD5(file[from:from+size]) {
					t.Errorf("part %d: %d %v", i+1, a.status, err)
				}
			})
		}
		from, size := plan.number("parts", i, "offset"), plan.number("parts", i, "length")
		tokens[i] = token{int64(i + 1), quotedMD5(file[from : from+size])}
	}
	wg.Wait()
	// Many complete at a time, as clients do that lost an answer.
	var (
		mu   sync.Mutex
		seen = map[string]bool{}
	)
	for range 4 {
		wg.Go(func() {
			a, err := r.try("POST", "/files/uploads/"+plan.text("upload_id")+"/complete", completion(tokens, crc32c(file)))
			if err != nil || a.status != 200 {
				t.Errorf("complete: %d %s %v", a.status, a.raw, err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[a.raw] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d different answers to complete", len(seen))
	}
	r.wantObject(file)
}

// A sandbox that was killed goes on where it was.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	file := bytesOf(250)
	first := run(t, &sandbox.Server{API: "archetype", Dir: dir, PartSize: 100, StoreURL: "http://store.test"})
	plan := first.open(250)
	base := "/files/uploads/" + plan.text("upload_id")
	_, store, err := first.s.Handlers()
	if err != nil {
		t.Fatal(err)
	}
	serve := func(store http.Handler, i int) string {
		w := &recorder{header: http.Header{}}
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", plan.text("parts", i, "url"), bytes.NewReader(file[i*100:min(250, i*100+100)]))
		store.ServeHTTP(w, req)
		if w.status != 200 {
			t.Fatalf("put: %d %s", w.status, &w.body)
		}
		return w.header.Get("Etag")
	}
	one := serve(store, 0)
	first.post(200, base+"/parts/checkpoint", completion([]token{{1, one}}, ""))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	second := run(t, &sandbox.Server{API: "archetype", Dir: dir, PartSize: 50, ZeroBased: true, StoreURL: "http://store.test"})
	third := run(t, &sandbox.Server{API: "archetype", Dir: dir, StoreURL: "http://store.test"}) // at the same time
	_, store2, _ := second.s.Handlers()
	_, store3, _ := third.s.Handlers()
	two, three := serve(store2, 1), serve(store3, 2)
	resumed := second.post(200, "/files/uploads/initiate", initiate("a", 250, `,"resume_if_started":true`))
	if resumed.text("upload_id") != plan.text("upload_id") || len(resumed.list("parts")) != 2 || resumed.number("parts", 0, "part_number") != 2 {
		t.Errorf("resume: %s", resumed.raw)
	}
	done := third.post(200, base+"/complete", completion([]token{{2, two}, {3, three}}, crc32c(file)))
	if a := second.post(200, base+"/complete", completion([]token{{2, two}, {3, three}}, crc32c(file))); a.raw != done.raw {
		t.Errorf("complete at the other process: %s, want %s", a.raw, done.raw)
	}
	second.wantObject(file)
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(p []byte) (int, error) { return w.body.Write(p) }

// The process dies after the object is there, and before the API knows.
func TestCompletedByTheStoreAlone(t *testing.T) {
	dir := t.TempDir()
	first := run(t, &sandbox.Server{API: "archetype", Dir: dir})
	plan := first.open(3)
	base := "/files/uploads/" + plan.text("upload_id")
	body := completion(archetypePut(t, plan, []byte("abc")), crc32c([]byte("abc")))
	state := filepath.Join(dir, "api", "archetype", plan.text("upload_id"), "upload.json")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	first.post(200, base+"/complete", body)
	if err := os.WriteFile(state, before, 0o600); err != nil {
		t.Fatal(err)
	}
	first.post(200, base+"/complete", body)
	first.wantObject([]byte("abc"))
}

func TestPrivate(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"})
	walkArchetype(r, []byte("abc"))
	err := filepath.WalkDir(r.s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && path != r.s.Dir && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDiscard(t *testing.T) {
	for _, api := range sandbox.APIs() {
		r := run(t, &sandbox.Server{API: api, Discard: true, PartSize: 1000})
		file := bytesOf(2500)
		switch api {
		case "archetype":
			plan := r.open(len(file))
			r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(archetypePut(t, plan, file), ""))
		case "fileai":
			walkFileAI(r, file)
		case "openai":
			walkOpenAI(r, file, 1000)
		case "upscayl":
			walkUpscayl(r, file)
		}
		if m, _ := filepath.Glob(filepath.Join(r.s.Dir, "objects", "*")); m != nil {
			t.Errorf("%s: something was kept: %v", api, m)
		}
	}
}

func TestStart(t *testing.T) {
	for _, s := range []*sandbox.Server{
		{API: "", Dir: "x"},
		{API: "s3", Dir: "x"},
		{API: "openai"},
		{API: "archetype", Dir: t.TempDir(), Integrity: "md5"},
		{API: "archetype", Dir: t.TempDir(), PartSize: -1},
	} {
		if _, _, err := s.Start(t.Context(), ""); err == nil {
			t.Errorf("%+v starts", s.API)
		}
	}
	s := &sandbox.Server{API: "fileai", Dir: t.TempDir()}
	for _, listen := range []string{":0", "127.0.0.1", "nonsense:::", "256.256.256.256:0"} {
		if _, _, err := s.Start(t.Context(), listen); err == nil {
			t.Errorf("it listens at %q", listen)
		}
	}
	base, stop, err := s.Start(t.Context(), "127.0.0.1:0") // and it may be retried
	if err != nil {
		t.Fatal(err)
	}
	get := func() error {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", base+"/", nil)
		_, err := send(t, req)
		return err
	}
	if err := get(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}
	if err := get(); err == nil {
		t.Error("it still answers")
	}
}

// Without a key none is required.
func TestNoKey(t *testing.T) {
	s := &sandbox.Server{API: "upscayl", Dir: t.TempDir()}
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	w := &recorder{header: http.Header{}}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://sandbox.test/get-upload-url", strings.NewReader(picture(1, "")))
	req.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, req)
	if w.status != 200 || !strings.Contains(w.body.String(), `"signedUrl":"http://sandbox.test/store/users/`) {
		t.Errorf("%d %s", w.status, &w.body)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, discard := range []bool{false, true} {
		b.Run(fmt.Sprintf("discard=%t", discard), func(b *testing.B) {
			s := &sandbox.Server{API: "upscayl", Dir: b.TempDir(), Discard: discard, PartSize: 64 << 20}
			base, stop, err := s.Start(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			defer stop() //nolint:errcheck // the benchmark is over
			req, _ := http.NewRequestWithContext(b.Context(), "POST", base+"/get-upload-url", strings.NewReader(picture(64<<20, "")))
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			var line bytes.Buffer
			_, err = line.ReadFrom(resp.Body)
			_ = resp.Body.Close()
			_, rest, ok := strings.Cut(line.String(), `"signedUrl":"`)
			link, _, _ := strings.Cut(rest, `"`)
			if err != nil || !ok {
				b.Fatalf("%s %v", &line, err)
			}
			data := bytesOf(64 << 20)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				req, _ := http.NewRequestWithContext(b.Context(), "PUT", link, bytes.NewReader(data))
				resp, err := client.Do(req)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(resp, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// A browser asks before it sends a part, and must be let read the receipt.
func TestStoreAnswersBrowsers(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100})
	file := bytesOf(100)
	plan := r.open(100)
	link := plan.text("parts", 0, "url")
	ask := func(method, link string, body []byte, header ...string) answer {
		req, err := http.NewRequestWithContext(t.Context(), method, link, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		a, err := send(t, req)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := ask("OPTIONS", link, nil, "Origin", "https://app.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type,x-amz-date")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Access-Control-Allow-Methods") != "PUT" || a.header.Get("Access-Control-Allow-Headers") != "content-type,x-amz-date" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	if a := ask("OPTIONS", link, nil); a.status != 403 {
		t.Errorf("OPTIONS that is no preflight: %d", a.status)
	}
	a = ask("PUT", link, file, "Origin", "https://app.example")
	if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "ETag") || a.header.Get("ETag") == "" {
		t.Errorf("PUT: %d %v", a.status, a.header)
	}
	if a := ask("PUT", link+"0", file, "Origin", "https://app.example"); a.status != 403 || a.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("a refused PUT: %d %v", a.status, a.header)
	}
	if a := ask("PUT", link, file); a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without an origin: %v", a.header)
	}
}
