package sandbox_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

func picture(size int, more string) string {
	return fmt.Sprintf(`{"data":{"fileSize":%d,"fileType":"image/jpeg","originalFileName":"walk.jpg"%s}}`, size, more)
}

type upscaylETag struct {
	Number int64
	ETag   string
}

func (e upscaylETag) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"PartNumber":%d,"ETag":%q}`, e.Number, e.ETag), nil
}

func upscaylPut(t *testing.T, plan answer, file []byte) []upscaylETag {
	t.Helper()
	size := int(plan.number("data", "partSize"))
	var tags []upscaylETag
	for i := len(plan.list("data", "partUrls")) - 1; i >= 0; i-- {
		wantKeys(t, plan.at("data", "partUrls", i), "partNumber", "signedUrl")
		etag := put(t, plan.text("data", "partUrls", i, "signedUrl"), file[i*size:min(len(file), (i+1)*size)])
		tags = append(tags, upscaylETag{plan.number("data", "partUrls", i, "partNumber"), etag})
	}
	slices.Reverse(tags)
	return tags
}

func upscaylDone(plan answer, tags []upscaylETag) string {
	return toJSON(map[string]any{"data": map[string]any{"uploadId": plan.text("data", "uploadId"), "key": plan.text("data", "path"), "parts": tags}})
}

func walkUpscayl(r *rig, file []byte) answer {
	t := r.t
	t.Helper()
	plan := r.post(200, "/get-upload-url", picture(len(file), ""))
	wantKeys(t, plan.json, "status", "data")
	wantKeys(t, plan.at("data"), "uploadId", "partUrls", "partSize", "fileName", "fileType", "fileSize", "originalFileName", "path", "createdAt", "expiresAt")
	if plan.text("status") != "success" || plan.number("data", "fileSize") != int64(len(file)) || !strings.HasSuffix(plan.text("data", "path"), plan.text("data", "fileName")) {
		t.Errorf("the plan is wrong: %s", plan.raw)
	}
	done := r.post(200, "/complete-multipart-upload", upscaylDone(plan, upscaylPut(t, plan, file)))
	if done.raw != `{"data":{"status":"success"},"status":"success"}` {
		t.Errorf("complete: %s", done.raw)
	}
	return done
}

func TestUpscaylWalk(t *testing.T) {
	const part = 64 << 10
	for _, size := range sizes(part) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "upscayl", PartSize: part})
			file := bytesOf(size)
			walkUpscayl(r, file)
			r.wantObject(file)
		})
	}
}

func TestUpscaylTimes(t *testing.T) {
	for _, seconds := range []bool{false, true} {
		now := newClock()
		r := run(t, &sandbox.Server{API: "upscayl", Seconds: seconds, URLLife: time.Minute, Now: now.Now})
		plan := r.post(200, "/get-upload-url", picture(1, ""))
		want := now.Now().UnixMilli()
		life := int64(60_000)
		if seconds {
			want, life = now.Now().Unix(), 60
		}
		if plan.number("data", "createdAt") != want || plan.number("data", "expiresAt") != want+life {
			t.Errorf("seconds %t: %s", seconds, plan.raw)
		}
		now.pass(61 * time.Second)
		refused(t, 403, "AccessDenied", plan.text("data", "partUrls", 0, "signedUrl"), []byte("a"))
	}
}

func TestUpscaylStrict(t *testing.T) {
	r := run(t, &sandbox.Server{API: "upscayl"})
	bare := func(a answer) bool { s, ok := a.json.(string); return ok && s != "" }
	r.wantStrictHTTP("/get-upload-url", picture(1, ""), "X-API-Key", testKey, bare)
	const missing = `"Bad Request: Missing required parameters"`
	r.wantRefusals("/get-upload-url", []strict{
		{"no wrapper", `{"fileSize":1,"fileType":"image/jpeg","originalFileName":"a.jpg"}`, 400, missing},
		{"beside it", strings.Replace(picture(1, ""), `{"data"`, `{"x":1,"data"`, 1), 400, "x is not a field"},
		{"no name", `{"data":{"fileSize":1,"fileType":"image/jpeg"}}`, 400, missing},
		{"size as text", `{"data":{"fileSize":"1","fileType":"image/jpeg","originalFileName":"a.jpg"}}`, 400, "data.fileSize is not a whole number"},
		{"unknown", picture(1, `,"fileName":"a"`), 400, "data.fileName is not a field"},
		{"no object", `{"data":[]}`, 400, "data is not an object"},
	})
	plan := r.post(200, "/get-upload-url", picture(3, ""))
	tags := upscaylPut(t, plan, []byte("abc"))
	id, key := plan.text("data", "uploadId"), plan.text("data", "path")
	data := func(m map[string]any) string { return toJSON(map[string]any{"data": m}) }
	r.wantRefusals("/complete-multipart-upload", []strict{
		{"no key", data(map[string]any{"uploadId": id, "parts": tags}), 400, missing},
		{"file name as key", data(map[string]any{"uploadId": id, "key": plan.text("data", "fileName"), "parts": tags}), 400, "Invalid key"},
		{"unknown id", data(map[string]any{"uploadId": "x", "key": key, "parts": tags}), 400, "does not exist"},
		{"no parts", data(map[string]any{"uploadId": id, "key": key, "parts": []int{}}), 400, "Invalid parts"},
		{"small letters", data(map[string]any{"uploadId": id, "key": key, "parts": []map[string]any{{"partNumber": 1, "eTag": tags[0].ETag}}}), 400, missing},
		{"wrong etag", upscaylDone(plan, []upscaylETag{{1, `"00"`}}), 400, "another ETag"},
		{"part 0", upscaylDone(plan, []upscaylETag{{0, tags[0].ETag}}), 400, "Invalid parts"},
	})
	done := r.post(200, "/complete-multipart-upload", upscaylDone(plan, tags))
	if a := r.post(200, "/complete-multipart-upload", upscaylDone(plan, tags)); a.raw != done.raw {
		t.Errorf("the same complete again: %s, want %s", a.raw, done.raw)
	}
	r.post(400, "/complete-multipart-upload", upscaylDone(plan, []upscaylETag{{1, strings.Trim(tags[0].ETag, `"`)}}))
}
