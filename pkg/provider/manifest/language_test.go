package manifest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// scripted is an API that answers by the request's method and path, and notes
// what it was sent.
type scripted struct {
	t       *testing.T
	replies map[string]string // "METHOD /path?query" to "status body", or to a body

	mu   sync.Mutex
	seen []string          // in their order
	body map[string]string // of the last request of each
	head map[string]http.Header
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.RequestURI
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.body == nil {
		s.body, s.head = map[string]string{}, map[string]http.Header{}
	}
	s.seen = append(s.seen, key)
	s.body[key], s.head[key] = string(b), r.Header.Clone()
	reply, known := s.replies[key]
	if !known {
		s.t.Errorf("was sent %s with %s", key, b)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	status := 200
	if n, _ := fmt.Sscanf(reply, "%d ", &status); n == 1 {
		_, reply, _ = strings.Cut(reply, " ")
	}
	if etag, rest, ok := strings.Cut(reply, "|"); ok {
		w.Header()["Etag"] = []string{etag}
		reply = rest
	}
	if status/100 == 3 {
		w.Header().Set("Location", reply)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.ReplaceAll(reply, "{server}", "http://"+r.Host))
}

// speak opens a manifest on a scripted API, whose base is /v1.
func speak(t *testing.T, text string, replies map[string]string, options ...string) (spec.Provider, *scripted) {
	t.Helper()
	s := &scripted{t: t, replies: replies}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	set := map[string]string{}
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		set[k] = v
	}
	m := mustParse(t, []byte("version: 1\nname: x\n"+text))
	p, err := m.Open(spec.Settings{Base: server.URL + "/v1", Keys: []spec.Secret{key(secret)}, Options: set})
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

var ten = upload.File{Name: "a b.bin", Type: "text/plain", Size: 10, Content: strings.NewReader("0123456789")}

const bearer = `auth: {header: Authorization, value: "Bearer {secret}"}` + "\n"

// TestPartNumbersInPaths holds where a part's number, index, offset and size may
// stand, and that URLs may be relative.
func TestPartNumbersInPaths(t *testing.T) {
	p, s := speak(t, bearer+`create: {send: POST /u, keep: '{id}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}/{part.index}?at={part.offset}", query: '{n: $part.size}', auth: true, receipt: .etag}
complete: {send: "POST /u/{id}/end", body: '[$parts[] | [.number, .receipt]]', ok: .done, result: .id}
`, map[string]string{
		"POST /v1/u": `{"id":"u 1","each":4}`, "PUT /v1/u/u%201/2/1?at=4&n=4": `{"etag":"e2"}`, "POST /v1/u/u%201/end": `{"done":true,"id":"f"}`,
	})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || planText(u.Parts) != "[{1 0 4} {2 4 4} {3 8 2}]" || !u.Renewable {
		t.Fatalf("planned %v, %v", u.Parts, err)
	}
	r, err := p.Put(t.Context(), u, upload.Presigned{Part: 2}, u.Parts[1], strings.NewReader("4567"))
	if err != nil || r.Value != "e2" || s.head["PUT /v1/u/u%201/2/1?at=4&n=4"].Get("Authorization") != "Bearer "+secret {
		t.Errorf("stored as %v, %v", r, err)
	}
	if res, err := p.Complete(t.Context(), u, []upload.Receipt{r}, upload.Digests{}); err != nil || res.Value != "f" || s.body["POST /v1/u/u%201/end"] != `[[2,"e2"]]` {
		t.Errorf("completed as %v, %v with %v", res, err, s.body)
	}
}

// TestPresignOneByOne holds that with max: 1 each part has a request of its own,
// and that a relative URL is the API's.
func TestPresignOneByOne(t *testing.T) {
	p, s := speak(t, bearer+`create: {send: POST /u, keep: '{id, key: .k}'}
presign: {send: "GET /s3/multipart/{id}/{part.number}", query: '{key: $upload.key, i: $part.index}', max: 1, urls: '.url + "?all=\($parts | length)"'}
part: {send: PUT, auth: true, receipt: .etag}
complete: {send: POST /end, result: .id}
`, map[string]string{
		"POST /v1/u": `{"id":"u1","k":"a/b"}`,
		"GET /v1/s3/multipart/u1/1?i=0&key=a%2Fb": `{"url":"/put/a%2Fb^%zz/1"}`, "GET /v1/s3/multipart/u1/2?i=1&key=a%2Fb": `{"url":"put/2"}`,
		"PUT /put/a%2Fb%5E%25zz/1?all=2": `{"etag":"e1"}`, "PUT /v1/put/2?all=2": `{"etag":"e2"}`,
	})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	u.Parts = []upload.Part{{Number: 1, Size: 5}, {Number: 2, Offset: 5, Size: 5}}
	urls, err := p.Presign(t.Context(), u, u.Parts)
	if err != nil || len(urls) != 2 {
		t.Fatalf("presigned %v, %v", urls, err)
	}
	for _, g := range urls {
		if r, err := p.Put(t.Context(), u, g, u.Parts[g.Part-1], strings.NewReader("01234")); err != nil || r.Value != fmt.Sprint("e", g.Part) {
			t.Errorf("part %d is stored as %v, %v", g.Part, r, err)
		}
	}
	if h := s.head["PUT /v1/put/2?all=2"]; h.Get("Authorization") != "Bearer "+secret {
		t.Errorf("sent %v", h)
	}
}

const lists = bearer + `create:
- {send: POST /a, keep: '{token: .t}'}
- {send: POST /b, body: '{token: $upload.token}', keep: '{id}', part_size: .each}
part: {send: "PUT /p/{part.number}", receipt: '"r"'}
complete:
- {send: "POST /c/{id}", keep: '{etag: .etag}', ok: '.etag != null', already: .was}
- {send: POST /files, body: '{upload: $upload.id, etag: $upload.etag}', result: .id}
abort:
- {send: "GET /x/{id}", keep: '{at}'}
- {send: DELETE, url: $upload.at}
`

// TestLists takes an upload through steps of two requests each.
func TestLists(t *testing.T) {
	replies := map[string]string{
		"POST /v1/a": `{"t":"t1"}`, "POST /v1/b": `{"id":"u1","each":10}`, "POST /v1/c/u1": `{"etag":"e"}`, "POST /v1/files": `{"id":"f1"}`,
		"GET /v1/x/u1": `{"at":"/gone"}`, "DELETE /gone": `204 `,
	}
	p, s := speak(t, lists, replies)
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || u.ID != "u1" || s.body["POST /v1/b"] != `{"token":"t1"}` {
		t.Fatalf("created %q, %v, %v", u.ID, err, s.body)
	}
	steps := p.(upload.Stepper)
	first, err := steps.CompleteStep(t.Context(), u, nil, upload.Digests{})
	more := first.Data
	if err != nil || !first.More || more == nil || slices.Contains(s.seen, "POST /v1/files") {
		t.Fatalf("the first request: %s, %v, sent %v", more, err, s.seen)
	}
	was := u.Data
	u.Data = more
	last, err := steps.CompleteStep(t.Context(), u, nil, upload.Digests{})
	r := last.Result
	if err != nil || last.More || r.Value != "f1" || s.body["POST /v1/files"] != `{"etag":"e","upload":"u1"}` {
		t.Errorf("the second request: %v, %v, %v", r, err, s.body)
	}
	u.Data = was
	if r, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err != nil || r.Value != "f1" {
		t.Errorf("both at once: %v, %v", r, err)
	}
	if err := p.Abort(t.Context(), u); err != nil || s.seen[len(s.seen)-1] != "DELETE /gone" {
		t.Errorf("aborted: %v, %v", err, s.seen)
	}
	// What fails in the middle leaves what is known of the upload.
	replies["POST /v1/c/u1"] = `409 {"was":true,"etag":"e2"}`
	if r, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err != nil || r.Value != "f1" || s.body["POST /v1/files"] != `{"etag":"e2","upload":"u1"}` {
		t.Errorf("completed before: %v, %v, %v", r, err, s.body)
	}
	for reply, want := range map[string]string{
		`{"etag":null}`: "does not confirm it", `500 `: "500", `{"etag":""}`: "has no value for etag",
	} {
		replies["POST /v1/c/u1"] = reply
		n := len(s.seen)
		if _, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err == nil || !strings.Contains(err.Error(), want) || len(s.seen) != n+1 {
			t.Errorf("%s: %v, sent %v", reply, err, s.seen[n:])
		}
	}
	replies["POST /v1/b"] = `{"each":10}`
	if u, _, err := p.Create(t.Context(), ten, upload.Hint{}); !errors.Is(err, upload.ErrReply) || u.ID != "" {
		t.Errorf("no id: %q, %v", u.ID, err)
	}
	replies["POST /v1/a"], replies["POST /v1/b"] = `{"t":""}`, `{"id":"u1"}`
	if u, _, err := p.Create(t.Context(), ten, upload.Hint{}); !errors.Is(err, upload.ErrReply) || u.ID != "" {
		t.Errorf("nothing kept: %q, %v", u.ID, err)
	}
}

// TestKeepContradicts holds that two requests do not keep one name as two
// values; the upload that was opened is known.
func TestKeepContradicts(t *testing.T) {
	text := strings.Replace(lists, "keep: '{token: .t}'", "keep: '{token: .t, id: \"u1\"}'", 1)
	p, _ := speak(t, text, map[string]string{"POST /v1/a": `{"t":"t1"}`, "POST /v1/b": `{"id":"u2","each":10}`})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), "id was kept before, with another value") || u.ID != "u1" {
		t.Errorf("%q, %v", u.ID, err)
	}
	for _, c := range []struct{ keep, want string }{{"null", "of type null"}, {"[1]", "of type array"}, {`"x"`, "not an object"}, {"empty", "yields nothing"}} {
		p, _ := speak(t, strings.Replace(lists, "'{id}', part", "'"+c.keep+"', part", 1), map[string]string{"POST /v1/a": `{"t":"t1"}`, "POST /v1/b": `{}`})
		if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.keep, err)
		}
	}
}

