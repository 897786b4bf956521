package manifest

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// formed is a manifest with the keys that whole does not have.
const formed = `version: 1
name: acme
base: https://acme.example/v1
auth: {field: key, value: "{secret}", env: ACME_KEY}
limits: {min_size: 2B, part: {max: 4B}}
options:
  bucket: {type: string, default: b k, help: a bucket}
  folder: {type: string, required: true, help: a folder}
create:
  send: POST /{options.bucket}/{+options.folder}/{file.name}?v={options.bucket}
  query: '{parts: ($parts | length), gone: null, yes: true, each: [$parts[].size]}'
  fields: '{name: $file.name, size: $file.size, tags: ["a", "b"], none: null}'
  headers: '{"X-Size": $file.size}'
  keep: '{id: .id, end: .end}'
  urls: .urls[]
presign:
  send: POST /{id}/more
  fields: '{first: $parts[0].number, count: ($parts | length)}'
  consecutive: true
  max: 2
  urls: .urls[]
part:
  send: PUT
  digests: [sha1]
  headers: '{Digest: "sha=\($part.sha1)", "X-Range": "\($part.offset)+\($part.size)"}'
  receipt: .part // empty | tojson
complete:
  send: POST
  url: $upload.end
  fields: '{parts: ([$parts[].receipt | fromjson | .n] | tojson)}'
  headers: {X-Kind: last}
  pending: $status == 202 or .code == "later"
  result: $upload.id
`

func editForms(t testing.TB, old, new string) []byte {
	t.Helper()
	if strings.Count(formed, old) != 1 {
		t.Fatalf("%q is not once in the manifest", old)
	}
	return []byte(strings.Replace(formed, old, new, 1))
}

func TestParseForms(t *testing.T) {
	mustParse(t, []byte(formed))
	for _, c := range []struct {
		old, new string
		line     int
		key      string
		text     string
	}{
		{"auth: {field: key, ", "auth: {field: key, header: X, ", 4, "auth", "exclude each other"},
		{"  fields: '{first: $parts[0].number, count: ($parts | length)}'\n", "", 17, "presign.send", "has no fields, and the key is one of them"},
		{"send: POST /{id}/more", "send: GET /{id}/more", 18, "presign.fields", "a GET has no body"},
		{"send: POST /{id}/more", "send: POST /{id}/more\n  body: '{}'", 19, "presign.fields", "excludes body"},
		{"{options.bucket}/{+", "{options.bukcet}/{+", 10, "create.send", "there is no option bukcet"},
		{"{options.bucket}/{+", "{id}/{+", 10, "create.send", "there is none yet"},
		{"required: true, ", "", 10, "create.send", "the option folder has to be required, or to have a default"},
		{"{file.name}?", "{file.nam}?", 10, "create.send", "$file has name, type, size"},
		{"{file.name}?", "{other.name}?", 10, "create.send", "nor options.NAME, file.NAME or part.NAME"},
		{"  send: POST\n  url: $upload.end\n", "  send: POST {end}\n", 28, "complete.send", "send: POST, with url: $upload.end"},
		{"  send: POST\n  url: $upload.end\n", "  send: POST {end}/x\n", 28, "complete.send", "not a method and a path"},
		{"  send: POST\n  url: $upload.end\n", "  send: POST\n", 28, "complete.send", "has no path, and there is no url"},
		{"  send: POST\n  url: $upload.end\n", "  send: POST /x\n  url: $upload.end\n", 29, "complete.url", "excludes a path in send"},
		{"  send: PUT\n", "  send: PUT {end}\n", 23, "part.send", "with url: $upload.end"},
		{"digests: [sha1]", "digests: [sha2]", 24, "part.digests[0]", "did you mean \"sha1\"?; the digests are crc32c, crc64nvme, md5, sha1, sha256"},
		{"digests: [sha1]", "digest: sha1", 24, "part.digest", "is called part.digests now"},
		{"digests: [sha1]", "fields: '{}'", 24, "part.fields", "needs part.form"},
		{"digests: [sha1]", "auth: true", 24, "part.auth", "the part is not a form"},
		{"max: 2", "max: 0", 20, "presign.max", "at least 1"},
		{"consecutive: true", "consecutive: 1", 19, "presign.consecutive", "true or false"},
		{"headers: {X-Kind: last}", "headers: [a]", 31, "complete.headers", "expected a mapping, found a list"},
		{"min_size: 2B", "min_size: few", 5, "limits.min_size", "not a size"},
	} {
		_, err := Parse("acme.yaml", editForms(t, c.old, c.new))
		var e *spec.Error
		if !errors.As(err, &e) || !slices.ContainsFunc(e.Problems, func(p spec.Problem) bool {
			return p.Line == c.line && p.Key == c.key && strings.Contains(p.Text, c.text)
		}) {
			t.Errorf("%s: says\n%v\nwant line %d: %s: …%s…", c.new, err, c.line, c.key, c.text)
		}
	}
}

