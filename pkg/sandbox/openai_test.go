package sandbox_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

func creation(size int64) string {
	return fmt.Sprintf(`{"filename":"walk.jsonl","purpose":"fine-tune","bytes":%d,"mime_type":"text/jsonl"}`, size)
}

func (r *rig) tryForm(path, contentType, body string) (answer, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.base+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	return send(r.t, req)
}

// openaiPart sends a part and returns its id.
func (r *rig) openaiPart(id string, data []byte) string {
	r.t.Helper()
	kind, body := form("data", "part", data)
	a, err := r.tryForm("/uploads/"+id+"/parts", kind, body)
	if err != nil || a.status != 200 {
		r.t.Fatalf("part: %d %s %v", a.status, a.raw, err)
	}
	wantKeys(r.t, a.json, "id", "object", "created_at", "upload_id")
	if a.text("object") != "upload.part" || a.text("upload_id") != id {
		r.t.Errorf("part: %s", a.raw)
	}
	return a.text("id")
}

// openaiParts sends a file, the last part first.
func (r *rig) openaiParts(id string, file []byte, size int) []string {
	r.t.Helper()
	var parts [][]byte
	for p := range slices.Chunk(file, size) {
		parts = append(parts, p)
	}
	if parts == nil {
		parts = [][]byte{nil}
	}
	ids := make([]string, len(parts))
	for i := len(parts) - 1; i >= 0; i-- {
		ids[i] = r.openaiPart(id, parts[i])
	}
	return ids
}

func listed(ids []string, md5 string) string {
	m := map[string]any{"part_ids": append([]string{}, ids...)}
	if md5 != "" {
		m["md5"] = md5
	}
	return toJSON(m)
}

func walkOpenAI(r *rig, file []byte, part int) answer {
	t := r.t
	t.Helper()
	up := r.post(200, "/uploads", creation(int64(len(file))))
	wantKeys(t, up.json, "id", "object", "bytes", "created_at", "filename", "purpose", "status", "expires_at")
	if up.text("status") != "pending" || up.text("object") != "upload" || up.number("bytes") != int64(len(file)) || up.number("expires_at") != up.number("created_at")+3600 {
		t.Errorf("create: %s", up.raw)
	}
	if up.header.Get("x-request-id") == "" {
		t.Error("there is no x-request-id")
	}
	id := up.text("id")
	ids := r.openaiParts(id, file, part)
	r.openaiPart(id, []byte("an orphan, whose reply was lost"))
	done := r.post(200, "/uploads/"+id+"/complete", listed(ids, ""))
	wantKeys(t, done.json, "id", "object", "bytes", "created_at", "filename", "purpose", "status", "expires_at", "file")
	wantKeys(t, done.at("file"), "id", "object", "bytes", "created_at", "filename", "purpose", "status")
	if done.text("status") != "completed" || done.text("file", "object") != "file" || done.number("file", "bytes") != int64(len(file)) {
		t.Errorf("complete: %s", done.raw)
	}
	return done
}

func TestOpenAIWalk(t *testing.T) {
	const part = 64 << 10
	for _, size := range sizes(part) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "openai"})
			if !strings.HasSuffix(r.base, "/v1") {
				t.Errorf("the base is %s", r.base)
			}
			file := bytesOf(size)
			walkOpenAI(r, file, part)
			r.wantObject(file)
		})
	}
}