// TestContentTypes holds that the type of a text is a constant or jq.
func TestContentTypes(t *testing.T) {
	for _, c := range []struct{ kind, sent, fails string }{
		{"application/xml", "application/xml", ""},
		{"text/xml; charset=utf-8", "text/xml; charset=utf-8", ""},
		{`'"application/xml"'`, "application/xml", ""},
		{"$file.type", "text/plain", ""},
		{"$file.name", "", "yields \"a b.bin\", not a content type"},
		{"$file.size", "", "yields 10, not text"},
	} {
		p, s := speak(t, bearer+"create: {send: POST /u, text: '\"\"', type: "+c.kind+`, keep: '{id}', part_size: 10}
part: {send: PUT /p, auth: true, receipt: .r}
complete: {send: POST /end, result: .id}
`, map[string]string{"POST /v1/u": `{"id":"u1"}`})
		_, _, err := p.Create(t.Context(), ten, upload.Hint{})
		if c.fails == "" && (err != nil || s.head["POST /v1/u"].Get("Content-Type") != c.sent) || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) || len(s.seen) > 0) {
			t.Errorf("%s: sent %v, %v", c.kind, s.head["POST /v1/u"], err)
		}
	}
}

// TestETags holds that $parts[].etag is what the store sent, and what the API sent
// where that is the receipt.
func TestETags(t *testing.T) {
	for receipt, want := range map[string]string{"$header.etag": `[["\"e\"","\"e\""]]`, ".id": `[["p1",null]]`} {
		p, s := speak(t, bearer+"create: {send: POST /u, keep: '{id}', part_size: 10}\npart: {send: PUT /p, auth: true, receipt: "+receipt+`}
complete: {send: POST /end, body: '[$parts[] | [.receipt, .etag]]', result: .id}
`, map[string]string{"POST /v1/u": `{"id":"u1"}`, "PUT /v1/p": `"e"|{"id":"p1"}`, "POST /v1/end": `{"id":"f"}`})
		u, _, err := p.Create(t.Context(), ten, upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Put(t.Context(), u, upload.Presigned{Part: 1}, u.Parts[0], strings.NewReader("0123456789"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Complete(t.Context(), u, []upload.Receipt{r}, upload.Digests{}); err != nil || s.body["POST /v1/end"] != want {
			t.Errorf("%s: complete was sent %s, want %s; %v", receipt, s.body["POST /v1/end"], want, err)
		}
	}
}

// TestWholeFileWithoutKey holds that a part which completes the upload goes without
// the key each time, where auth is not true.
func TestWholeFileWithoutKey(t *testing.T) {
	p, s := speak(t, bearer+`create: {send: POST /u, keep: '{id}'}
part: {send: "PUT /u/{id}", receipt: $header.etag}
complete: {send: POST /end, ok: .ok, result: .id}
small: {max_size: 1KiB, create: null, complete: null, part: {send: POST /f, form: file, result: .id}}
`, map[string]string{"POST /v1/f": `{"id":"f1"}`})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || !u.Whole {
		t.Fatalf("created %+v, %v", u, err)
	}
	for range 2 {
		r, err := p.Put(t.Context(), u, upload.Presigned{Part: 1}, upload.Part{Number: 1, Size: 10}, strings.NewReader("0123456789"))
		if err != nil || r.Result == nil || r.Result.Value != "f1" {
			t.Fatalf("sent as %+v, %v", r, err)
		}
		if got := s.head["POST /v1/f"].Get("Authorization"); got != "" {
			t.Errorf("Authorization is %q", got)
		}
	}
}

// TestOtherOrigins holds that a presigned complete goes to its store with XML and
// without the key, and that XML is read.
func TestOtherOrigins(t *testing.T) {
	store := &scripted{t: t, replies: map[string]string{
		"POST /b?uploads":               `<Result><UploadId>s3-1</UploadId></Result>`,
		"POST /b?uploadId=s3-1&X-Sig=1": `<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>`,
	}}
	other := httptest.NewServer(store)
	defer other.Close()
	text := bearer + `headers: '{"X-Client": $file.name}'
create:
- {send: POST /init, keep: '{at}'}
- {send: POST, url: '$upload.at + "?uploads"', auth: false, headers: {Authorization: none}, keep: 'capture("<UploadId>(?<id>[^<]+)")'}
part: {send: "PUT /p", receipt: '"r"'}
complete:
- send: POST
  url: '"\($upload.at)?uploadId=\($upload.id)&X-Sig=1"'
  auth: false
  text: '"<C>" + ([$parts[] | "<P><N>\(.number)</N><E>\(.receipt | @html)</E></P>"] | add) + "</C>"'
  type: application/xml
  keep: 'capture("<ETag>(?<etag>[^<]+)")'
- {send: MOVE /done, fields: '{etag: $upload.etag}', multipart: true, result: .}
`
	p, s := speak(t, text, map[string]string{"POST /v1/init": `{"at":"` + other.URL + `/b"}`, "MOVE /v1/done": "/files/7"})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || u.ID != "s3-1" {
		t.Fatalf("created %q, %v", u.ID, err)
	}
	u.Parts = []upload.Part{{Number: 1, Size: 10}}
	r, err := p.Complete(t.Context(), u, []upload.Receipt{{Part: 1, Value: `"e"`}}, upload.Digests{})
	if err != nil || r.Value != "/files/7" || string(r.Reply) != `"/files/7"` {
		t.Errorf("completed as %v, %v", r, err)
	}
	const end = "POST /b?uploadId=s3-1&X-Sig=1"
	if store.body[end] != "<C><P><N>1</N><E>&quot;e&quot;</E></P></C>" || store.head[end].Get("Content-Type") != "application/xml" {
		t.Errorf("the store was sent %s with %v", store.body[end], store.head[end])
	}
	if got := s.body["MOVE /v1/done"]; !strings.Contains(got, "form-data; name=\"etag\"\r\n\r\n\"whole\"\r\n") {
		t.Errorf("the form is %s", got)
	}
	if h := s.head["POST /v1/init"]; h.Get("X-Client") != "a b.bin" || h.Get("Authorization") != "Bearer "+secret {
		t.Errorf("the API was sent %v", h)
	}
	for at, h := range store.head {
		if fmt.Sprint(h["Authorization"]) != map[bool]string{true: "[none]", false: "[]"}[at == "POST /b?uploads"] || h.Get("X-Client") != "" {
			t.Errorf("%s was sent %v", at, h)
		}
	}
}

// TestOtherOriginNeedsNoKey holds where the key does not go: what is seen in the
// manifest is an error of it, where a reply leads there nothing is sent.
func TestOtherOriginNeedsNoKey(t *testing.T) {
	for _, url := range []string{`'"https://other.example/x"'`, `'"https://api.example.evil/" + $upload.id'`, `'"http://x"'`} {
		_, err := Parse("x", []byte("version: 1\nname: x\nbase: https://api.example/v1\n"+bearer+`create: {send: POST /u, keep: '{id}'}
part: {send: PUT /p, receipt: .r}
complete: {send: POST, url: `+url+`, ok: .ok, result: .id}
`))
		var e *spec.Error
		if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Key != "complete.url" || e.Problems[0].Line != 7 || !strings.Contains(err.Error(), "auth: false is required") {
			t.Errorf("%s: %v", url, err)
		}
	}
	other, hits := otherServer(t, answerWith(200, "{}"))
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id, end}'}
part: {send: PUT /p, receipt: .r}
complete: {send: POST, url: $upload.end, ok: .ok, result: .id}
abort: {send: "DELETE /u/{id}"}
`, map[string]string{"POST /v1/u": `{"id":"u1","end":"` + other + `"}`})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if !errors.Is(err, upload.ErrReply) || u.ID != "u1" || hits.Load() > 0 {
		t.Errorf("%q, %v, %d requests", u.ID, err, hits.Load())
	}
}

// TestDigestsAhead holds that digests of the file and of parts are known before
// their requests, and that a part which carried one is verified.
func TestDigestsAhead(t *testing.T) {
	whole := sha256.Sum256([]byte("0123456789"))
	part := md5.Sum([]byte("56789"))
	b64 := base64.StdEncoding.EncodeToString
	p, s := speak(t, bearer+`create: {send: POST /u, digests: [sha256, crc32c], body: '{sum: $digests.sha256, crc: $digests.crc32c, md5: $digests.md5}', keep: '{id}'}
presign: {send: POST /sign, digests: [md5], body: '[$parts[] | [.number, .md5_base64]]', urls: '.[] | {number: .n, url: .u, headers: {"Content-MD5": .h}}'}
part: {send: PUT, digests: [sha1], headers: '{"X-Sum": $part.sha1}', receipt: $header.etag}
complete: {send: POST /end, body: '{sum: $digests.sha256_base64}', ok: .ok, result: .id}
`, map[string]string{
		"POST /v1/u": `{"id":"u1"}`, "POST /v1/sign": `[{"n":2,"u":"/put","h":"` + b64(part[:]) + `"},{"n":1,"u":"/bad","h":"` + b64(part[:]) + `"}]`,
		"PUT /put": `"e"|`, "PUT /bad": `"e"|`, "POST /v1/end": `{"ok":true,"id":"f"}`,
	})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || s.body["POST /v1/u"] != `{"crc":"KAwGng==","md5":null,"sum":"`+hex.EncodeToString(whole[:])+`"}` {
		t.Fatalf("created: %v, %v", s.body, err)
	}
	u.Parts = []upload.Part{{Number: 1, Size: 5}, {Number: 2, Offset: 5, Size: 5}}
	urls, err := p.Presign(t.Context(), u, u.Parts)
	if err != nil || !strings.Contains(s.body["POST /v1/sign"], `[2,"`+b64(part[:])+`"]`) {
		t.Fatalf("presigned: %v, %v", s.body, err)
	}
	for i, want := range []bool{true, false} {
		at := u.Parts[urls[i].Part-1]
		r, err := p.Put(t.Context(), u, urls[i], at, strings.NewReader("0123456789"[at.Offset:at.Offset+at.Size]))
		if err != nil || r.Verified != want {
			t.Errorf("part %d is verified: %t, %v", at.Number, r.Verified, err)
		}
	}
	if _, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err != nil || s.body["POST /v1/end"] != `{"sum":"`+b64(whole[:])+`"}` {
		t.Errorf("completed: %v, %v", s.body, err)
	}
	stream := ten
	stream.Content = nil
	if _, _, err := p.Create(t.Context(), stream, upload.Hint{}); !errors.Is(err, upload.ErrUnsent) || !strings.Contains(err.Error(), "crc32c and the sha256 ahead") {
		t.Errorf("a stream: %v", err)
	}
}

// TestConfirm holds that a part counts once its confirmation is through, also
// in another process.
func TestConfirm(t *testing.T) {
	for _, c := range []struct{ receipt, first, last string }{{"", "", "c2"}, {", receipt: '\"done-\" + $part.receipt'", `"e2"`, `done-"e2"`}} {
		receipt := "$header.etag"
		if c.receipt == "" {
			receipt = ".c"
		}
		replies := map[string]string{"PUT /put": `"e2"|{"x":7}`, "PUT /v1/add/u1/2": `503 `}
		p, s := speak(t, bearer+`create: {send: POST /u, keep: '{id}', urls: '.urls[]'}
part:
  send: PUT
  receipt: `+receipt+`
  confirm: {send: "PUT /add/{id}/{part.number}", body: '{x: .x, tag: $header.etag, status: $status, i: $part.index}'`+c.receipt+`}
complete: {send: POST /end, ok: .ok, result: .id}
`, replies)
		u := created(upload.Part{Number: 1, Size: 5}, upload.Part{Number: 2, Offset: 5, Size: 5})
		r, err := p.Put(t.Context(), u, upload.Presigned{Part: 2, URL: strings.TrimSuffix(p.Target().Base, "/v1") + "/put"}, u.Parts[1], strings.NewReader("56789"))
		if err != nil || r.Unconfirmed == nil || r.Value != c.first {
			t.Fatalf("stored as %+v, %v", r, err)
		}
		confirm := p.(upload.Confirmer).Confirm
		var passing upload.Temporary
		if again, err := confirm(t.Context(), u, u.Parts[1], r); !errors.As(err, &passing) || !passing.Temporary() || again.Unconfirmed == nil {
			t.Errorf("not confirmed: %+v, %v", again, err)
		}
		replies["PUT /v1/add/u1/2"] = `{"c":"c2"}`
		done, err := confirm(t.Context(), u, u.Parts[1], r)
		if err != nil || done.Unconfirmed != nil || done.Value != c.last || done.ETag != `"e2"` || s.body["PUT /v1/add/u1/2"] != `{"i":1,"status":200,"tag":"\"e2\"","x":7}` {
			t.Errorf("confirmed as %+v, %v, by %v", done, err, s.body)
		}
	}
}

// TestSmallFiles holds that a small file goes its own way.
func TestSmallFiles(t *testing.T) {
	const text = bearer + `create: {send: POST /u, keep: '{id}'}
part: {send: "PUT /u/{id}/{part.number}", auth: true, receipt: .id}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
small:
  max_size: 10B
  create: null
  complete: null
  part: {send: POST /files, auth: true, form: file, fields: '{name: $file.name}', receipt: .id, result: .id, ok: .fine}
`
	replies := map[string]string{"POST /v1/u": `{"id":"u1"}`, "POST /v1/files": `{"id":"f9","fine":true}`}
	p, s := speak(t, text, replies)
	large := ten
	large.Size = 11
	if u, _, err := p.Create(t.Context(), large, upload.Hint{}); err != nil || u.Whole || u.ID != "u1" {
		t.Errorf("a large file: %+v, %v", u, err)
	}
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil || !u.Whole || u.ID == "" || len(u.Parts) != 1 || len(s.seen) != 1 {
		t.Fatalf("a small file: %+v, %v, sent %v", u, err, s.seen)
	}
	if sign := p.(upload.Signer); !sign.Signs(upload.OpCreate, u) || sign.Signs(upload.OpCreate, upload.Upload{File: large}) || !sign.Signs(upload.OpPresign, u) {
		t.Error("what needs no request is not told")
	}
	opening, opened := speak(t, strings.Replace(text, "create: null", "create: {send: POST /u, keep: '{id}'}", 1), replies)
	if u, _, err := opening.Create(t.Context(), ten, upload.Hint{Shared: true}); !errors.Is(err, upload.ErrLimit) || u.ID != "" || len(opened.seen) > 0 {
		t.Errorf("a small file that machines are to share: %+v, %v, sent %v", u, err, opened.seen)
	}
	r, err := p.Put(t.Context(), u, upload.Presigned{Part: 1}, u.Parts[0], strings.NewReader("0123456789"))
	if err != nil || r.Result == nil || r.Result.Value != "f9" || !strings.Contains(s.body["POST /v1/files"], "a b.bin") {
		t.Errorf("stored as %+v, %v", r, err)
	}
	replies["POST /v1/files"] = `{"id":"f9"}`
	if r, err := p.Put(t.Context(), u, upload.Presigned{Part: 1}, u.Parts[0], strings.NewReader("0123456789")); !errors.Is(err, upload.ErrReply) || errors.Is(err, upload.ErrRefused) {
		t.Errorf("not confirmed: %+v, %v", r, err)
	}
	if err := p.Abort(t.Context(), u); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("abort: %v", err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"  max_size: 10B\n", "", "small.max_size: is missing"},
		{"max_size: 10B", "max_size: ten", "small.max_size: \"ten\" is not a size"},
		{", result: .id, ok: .fine", "", "small.part.result: is missing"},
		{"  complete: null\n", "", "small.part.result: is for small files without complete"},
		{"  create: null", "  part: null\n  create: null", "small.part: cannot be left out"},
	} {
		if _, err := Parse("x", []byte("version: 1\nname: x\n"+strings.Replace(text, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
}

// TestReady holds what is ready, what will never be, and what is neither.
func TestReady(t *testing.T) {
	for reply, want := range map[string]string{
		`{"status":"ready","at":"/f"}`: "true /f",
		`{"status":"busy"}`:            `x: ask whether the file is ready: the answer (status 200) was {"status":"busy"}`,
		``:                             "(status 200) was nothing",
		`<html>`:                       "(status 200) was text/html",
		`404 {}`:                       "(status 404) was {}",
		`{"status":"ready"}`:           `(status 200) was {"status":"ready"}`,
		`401 {"message":"key"}`:        "key (status 401)",
		`503 `:                         "503",
		`{"status":"error","reason":"no\nvirus scan"}`:             "x: ask whether the file is ready: no virus scan",
		`{"status":"busy","put":"https://a.example/b?sig=c0ffee"}`: `"https://a.example/b?sig=…"`,
	} {
		p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id}'}
part: {send: PUT /p, receipt: .id}
complete: {send: POST /end, ok: .ok, result: .id}
ready: {send: "GET /f/{id}", every: 5s, required: true, done: .status == "ready", failed: 'if .status == "error" then .reason else null end', result: .at}
`, map[string]string{"GET /v1/f/u1": reply})
		w := p.(upload.Readier)
		if how := w.Readiness(created()); how == nil || how.Every.Seconds() != 5 || how.Timeout.Minutes() != 30 || !how.Required {
			t.Errorf("waits %+v", how)
		}
		done, r, err := w.Ready(t.Context(), created(), upload.Result{Value: "was"})
		if got := fmt.Sprint(done, " ", r.Value); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", reply, got, err)
		}
		if waits := strings.Contains(want, "the answer (status") || strings.HasPrefix(want, "(status"); waits && !errors.Is(err, upload.ErrNotReady) {
			t.Errorf("%s: is not %v: %v", reply, upload.ErrNotReady, err)
		}
	}
}

