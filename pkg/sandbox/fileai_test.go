package sandbox_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

const fileaiPath = "/prod/v1/files/upload/multipart"

func megabytes(size int, unit float64, more string) string {
	return fmt.Sprintf(`{"fileName":"walk.pdf","fileType":"application/pdf","fileSize":%v%s}`, float64(size)/unit, more)
}

type fileaiETag struct {
	Number int64  `json:"partNumber"`
	ETag   string `json:"eTag"`
}

func fileaiPut(t *testing.T, plan answer, file []byte) []fileaiETag {
	t.Helper()
	var tags []fileaiETag
	for i := len(plan.list("presignedUrls")) - 1; i >= 0; i-- {
		from, to := plan.number("presignedUrls", i, "startByte"), plan.number("presignedUrls", i, "endByte")
		etag := put(t, plan.text("presignedUrls", i, "presignedUrl"), file[from:to+1])
		tags = append(tags, fileaiETag{plan.number("presignedUrls", i, "partNumber"), etag})
	}
	slices.Reverse(tags)
	return tags
}

func fileaiDone(plan answer, tags []fileaiETag) string {
	return toJSON(map[string]any{"id": plan.text("id"), "key": plan.text("key"), "parts": tags})
}

func walkFileAI(r *rig, file []byte) answer {
	t := r.t
	t.Helper()
	plan := r.post(200, fileaiPath, megabytes(len(file), 1<<20, ""))
	wantKeys(t, plan.json, "id", "key", "s3Path", "partSize", "totalParts", "totalSize", "presignedUrls", "uploadId", "fileName", "fileType", "fileSize")
	if plan.number("totalSize") != int64(len(file)) || plan.text("id") == plan.text("uploadId") || plan.number("totalParts") != int64(len(plan.list("presignedUrls"))) {
		t.Errorf("the plan is wrong: %s", plan.raw)
	}
	at := int64(0)
	for i := range plan.list("presignedUrls") {
		wantKeys(t, plan.at("presignedUrls", i), "partNumber", "presignedUrl", "startByte", "endByte", "size")
		from, to, size := plan.number("presignedUrls", i, "startByte"), plan.number("presignedUrls", i, "endByte"), plan.number("presignedUrls", i, "size")
		if from != at || to != at+size-1 {
			t.Errorf("part %d is %d to %d and has %d bytes, want from %d", i, from, to, size, at)
		}
		at += size
		if !strings.Contains(plan.text("presignedUrls", i, "presignedUrl"), "X-Amz-Expires=900&") {
			t.Errorf("a URL does not last 900 s")
		}
	}
	if at != int64(len(file)) {
		t.Errorf("the parts have %d bytes, want %d", at, len(file))
	}
	status := "/prod/v1/uploads/" + plan.text("uploadId")
	if a, err := r.try("GET", status, ""); err != nil || a.status != 200 || len(a.list("files"))+len(a.list("statuses")) != 0 {
		t.Errorf("status: %d %s %v", a.status, a.raw, err)
	}
	done := r.post(201, fileaiPath+"/complete", fileaiDone(plan, fileaiPut(t, plan, file)))
	wantKeys(t, done.json, "location", "key", "etag", "success")
	if done.at("success") != true || done.text("key") != plan.text("key") || !strings.HasPrefix(done.text("etag"), `"`) {
		t.Errorf("complete: %s", done.raw)
	}
	a, err := r.try("GET", status, "")
	if err != nil || a.status != 200 || len(a.list("files")) != 1 {
		t.Errorf("status: %d %s %v", a.status, a.raw, err)
	}
	wantKeys(t, a.json, "statuses", "files")
	wantKeys(t, a.at("statuses", 0), "status", "step", "timestamp")
	wantKeys(t, a.at("files", 0), "fileId", "fileName", "fileSize", "status")
	if a.text("statuses", 0, "status") != "completed" || a.text("statuses", 0, "step") != "processing_started" || a.text("files", 0, "status") != "processed" {
		t.Errorf("status after complete: %s", a.raw)
	}
	return done
}

func TestFileAIWalk(t *testing.T) {
	const part = 64 << 10
	for _, size := range sizes(part) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "fileai", PartSize: part})
			file := bytesOf(size)
			done := walkFileAI(r, file)
			r.wantObject(file)
			if list, _ := r.s.Finished(); list[0].Location != done.text("location") {
				t.Errorf("the location is %q, want %q", done.text("location"), list[0].Location)
			}
		})
	}
}

func TestFileAIMegabyte(t *testing.T) {
	const size = 150_500_001
	for _, unit := range []int64{1 << 20, 1e6} {
		r := run(t, &sandbox.Server{API: "fileai", Megabyte: unit})
		for _, asked := range []int64{1 << 20, 1e6} {
			plan := r.post(200, fileaiPath, megabytes(size, float64(asked), ""))
			if got := plan.number("totalSize"); (got == size) != (asked == unit) {
				t.Errorf("a client with megabytes of %d at a server with %d: totalSize %d", asked, unit, got)
			}
		}
		if plan := r.post(200, fileaiPath, megabytes(size, float64(unit), "")); plan.number("partSize") != 6<<20 {
			t.Errorf("partSize is %d", plan.number("partSize"))
		}
		plan := r.post(200, fileaiPath, megabytes(size, float64(unit), `,"partSizeLimit":100`))
		if got := plan.number("partSize"); got != 100*unit || plan.number("totalParts") != 2 {
			t.Errorf("with a partSizeLimit of 100: %d", got)
		}
		plan = r.post(200, fileaiPath, megabytes(size, float64(unit), `,"partSizeLimit":0.5`))
		if got := plan.number("partSize"); got != unit/2 {
			t.Errorf("with a partSizeLimit of 0.5: %d", got)
		}
	}
}