var folder = map[string]string{"folder": "/x/y z"}

// TestForms takes a file through an API of forms, and looks at each request.
func TestForms(t *testing.T) {
	pending := 2
	var server string
	p, server := serve(t, mustParse(t, []byte(formed)), folder, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		what, form := r.Method+" "+r.RequestURI, string(b)
		want := func(target, body string) {
			if what != target || form != body {
				t.Errorf("was sent %s with %s, want %s with %s", what, form, target, body)
			}
		}
		switch {
		case r.Method == http.MethodPut:
			if sum := sha1.Sum(b); r.Header.Get("Digest") != "sha="+hex.EncodeToString(sum[:]) {
				t.Errorf("%s came with %s", b, r.Header.Get("Digest"))
			}
			if r.Header.Get("X-Range") != "4+4" || strings.Contains(fmt.Sprint(r.Header, r.URL), secret) {
				t.Errorf("the store was sent %v", r.Header)
			}
			fmt.Fprint(w, `{"part":{"n":9007199254740993}}`)
		case strings.HasSuffix(r.URL.Path, "/more"):
			want("POST /v1/u1/more", "count=2&first=2&key="+url.QueryEscape(secret))
			fmt.Fprint(w, `{"urls":["https://x.example/2","https://x.example/3"]}`)
		case r.URL.Path == "/end":
			want("POST /end?at=1", "key="+url.QueryEscape(secret)+"&parts=%5B9007199254740993%5D")
			if r.Header.Get("X-Kind") != "last" {
				t.Error("a constant header is missing")
			}
			if pending--; pending >= 0 {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader([]int{400, 202}[pending])
				fmt.Fprint(w, []string{`{"code":"later"}`, ``}[pending])
			}
		default:
			want("POST /v1/b%20k/x/y%20z/a.bin?v=b+k&each=4&each=4&each=2&parts=3&yes=true", "key="+url.QueryEscape(secret)+"&name=a.bin&size=10&tags=a&tags=b")
			if r.Header.Get("X-Size") != "10" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("was sent %v", r.Header)
			}
			fmt.Fprint(w, `{"id":"u1","end":"/end?at=1","urls":["https://x.example/1"]}`)
		}
	})
	u, gs, err := p.Create(t.Context(), file, upload.Hint{})
	if err != nil || len(gs) != 1 || gs[0].Part != 1 || planText(u.Parts) != "[{1 0 4} {2 4 4} {3 8 2}]" {
		t.Fatalf("planned %v, signed %v, %v", u.Parts, gs, err)
	}
	gs, err = p.Presign(t.Context(), u, []upload.Part{u.Parts[1], u.Parts[2], u.Parts[0]})
	if err != nil || len(gs) != 2 || gs[0].Part != 2 || gs[1].Part != 3 {
		t.Errorf("signed %v, %v", gs, err)
	}
	for _, body := range []io.Reader{strings.NewReader("4567"), hashable{strings.NewReader("4567")}} {
		r, err := p.Put(t.Context(), u, upload.Presigned{Part: 2, URL: server + "/p"}, u.Parts[1], body)
		if err != nil || r.Value != `{"n":9007199254740993}` {
			t.Errorf("the receipt is %v, %v", r, err)
		}
	}
	if _, err := p.Put(t.Context(), u, upload.Presigned{Part: 2, URL: server + "/p"}, u.Parts[1], io.LimitReader(strings.NewReader("4567"), 4)); err == nil {
		t.Error("a part was sent whose digest could not be known")
	}
	rs := []upload.Receipt{{Part: 1, Value: `{"n":9007199254740993}`}}
	for _, status := range []int{202, 400} {
		_, err := p.Complete(t.Context(), u, rs, upload.Digests{})
		var e *transport.Error
		var passes upload.Temporary
		if !errors.Is(err, upload.ErrUnfinished) || !errors.As(err, &e) || e.Status != status || !errors.As(err, &passes) || !passes.Temporary() || passes.RetryAfter().Seconds() != 7 {
			t.Errorf("pending is %v", err)
		}
		for _, no := range []error{upload.ErrRefused, upload.ErrGone, upload.ErrDenied} {
			if errors.Is(err, no) {
				t.Errorf("pending is a clear no: %v", err)
			}
		}
	}
	if r, err := p.Complete(t.Context(), u, rs, upload.Digests{}); err != nil || r.Value != "u1" || string(r.Reply) != "null" {
		t.Errorf("completed as %q, %s, %v", r.Value, r.Reply, err)
	}
}