// TestBaseOfOptions holds what an option may put into the base.
func TestBaseOfOptions(t *testing.T) {
	m := mustParse(t, []byte("version: 1\nname: x\nbase: https://{options.account}.example.com/{options.api}/\n"+bearer+`options:
  account: {type: string, required: true, help: x}
  api: {type: int, default: 2, help: x}
create: {send: POST /u, body: '{base: $base}', keep: '{id}'}
part: {send: PUT /p, receipt: .id}
complete: {send: POST /end, ok: .ok, result: .id}
`))
	for account, want := range map[string]string{
		"acme": "https://acme.example.com/2", "a-b.c": "https://a-b.c.example.com/2", "evil.com/": "", "a@b": "", "a?b": "", "": "", "ä": "", "a%2f": "",
		"..": "", ".": "", "-a": "", "a..b": "",
	} {
		p, err := m.Open(spec.Settings{Keys: []spec.Secret{key(secret)}, Options: map[string]string{"account": account}})
		var bad *spec.OptionError
		if want == "" && !errors.As(err, &bad) || want != "" && (err != nil || p.Target().Base != want) {
			t.Errorf("%q: %v", account, err)
		}
		if d := m.Definition(); want != "" && d.BaseFor(map[string]string{"account": account}) != want {
			t.Errorf("%q: the definition says %s", account, d.BaseFor(map[string]string{"account": account}))
		}
	}
}