func TestOpenAIStrict(t *testing.T) {
	r := run(t, &sandbox.Server{API: "openai"})
	r.wantStrictHTTP("/uploads", creation(1), "Authorization", "Bearer "+testKey, func(a answer) bool {
		return slices.Equal(keys(a.at("error")), []string{"code", "message", "param", "type"}) && a.header.Get("x-request-id") != ""
	})
	const max = 8 << 30
	r.wantRefusals("/uploads", []strict{
		{"unknown", `{"filename":"a","purpose":"batch","bytes":1,"mime_type":"a/b","size":1}`, 400, "size is not a field"},
		{"no mime_type", `{"filename":"a","purpose":"batch","bytes":1}`, 400, "mime_type is missing"},
		{"purpose", strings.Replace(creation(1), "fine-tune", "storage", 1), 400, "purpose is none of"},
		{"bytes as text", `{"filename":"a","purpose":"batch","bytes":"1","mime_type":"a/b"}`, 400, `"param":"bytes"`},
		{"too large", creation(max + 1), 400, "8 GB"},
		{"anchor", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"now","seconds":9}}`, 1), 400, "expires_after.anchor"},
		{"no seconds", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"created_at"}}`, 1), 400, "expires_after.seconds is missing"},
		{"more of it", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"created_at","seconds":7200,"x":1}}`, 1), 400, "expires_after.x"},
		{"a life too short", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"created_at","seconds":3599}}`, 1), 400, "expires_after.seconds"},
		{"a life too long", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"created_at","seconds":2592001}}`, 1), 400, "expires_after.seconds"},
		{"as a number", strings.Replace(creation(1), "}", `,"expires_after":3600}`, 1), 400, "expires_after is not an object"},
	})
	r.post(200, "/uploads", creation(max))
	up := r.post(200, "/uploads", strings.Replace(creation(1), "}", `,"expires_after":{"anchor":"created_at","seconds":3600}}`, 1))
	done := r.post(200, "/uploads/"+up.text("id")+"/complete", listed([]string{r.openaiPart(up.text("id"), []byte("a"))}, ""))
	if done.number("file", "expires_at") != done.number("file", "created_at")+3600 {
		t.Error(done.raw)
	}
	for _, c := range []struct {
		header []string
		code   any
	}{{[]string{"Authorization", ""}, nil}, {[]string{"Authorization", "Bearer x"}, "invalid_api_key"}} {
		if a := r.post(401, "/uploads", creation(1), c.header...); a.at("error", "code") != c.code {
			t.Error(a.raw)
		}
	}
}

// What the API takes and other servers do not: each purpose, Azure's parameter,
// a part whose length is not told.
func TestOpenAITakes(t *testing.T) {
	r := run(t, &sandbox.Server{API: "openai"})
	for _, purpose := range []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"} {
		r.post(200, "/uploads", strings.Replace(creation(1), "fine-tune", purpose, 1))
	}
	for _, seconds := range []int{3600, 2592000} {
		r.post(200, "/uploads", strings.Replace(creation(1), "}", fmt.Sprintf(`,"expires_after":{"anchor":"created_at","seconds":%d}}`, seconds), 1))
	}
	up := r.post(200, "/uploads?api-version=2024-10-21", creation(11))
	r.post(400, "/uploads?version=2024-10-21", creation(11))
	kind, body := form("data", "part", []byte("hello world"))
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.base+"/uploads/"+up.text("id")+"/parts", struct{ io.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	a, err := send(t, req)
	if err != nil || a.status != 200 || req.ContentLength > 0 {
		t.Fatalf("chunked: %d %s %v", a.status, a.raw, err)
	}
	done := r.post(200, "/uploads/"+up.text("id")+"/complete?api-version=x", listed([]string{a.text("id")}, ""))
	if done.text("file", "status") != "processed" {
		t.Error(done.raw)
	}
	r.wantObject([]byte("hello world"))
}

func TestOpenAIParts(t *testing.T) {
	r := run(t, &sandbox.Server{API: "openai"})
	id := r.post(200, "/uploads", creation(6)).text("id")
	path := "/uploads/" + id + "/parts"
	good, _ := form("data", "part", nil)
	for _, c := range []struct {
		name, kind, body, want string
	}{
		{"raw", "application/octet-stream", "abc", "not multipart/form-data"},
		{"no boundary", "multipart/form-data", "abc", "not multipart/form-data"},
		{"other boundary", good, "abc", "no field data"},
		{"empty", good, "", "no field data"},
	} {
		a, err := r.tryForm(path, c.kind, c.body)
		if err != nil || a.status != 400 || !strings.Contains(a.raw, c.want) {
			t.Errorf("%s: %d %s %v", c.name, a.status, a.raw, err)
		}
	}
	for _, c := range []struct{ field, file, want string }{{"file", "f", "a field \\\"file\\\""}, {"data", "", "no filename"}} {
		kind, body := form(c.field, c.file, []byte("abc"))
		if a, err := r.tryForm(path, kind, body); err != nil || a.status != 400 || !strings.Contains(a.raw, c.want) {
			t.Errorf("%v: %d %s %v", c, a.status, a.raw, err)
		}
	}
	kind, body := form("data", "f", []byte("abc"))
	boundary := strings.TrimPrefix(kind, "multipart/form-data; boundary=")
	two := strings.TrimSuffix(body, "--"+boundary+"--\r\n") + body
	if a, err := r.tryForm(path, kind, two); err != nil || a.status != 400 || !strings.Contains(a.raw, "second field") {
		t.Errorf("two fields: %d %s %v", a.status, a.raw, err)
	}
	if a, err := r.tryForm(path, kind, strings.TrimSuffix(body, "--\r\n")); err != nil || a.status != 400 {
		t.Errorf("no end: %d %s %v", a.status, a.raw, err)
	}

	abc, def, other := r.openaiPart(id, []byte("abc")), r.openaiPart(id, []byte("def")), r.openaiPart(id, []byte("xy"))
	foreign := r.openaiPart(r.post(200, "/uploads", creation(1)).text("id"), []byte("abc"))
	r.wantRefusals("/uploads/"+id+"/complete", []strict{
		{"none", listed(nil, ""), 400, "part_ids is empty"},
		{"no list", `{"part_ids":"x"}`, 400, "is not an array"},
		{"missing", `{}`, 400, "part_ids is missing"},
		{"too few", listed([]string{abc}, ""), 400, "3 bytes"},
		{"too many", listed([]string{abc, def, other}, ""), 400, "8 bytes"},
		{"twice", listed([]string{abc, abc}, ""), 400, "twice"},
		{"unknown", listed([]string{abc, "part_x"}, ""), 400, "no part part_x"},
		{"a path", listed([]string{abc, "../upload.json"}, ""), 400, "no part"},
		{"another upload's", listed([]string{abc, foreign}, ""), 400, "no part"},
		{"no md5", listed([]string{abc, def}, "xyz"), 400, "no MD5"},
		{"wrong md5", listed([]string{def, abc}, hexMD5("abcdef")), 400, "another"},
		{"more", `{"part_ids":[],"x":1}`, 400, "x is not a field"},
	})
	done := r.post(200, "/uploads/"+id+"/complete", listed([]string{def, abc}, hexMD5("defabc")))
	if list, _ := r.s.Finished(); len(list) != 1 || !list[0].Verified {
		t.Errorf("the md5 is not noted: %v", list)
	}
	r.wantObject([]byte("defabc"))
	if a := r.post(200, "/uploads/"+id+"/complete", listed([]string{def, abc}, hexMD5("defabc"))); a.raw != done.raw {
		t.Errorf("the same complete again: %s, want %s", a.raw, done.raw)
	}
	r.post(400, "/uploads/"+id+"/complete", listed([]string{abc, def}, ""))
	r.post(400, "/uploads/"+id+"/cancel", "")
	if a, err := r.tryForm(path, kind, body); err != nil || a.status != 400 || !strings.Contains(a.raw, "completed") {
		t.Errorf("a part after complete: %d %s %v", a.status, a.raw, err)
	}
}

func hexMD5(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }

func TestOpenAIBase64MD5(t *testing.T) {
	r := run(t, &sandbox.Server{API: "openai"})
	id := r.post(200, "/uploads", creation(3)).text("id")
	sum := md5.Sum([]byte("abc"))
	r.post(200, "/uploads/"+id+"/complete", listed([]string{r.openaiPart(id, []byte("abc"))}, base64.StdEncoding.EncodeToString(sum[:])))
}

func TestOpenAILargePart(t *testing.T) {
	const max = 64 << 20
	r := run(t, &sandbox.Server{API: "openai"})
	id := r.post(200, "/uploads", creation(max)).text("id")
	file := bytesOf(max + 1)
	for _, size := range []int{max + 1, max + 1<<20} {
		kind, body := form("data", "f", append(file, make([]byte, size-len(file))...))
		if a, err := r.tryForm("/uploads/"+id+"/parts", kind, body); err != nil || a.status != 400 || !strings.Contains(a.raw, "64 MB") {
			t.Errorf("%d bytes: %d %s %v", size, a.status, a.raw, err)
		}
	}
	r.post(200, "/uploads/"+id+"/complete", listed([]string{r.openaiPart(id, file[:max])}, ""))
	r.wantObject(file[:max])
}

func TestOpenAICancelAndExpiry(t *testing.T) {
	now := newClock()
	r := run(t, &sandbox.Server{API: "openai", Now: now.Now})
	kind, body := form("data", "f", []byte("abc"))
	id := r.post(200, "/uploads", creation(3)).text("id")
	part := r.openaiPart(id, []byte("abc"))
	for range 2 {
		if a := r.post(200, "/uploads/"+id+"/cancel", ""); a.text("status") != "cancelled" {
			t.Error(a.raw)
		}
	}
	r.post(400, "/uploads/"+id+"/cancel", "{}")
	r.post(400, "/uploads/"+id+"/complete", listed([]string{part}, ""))
	if a, err := r.tryForm("/uploads/"+id+"/parts", kind, body); err != nil || a.status != 400 || !strings.Contains(a.raw, "cancelled") {
		t.Errorf("%d %s %v", a.status, a.raw, err)
	}

	up := r.post(200, "/uploads", creation(3))
	id = up.text("id")
	if up.number("expires_at") != now.Now().Add(time.Hour).Unix() {
		t.Error(up.raw)
	}
	now.pass(time.Hour - time.Second)
	part = r.openaiPart(id, []byte("abc"))
	now.pass(time.Second)
	for _, step := range []string{"/cancel", "/complete"} {
		body := ""
		if step == "/complete" {
			body = listed([]string{part}, "")
		}
		if a := r.post(400, "/uploads/"+id+step, body); !strings.Contains(a.raw, "expired") {
			t.Error(a.raw)
		}
	}
	if a, err := r.tryForm("/uploads/"+id+"/parts", kind, body); err != nil || a.status != 400 || !strings.Contains(a.raw, "expired") {
		t.Errorf("%d %s %v", a.status, a.raw, err)
	}
	for _, step := range []string{"/cancel", "/complete"} {
		body := ""
		if step == "/complete" {
			body = listed([]string{part}, "")
		}
		r.post(404, "/uploads/upload_unknown"+step, body)
	}
}
