package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

func FuzzParseFaults(f *testing.F) {
	for _, spec := range []string{
		"put@part=3@after=2@times=all:status=503,retry-after=2", "create:patch={\"a\":null}", "put:reset=100k",
		"complete:redirect=308,http://a/", "put:slow=1.5MiB", "put:expire=azure", "complete:once", "put:kill=77",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		faults, err := sandbox.ParseFaults(spec)
		if err == nil && len(faults.Unfired()) != 1 {
			t.Errorf("%q: unfired: %q", spec, faults.Unfired())
		}
	})
}

// Whatever a client sends, it is the client's fault.
func FuzzBodies(f *testing.F) {
	paths := map[string][]string{
		"archetype": {"/v0.5/files/uploads/initiate", "/v0.5/files/uploads/ID/parts/urls", "/v0.5/files/uploads/ID/parts/checkpoint", "/v0.5/files/uploads/ID/complete", "/v0.5/files/uploads/ID/abort"},
		"fileai":    {fileaiPath, fileaiPath + "/complete"},
		"openai":    {"/v1/uploads", "/v1/uploads/ID/complete", "/v1/uploads/ID/parts"},
		"upscayl":   {"/get-upload-url", "/complete-multipart-upload"},
	}
	for _, body := range []string{
		initiate("a", 3, ""), `{"part_numbers":[1,0,-1]}`, completion([]token{{1, "x"}}, "AAAAAA=="), creation(3),
		listed([]string{"a"}, "b"), megabytes(3, 1, ""), `{"id":"a","key":"b","parts":[{"partNumber":1,"eTag":"x"}]}`,
		picture(3, ""), `{"data":{"uploadId":"a","key":"b","parts":[]}}`, `{"a":1,"a":2}`, "[]", "",
	} {
		f.Add(body)
	}
	handlers := map[string]http.Handler{}
	ids := map[string]string{}
	for api := range paths {
		h, err := (&sandbox.Server{API: api, Dir: f.TempDir(), PartSize: 1 << 40}).Handler()
		if err != nil {
			f.Fatal(err)
		}
		handlers[api] = h
		for path, body := range map[string]string{paths["archetype"][0]: initiate("a", 3, ""), paths["openai"][0]: creation(3)} {
			if path != paths[api][0] {
				continue
			}
			_, text := fuzzPost(f, h, path, body, "application/json")
			_, rest, _ := strings.Cut(text, `"upload_id":"`)
			if api == "openai" {
				_, rest, _ = strings.Cut(text, `"id":"`)
			}
			ids[api], _, _ = strings.Cut(rest, `"`)
		}
	}
	f.Fuzz(func(t *testing.T, body string) {
		for api, h := range handlers {
			for _, path := range paths[api] {
				path = strings.Replace(path, "ID", ids[api], 1)
				for _, kind := range []string{"application/json", "multipart/form-data; boundary=x"} {
					if status, text := fuzzPost(t, h, path, body, kind); status < 200 || status >= 500 {
						t.Errorf("%s %q: %d %s", path, body, status, text)
					}
				}
			}
		}
	})
}

func fuzzPost(tb testing.TB, h http.Handler, path, body, kind string) (int, string) {
	tb.Helper()
	w := &recorder{header: http.Header{}}
	req, err := http.NewRequestWithContext(tb.Context(), "POST", "http://sandbox.test"+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	h.ServeHTTP(w, req)
	return w.status, w.body.String()
}
