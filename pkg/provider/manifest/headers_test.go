package manifest

import (
	"errors"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// faultAt reports whether an error is one of the manifest at a key, and was found
// before the request was sent.
func faultAt(err error, key string) bool {
	var wrong *spec.Error
	return errors.As(err, &wrong) && wrong.Problems[0].Key == key && strings.Contains(err.Error(), "overwritten") && errors.Is(err, upload.ErrUnsent)
}

// TestHeadersOfAuth holds that a header whose name is only known when it is made
// is refused where auth sets it: at the start if it can be told there.
func TestHeadersOfAuth(t *testing.T) {
	const text = "options: {as: {type: string, help: x}}\n" + bearer + `create: {send: POST /u, keep: '{id, as}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: $header.etag}
complete: {send: "POST /u/{id}/end", body: '[$parts[].receipt]', ok: .ok, result: .id}
`
	change := func(old, with string) string { return strings.Replace(text, old, old+with, 1) }
	early := map[string]string{
		change("POST /u,", ` headers: '{($options.as): "x"}',`):                       "create.headers",
		change(`"POST /u/{id}/end",`, ` headers: '{($options.as): $upload.id}',`):     "complete.headers",
		change(`{part.number}",`, ` auth: true, headers: '{($options.as): "x"}',`):    "part.headers",
		strings.Replace(text, "create:", "headers: '{($options.as): 1}'\ncreate:", 1): "headers",
	}
	for text, key := range early {
		p, _ := speak(t, text, nil, "as=aUthorization") // whatever is sent fails the test
		if u, _, err := p.Create(t.Context(), ten, upload.Hint{}); u.ID != "" || !(faultAt(err, key) || key == "headers" && strings.Contains(err.Error(), "header of auth")) {
			t.Errorf("%s: %q, %v", key, u.ID, err)
		}
		p, _ = speak(t, text, map[string]string{"POST /v1/u": `{"id":"u1","as":"x","each":4}`}, "as=x-other")
		if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); err != nil {
			t.Errorf("%s: another header: %v", key, err)
		}
	}
	created := map[string]string{"POST /v1/u": `{"id":"u1","as":"AUTHORIZATION","each":4}`}
	p, _ := speak(t, change(`"POST /u/{id}/end",`, ` headers: '{($upload.as): "x"}',`), created)
	u, _, err := p.Create(t.Context(), ten, upload.Hint{})
	if u.ID != "u1" || u.Data == nil || err == nil || !strings.Contains(err.Error(), "complete.headers: has Authorization") {
		t.Errorf("what was opened cannot be aborted: %+v, %v", u, err)
	}
	if _, err := p.Complete(t.Context(), u, nil, upload.Digests{}); !faultAt(err, "complete.headers") {
		t.Errorf("complete: %v", err)
	}
	p, _ = speak(t, change(`{part.number}",`, ` auth: true, headers: '{($part.offset | if . == 4 then "authorization" else "x" end): "x"}',`), created)
	if u, _, err = p.Create(t.Context(), ten, upload.Hint{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(t.Context(), u, upload.Presigned{Part: 2}, u.Parts[1], strings.NewReader("4567")); !faultAt(err, "part.headers") {
		t.Errorf("put: %v", err)
	}
	// A presigned URL of the API's own that comes with one.
	p, s := speak(t, strings.Replace(change("keep: '{id, as}', ", "urls: '{number: 1, url: \"/v1/p\", headers: {authorization: \"Store\"}}', "), `"PUT /u/{id}/{part.number}",`, "PUT, auth: true,", 1), created)
	whole := upload.File{Name: "a", Size: 4}
	u, urls, err := p.Create(t.Context(), whole, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(t.Context(), u, urls[0], u.Parts[0], strings.NewReader("0123")); !faultAt(err, "part.auth") || len(s.seen) != 1 {
		t.Errorf("put to a presigned URL: %v, %v", err, s.seen)
	}
}

// TestFieldOfAuth holds the same of a form's field.
func TestFieldOfAuth(t *testing.T) {
	text := "options: {as: {type: string, help: x}}\nauth: {field: key, value: \"{secret}\"}\n" + `create: {send: POST /u, fields: FIELDS, keep: '{id}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: $header.etag}
complete: {send: "POST /u/{id}/end", fields: '{a: "b"}', ok: .ok, result: .id}
`
	_, err := Parse("x.yaml", []byte("version: 1\nname: x\n"+strings.Replace(text, "FIELDS", "'{key: $file.name}'", 1)))
	var wrong *spec.Error
	if !errors.As(err, &wrong) || len(wrong.Problems) != 1 || wrong.Problems[0].Key != "create.fields" {
		t.Errorf("a field that is there: %v", err)
	}
	text = strings.Replace(text, "FIELDS", "'{($options.as): 1}'", 1)
	p, _ := speak(t, text, nil, "as=key")
	if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); !faultAt(err, "create.fields") {
		t.Errorf("a field that is made: %v", err)
	}
	p, _ = speak(t, text, map[string]string{"POST /v1/u": `{"id":"u1","each":4}`}, "as=Key")
	if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); err != nil {
		t.Errorf("another field: %v", err)
	}
}