// hashable is a body as the engine has them.
type hashable struct{ r *strings.Reader }

func (h hashable) Read(p []byte) (int, error) { return h.r.Read(p) }
func (h hashable) Hash(w io.Writer) error {
	_, err := io.Copy(w, io.NewSectionReader(h.r, 0, h.r.Size()))
	return err
}

// TestAddressesOfTheAPI holds where an address that the API gave may lead: the
// key is in each of these requests.
func TestAddressesOfTheAPI(t *testing.T) {
	other, hits := otherServer(t, answerWith(200, "{}"))
	for _, auth := range []string{`{field: key, value: "{secret}", env: ACME_KEY}`, `{header: X-Key, value: "{secret}", env: ACME_KEY}`} {
		text := editForms(t, `{field: key, value: "{secret}", env: ACME_KEY}`, auth)
		for end, want := range map[string]string{
			"/end": "/end", "end": "/v1/end", "../end": "/end", "?x=1": "/v1/", "{server}/end": "/end",
			"": "no value for end", "//elsewhere.example/end": "plain http is refused", other + "/end": "is not sent to another origin",
			"http://u:p@127.0.0.1/": "user name", "ftp://x.example/": "not an https URL", "https://acme.example:8443/": "is not sent to another origin",
			"https://acme.example": "is not sent to another origin",
		} {
			got, server := "", ""
			p, server := serve(t, mustParse(t, text), folder, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "a.bin") {
					b, _ := json.Marshal(map[string]any{"id": "u1", "end": strings.ReplaceAll(end, "{server}", server), "urls": []string{"https://x.example/1"}})
					_, _ = w.Write(b)
					return
				}
				got = r.URL.Path
			})
			_ = server
			u, _, err := p.Create(t.Context(), file, upload.Hint{})
			if strings.HasPrefix(want, "/") {
				if err == nil {
					_, err = p.Complete(t.Context(), u, nil, upload.Digests{})
				}
				if err != nil || got != want {
					t.Errorf("%s led to %s, %v; want %s", end, got, err, want)
				}
				continue
			}
			if err == nil || !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", end, err, want)
			}
			// Another user who changed the journal in the meantime does not get the key either.
			b, _ := json.Marshal(map[string]any{"upload": map[string]any{"id": "u1", "end": end}, "options": folder})
			if _, err := p.Complete(t.Context(), upload.Upload{ID: "u1", File: file, Data: b}, nil, upload.Digests{}); !errors.Is(err, upload.ErrUnsent) {
				t.Errorf("%s: complete was sent: %v", end, err)
			}
		}
	}
	if hits.Load() > 0 {
		t.Error("another server was asked")
	}
}