// TestBaseOfOptionsHere holds that an option may be the host, or the port, of an API
// on this machine, and that http goes nowhere else.
func TestBaseOfOptionsHere(t *testing.T) {
	const steps = "create: {send: POST /u, keep: '{id}'}\npart: {send: PUT /p, receipt: .id}\ncomplete: {send: POST /end, ok: .ok, result: .id}\n"
	for _, c := range []struct{ base, set, want string }{
		{"http://{options.at}:8080/v1", "127.0.0.1", "http://127.0.0.1:8080/v1"},
		{"http://127.0.0.1:{options.at}/v1", "8080", "http://127.0.0.1:8080/v1"},
		{"http://{options.at}:8080/v1", "acme.example", ""},
		{"http://127.0.0.1:{options.at}/v1", "no-port", ""},
	} {
		m := mustParse(t, []byte("version: 1\nname: x\nbase: "+c.base+"\noptions: {at: {type: string, required: true, help: x}}\n"+steps))
		p, err := m.Open(spec.Settings{Options: map[string]string{"at": c.set}})
		var bad *spec.BaseError
		if c.want == "" && !errors.As(err, &bad) || c.want != "" && (err != nil || p.Target().Base != c.want) {
			t.Errorf("%s with %s: %v", c.base, c.set, err)
		}
	}
	if _, err := Parse("x.yaml", []byte("version: 1\nname: x\nbase: http://{options.at}.acme.example\noptions: {at: {type: string, required: true, help: x}}\n"+steps)); err == nil || !strings.Contains(err.Error(), "plain http is refused") {
		t.Errorf("http to another machine: %v", err)
	}
}