func TestFileAIStrict(t *testing.T) {
	r := run(t, &sandbox.Server{API: "fileai"})
	shape := func(a answer) bool {
		return slices.Equal(keys(a.json), []string{"error", "message", "statusCode"}) && a.number("statusCode") == int64(a.status)
	}
	r.wantStrictHTTP(fileaiPath, megabytes(1, 1<<20, ""), "x-api-key", testKey, shape)
	r.wantRefusals(fileaiPath, []strict{
		{"unknown", megabytes(1, 1, `,"size":1`), 400, "size is not a field"},
		{"no size", `{"fileName":"a","fileType":"a/b"}`, 400, "fileSize is missing"},
		{"size as text", `{"fileName":"a","fileType":"a/b","fileSize":"1"}`, 400, "fileSize is not a number"},
		{"below zero", `{"fileName":"a","fileType":"a/b","fileSize":-1}`, 400, "fileSize is not a number"},
		{"bytes", `{"fileName":"a","fileType":"a/b","fileSize":150500000000}`, 400, "megabytes"},
		{"flag as text", megabytes(1, 1, `,"isSplit":"true"`), 400, "isSplit is neither"},
		{"limit of 0", megabytes(1, 1, `,"partSizeLimit":0`), 400, "partSizeLimit"},
		{"pages as text", megabytes(1, 1, `,"pageCount":"3"`), 400, "pageCount"},
	})
	a := r.post(200, fileaiPath, megabytes(1, 1<<20, `,"isSplit":true,"isSplitExcel":false,"callbackURL":"https://example.com","ocrModel":"m","schemaLocking":true,"directoryId":"d","isEphemeral":false,"pageCount":3,"apiRequestId":"r","partSizeLimit":10`))
	if a.at("isSplit") != true || a.text("ocrModel") != "m" || a.number("pageCount") != 3 {
		t.Errorf("what was given is not echoed: %s", a.raw)
	}
	for _, path := range []string{"/prod/v1/uploads/batch-x", "/prod/v1/uploads/" + a.text("id"), "/prod/v1/uploads/%2e%2e"} {
		if a, err := r.try("GET", path, ""); err != nil || a.status != 404 || !shape(a) {
			t.Errorf("status: %d %s %v", a.status, a.raw, err)
		}
	}
}

func TestFileAIComplete(t *testing.T) {
	now := newClock()
	r := run(t, &sandbox.Server{API: "fileai", PartSize: 100, Now: now.Now})
	file := bytesOf(250)
	plan := r.post(200, fileaiPath, megabytes(250, 1<<20, ""))
	now.pass(900 * time.Second)
	tags := fileaiPut(t, plan, file) // the last moment
	now.pass(time.Second)
	refused(t, 403, "AccessDenied", plan.text("presignedUrls", 0, "presignedUrl"), file[:100])

	wrong := slices.Clone(tags)
	wrong[1].ETag = tags[0].ETag
	r.wantRefusals(fileaiPath+"/complete", []strict{
		{"missing part", fileaiDone(plan, tags[:2]), 422, "Invalid parts"},
		{"order", fileaiDone(plan, []fileaiETag{tags[1], tags[0], tags[2]}), 422, "Invalid parts"},
		{"etag", fileaiDone(plan, wrong), 422, "Invalid parts"},
		{"no parts", `{"id":"a","key":"b"}`, 422, "Invalid parts is missing"},
		{"no etag", `{"id":"a","key":"b","parts":[{"partNumber":1}]}`, 422, "eTag is missing"},
		{"S3's spelling", `{"id":"a","key":"b","parts":[{"PartNumber":1,"ETag":"x"}]}`, 422, "is missing"},
		{"uploadId", toJSON(map[string]any{"uploadId": plan.text("id"), "key": plan.text("key"), "parts": tags}), 422, "id is missing"},
		{"other key", toJSON(map[string]any{"id": plan.text("id"), "key": "x", "parts": tags}), 422, "Invalid key"},
	})
	for _, id := range []string{plan.text("uploadId"), "x", "../x"} {
		a := r.post(422, fileaiPath+"/complete", toJSON(map[string]any{"id": id, "key": plan.text("key"), "parts": tags}))
		if a.number("statusCode") != 500 || !strings.Contains(a.text("message"), "The specified upload does not exist.") {
			t.Errorf("an unknown id: %s", a.raw)
		}
	}
	body := fileaiDone(plan, tags)
	done := r.post(201, fileaiPath+"/complete", body)
	if a := r.post(201, fileaiPath+"/complete", body); a.raw != done.raw {
		t.Errorf("the same complete again: %s, want %s", a.raw, done.raw)
	}
	tags[0].ETag = strings.Trim(tags[0].ETag, `"`)
	r.post(422, fileaiPath+"/complete", fileaiDone(plan, tags))
	r.wantObject(file)
	if a, err := r.try("GET", "/prod/v1/uploads/"+plan.text("uploadId"), "", "x-api-key", ""); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("status without a key: %d %v", a.status, err)
	}
}