// TestFormValues holds what a form and a query may be made of.
func TestFormValues(t *testing.T) {
	for expr, want := range map[string]string{
		"{a: {}}":    "a is {}, neither text nor a number nor a boolean",
		"{a: [[1]]}": "a is [1], neither",
		"[1]":        "yields [1], not an object",
		"{a: 1.5}":   "a is 1.5, neither",
	} {
		p, _ := serve(t, mustParse(t, editForms(t, `'{parts: ($parts | length), gone: null, yes: true, each: [$parts[].size]}'`, "'"+expr+"'")), folder,
			func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
		_, _, err := p.Create(t.Context(), file, upload.Hint{})
		if !errors.Is(err, upload.ErrUnsent) || !strings.Contains(err.Error(), "create.query: "+want) {
			t.Errorf("%s: %v, want %s", expr, err, want)
		}
	}
}

// TestOwnErrors holds that what a manifest words itself is told as it is.
func TestOwnErrors(t *testing.T) {
	p, _ := serve(t, mustParse(t, editForms(t, `'{parts: ($parts | length), gone: null, yes: true, each: [$parts[].size]}'`, `'error("not on Sundays")'`)), folder,
		func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	_, _, err := p.Create(t.Context(), file, upload.Hint{})
	if !errors.Is(err, spec.ErrOwn) || !errors.Is(err, upload.ErrUnsent) || err.Error() != "acme: create the upload: unusable reply: create.query: not on Sundays" {
		t.Errorf("%v", err)
	}
	for says, want := range map[string]string{`error("not \(.why)")`: "not today", "error(.)": `{"why":"today"}`, `.why | error`: "today"} {
		p, _ := speak(t, bearer+`create: {send: POST /u, keep: 'if .why then `+says+` else {id} end', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", receipt: $header.etag}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
`, map[string]string{"POST /v1/u": `{"why":"today"}`})
		if _, _, err := p.Create(t.Context(), ten, upload.Hint{}); !errors.Is(err, spec.ErrOwn) || !strings.HasSuffix(err.Error(), "create.keep: "+want) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// TestPartFields holds what a form of a part has in it beside the file.
func TestPartFields(t *testing.T) {
	m := mustParse(t, []byte(strings.NewReplacer("  send: PUT\n", "  send: PUT\n  form: data\n  fields: '{n: ($part.number | tostring)}'\n").Replace(formed)))
	p, server := serve(t, m, folder, func(w http.ResponseWriter, r *http.Request) {
		f, h, err := r.FormFile("data")
		if err != nil {
			t.Error(err)
			return
		}
		if b, _ := io.ReadAll(f); string(b) != "4567" || r.FormValue("n") != "2" || h.Filename != "a.bin" || len(r.MultipartForm.Value) != 1 {
			t.Errorf("was sent %q, %v", b, r.MultipartForm)
		}
		fmt.Fprint(w, `{"part":{}}`)
	})
	part := upload.Part{Number: 2, Offset: 4, Size: 4}
	if _, err := p.Put(t.Context(), created(part), upload.Presigned{Part: 2, URL: server + "/p"}, part, strings.NewReader("4567")); err != nil {
		t.Error(err)
	}
}

// TestTooManyAddresses holds that an address has a part.
func TestTooManyAddresses(t *testing.T) {
	p, _ := serve(t, mustParse(t, []byte(formed)), folder, answerWith(200, `{"id":"u1","end":"/e","urls":["https://x.example/1","https://x.example/2","https://x.example/3","https://x.example/4"]}`))
	if _, _, err := p.Create(t.Context(), file, upload.Hint{}); err == nil || !strings.Contains(err.Error(), "there are more URLs than the 3 parts that they are for") {
		t.Errorf("signed: %v", err)
	}
	if _, _, err := p.Create(context.Background(), file, upload.Hint{PartSize: 5}); !errors.Is(err, upload.ErrPartSize) {
		t.Errorf("a part size that the API does not take: %v", err)
	}
}

func TestTogether(t *testing.T) {
	for _, c := range []struct {
		g           presignStep
		asked, want []int
	}{
		{presignStep{}, []int{3, 1, 3, 2}, []int{3, 1, 2}},
		{presignStep{max: 2}, []int{3, 1, 3, 2}, []int{3, 1}},
		{presignStep{consecutive: true}, []int{3, 1, 5, 4, 7}, []int{3, 4, 5}},
		{presignStep{consecutive: true, max: 2}, []int{3, 1, 5, 4}, []int{3, 4}},
		{presignStep{consecutive: true, max: 2}, nil, nil},
	} {
		var asked []upload.Part
		for _, n := range c.asked {
			asked = append(asked, upload.Part{Number: n})
		}
		var got []int
		for _, part := range c.g.together(asked) {
			got = append(got, part.Number)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v of %v are %v, want %v", c.g, c.asked, got, c.want)
		}
	}
}