// TestRetry holds that a refusal which is said to be temporary is one, whatever
// its status.
func TestRetry(t *testing.T) {
	replies := map[string]string{"POST /v1/u": `409 {"message":"later"}`, "POST /v1/end": `400 busy, try later`, "PUT /v1/p": `404 no such upload`}
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id}', ok: .id != null}
part: {send: PUT /p, ok: '.id != null', receipt: .id}
complete: {send: POST /end, ok: .ok, result: .id}
error: {retry: '$status == 409 or (type == "string" and test("busy")) or .code == "busy"', gone: 'type == "string" and test("no such")'}
`, replies)
	passes := func(err error) bool {
		var passing upload.Temporary
		return errors.As(err, &passing) && passing.Temporary() && !errors.Is(err, upload.ErrRefused)
	}
	create := func() error { _, _, err := p.Create(t.Context(), ten, upload.Hint{}); return err }
	complete := func() error { _, err := p.Complete(t.Context(), created(), nil, upload.Digests{}); return err }
	put := func() error {
		_, err := p.Put(t.Context(), created(), upload.Presigned{Part: 1}, upload.Part{Number: 1, Size: 1}, strings.NewReader("x"))
		return err
	}
	if err := create(); !passes(err) {
		t.Errorf("create: %v", err)
	}
	if err := complete(); !passes(err) {
		t.Errorf("complete: %v", err)
	}
	if err := put(); !errors.Is(err, upload.ErrGone) {
		t.Errorf("part: %v", err)
	}
	for step, try := range map[string]func() error{"POST /v1/u": create, "PUT /v1/p": put, "POST /v1/end": complete} {
		replies[step] = `{"code":"busy"}`
		if err := try(); !passes(err) || !strings.Contains(err.Error(), `does not confirm it: {"code":"busy"}`) {
			t.Errorf("%s, not ok and busy: %v", step, err)
		}
		replies[step] = `{"code":"never","message":"no"}`
		if err := try(); err == nil || passes(err) {
			t.Errorf("%s, not ok: %v", step, err)
		}
	}
	replies["PUT /v1/p"] = "<html>log in</html>"
	if err := put(); !passes(err) {
		t.Errorf("a part, and a page: %v", err)
	}
}

// TestPartKeeps holds that ok sees what the reply of a part keeps.
func TestPartKeeps(t *testing.T) {
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id}'}
part: {send: PUT /p, keep: '{state: .s}', ok: '$upload.state == "stored"', receipt: .id}
complete: {send: POST /end, result: .id}
`, map[string]string{"PUT /v1/p": `{"s":"stored","id":"r1"}`})
	r, err := p.Put(t.Context(), created(), upload.Presigned{Part: 1}, upload.Part{Number: 1, Size: 1}, strings.NewReader("x"))
	if err != nil || r.Value != "r1" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestPartValue holds what $part and $parts have: the digests that were asked
// for, the receipt where there is one, and nothing else.
func TestPartValue(t *testing.T) {
	p, s := speak(t, bearer+`create: {send: POST /u, body: '$parts', keep: '{id}'}
presign: {send: POST /s, max: 1, body: '$part', urls: .url}
part: {send: PUT, digests: [md5], headers: '{"X-Part": ($part | tojson)}', receipt: .id, confirm: {send: POST /k, body: '$part'}}
complete: {send: POST /end, result: .id}
`, map[string]string{"POST /v1/u": `{"id":"u1"}`, "POST /v1/s": `{"url":"put"}`, "PUT /v1/put": `{"id":"r1"}`, "POST /v1/k": `{"id":"c1"}`})
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	urls, err := p.Presign(t.Context(), u, u.Parts)
	if err != nil {
		t.Fatal(err)
	}
	part := u.Parts[0]
	r, err := p.Put(t.Context(), u, urls[0], part, strings.NewReader("0123456789"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.(upload.Confirmer).Confirm(t.Context(), u, part, r); err != nil {
		t.Fatal(err)
	}
	const plain, sum = `"number":1,"offset":0,"size":10`, `"md5":"781e5e245d69b566979b86e28d23f2c7","md5_base64":"eB5eJF1ptWaXm4bijSPyxw==",`
	for key, want := range map[string]string{
		"POST /v1/u": `[{"checkpointed":null,"etag":null,"number":1,"offset":0,"receipt":null,"size":10}]`,
		"POST /v1/s": `{"index":0,` + plain + `}`,
		"POST /v1/k": `{"index":0,"number":1,"offset":0,"receipt":null,"size":10}`,
	} {
		if got := s.body[key]; got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	if got, want := s.head["PUT /v1/put"].Get("X-Part"), `{"index":0,`+sum+plain+`}`; got != want {
		t.Errorf("part: %s, want %s", got, want)
	}
}

// Text in four bytes, or in two without a mark, is named: the reader of YAML calls it
// control characters.
func TestWideText(t *testing.T) {
	const yaml = "name: Wide\nbase: https://api.example\n"
	for name, of := range map[string]func(rune) []byte{
		"UTF-16": func(r rune) []byte { return []byte{byte(r), 0} },
		"UTF-32": func(r rune) []byte { return []byte{0, 0, 0, byte(r)} },
	} {
		var b []byte
		for _, r := range yaml {
			b = append(b, of(r)...)
		}
		if _, err := Parse("wide.yaml", b); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
