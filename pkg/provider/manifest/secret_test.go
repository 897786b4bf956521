package manifest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// forms are the ways in which a secret could show.
func forms() []string {
	quoted, _ := json.Marshal(secret)
	return []string{secret, url.QueryEscape(secret), url.PathEscape(secret), strings.Trim(string(quoted), `"`), secret[:12]}
}

func showsSecret(text string) bool {
	for _, form := range forms() {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// otherServer is a server that must never be sent the secret.
func otherServer(t *testing.T, h http.HandlerFunc) (string, *atomic.Int32) {
	hits := &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		body, _ := io.ReadAll(r.Body)
		if text := fmt.Sprint(r.Header, r.RequestURI, string(body)); showsSecret(text) {
			t.Errorf("another server was sent the key: %s", text)
		}
		if r.Header.Get("Acme-Version") != "" {
			t.Errorf("another server was sent the headers of the API: %v", r.Header)
		}
		h(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, hits
}

var file = upload.File{Path: "/tmp/a.bin", Name: "a.bin", Type: "application/octet-stream", Size: 10}

func TestSecretGoesToItsOriginOnly(t *testing.T) {
	etag := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"e"`) }
	other, hits := otherServer(t, etag)
	var asked []string
	h := func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("X-Key"))
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			fmt.Fprint(w, `{"id":"u1","size":10,"part_size":10,"parts":[{"number":1,"url":"`+other+`/p"}]}`)
			return
		}
		etag(w, r)
	}
	for _, auth := range []string{"false", "true"} {
		m := mustParse(t, edit(t, "auth: false", "auth: "+auth))
		p, own := serve(t, m, kind, h)
		asked = nil
		u, gs, err := p.Create(t.Context(), file, upload.Hint{})
		if err != nil {
			t.Fatal(err)
		}
		if len(asked) != 1 || asked[0] != "Token "+secret {
			t.Errorf("the API was sent %q", asked)
		}
		before := hits.Load()
		_, err = p.Put(t.Context(), u, gs[0], u.Parts[0], strings.NewReader("0123456789"))
		if sent := hits.Load() > before; sent != (auth == "false") || sent != (err == nil) {
			t.Errorf("auth %s: sent to another server: %v, %v", auth, sent, err)
		}
		// The same part to the API's own origin, by another spelling of it.
		asked = nil
		gs[0].URL = strings.ToUpper(own[:4]) + own[4:] + "/store/p"
		if _, err = p.Put(t.Context(), u, gs[0], u.Parts[0], strings.NewReader("0123456789")); err != nil {
			t.Fatal(err)
		}
		if got := len(asked) == 1 && asked[0] != ""; got != (auth == "true") {
			t.Errorf("auth %s: its own origin was sent %q", auth, asked)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	other, hits := otherServer(t, answerWith(200, "{}"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		p, own := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other+"/elsewhere", status)
		})
		u := upload.Upload{ID: "u1", File: file, Parts: []upload.Part{{Number: 1, Size: 10}}, Data: json.RawMessage(`{"upload":{"id":"u1"}}`)}
		g := upload.Presigned{Part: 1, URL: own + "/p"}
		_, _, err1 := p.Create(t.Context(), file, upload.Hint{})
		_, err2 := p.Presign(t.Context(), u, u.Parts)
		_, err3 := p.Put(t.Context(), u, g, u.Parts[0], strings.NewReader("0123456789"))
		err4 := p.(upload.Checkpointer).Checkpoint(t.Context(), u, nil)
		_, err5 := p.Complete(t.Context(), u, nil, upload.Digests{})
		err6 := p.Abort(t.Context(), u)
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			if err == nil || !strings.Contains(err.Error(), "a redirect is not followed; it leads to ") {
				t.Errorf("status %d, step %d: %v", status, i, err)
			}
		}
	}
	if hits.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// TestSecretNeverShows has an API echo the key in every place there is.
func TestSecretNeverShows(t *testing.T) {
	quoted, err := json.Marshal("say " + secret + "\u200b " + secret[:5] + "\u200b" + secret[5:])
	if err != nil {
		t.Fatal(err)
	}
	echo := string(quoted)
	bodies := []string{
		`{"problem":` + echo + `,"code":` + echo + `,"request":` + echo + `}`,
		`{"error":{"message":` + echo + `}}`, `{"message":` + echo + `}`, `{"errors":[{"message":` + echo + `}]}`, echo,
		secret, "<html><title>" + secret + "</title>", "<Error><Code>" + url.PathEscape(secret) + "</Code><Message>x " + url.QueryEscape(secret) + "</Message></Error>",
		`{"id":` + echo + `,"size":` + echo + `}`, `{"id":"u1","size":10,"part_size":` + echo + `,"parts":[{"number":1}]}`,
		`{"id":"u1","size":10,"part_size":10,"parts":[{"number":1,"url":"https://x.example/?k=` + url.QueryEscape(secret) + `"}]}`,
		`{"id":"u1","size":10,"part_size":10,"parts":[{"number":` + echo + `}]}`, `{"id":"u1","size":10,"part_size":10,"parts":` + echo + `}`,
		`{"state":"done","location":` + echo + `,` + echo + `:[` + echo + `]}`, `{"state":` + echo + `}`,
		`{"id":` + echo + `,"size":10,"part_size":10,"parts":[{"number":1,"url":"https://x.example/"}],"expires":` + echo + `}`,
	}
	var lines []string
	m := mustParse(t, []byte(whole))
	for _, status := range []int{200, 301, 400, 401, 403, 404, 422, 429, 500} {
		for _, body := range bodies {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				for _, k := range []string{"X-Request-Id", "Content-Type", "Location", "Etag"} {
					w.Header().Set(k, secret)
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}))
			client := &transport.Client{Trace: func(line string) { lines = append(lines, line) }}
			p, err := m.Open(spec.Settings{Base: server.URL, Keys: []spec.Secret{key(secret)}, Options: kind, Client: client})
			if err != nil {
				t.Fatal(err)
			}
			for _, out := range all(t, p, server.URL) {
				if showsSecret(out) {
					t.Errorf("status %d with %s shows it: %s", status, body, out)
				}
			}
			server.Close()
		}
	}
	if text := strings.Join(lines, "\n"); len(lines) == 0 || showsSecret(text) {
		t.Errorf("the trace of %d exchanges shows it: %s", len(lines), text)
	}
}

// all takes every step of an API and returns all that comes of it, as text.
func all(t testing.TB, p spec.Provider, server string) (out []string) {
	ctx := t.Context()
	told := func(v any, err error) {
		if err != nil {
			out = append(out, err.Error(), fmt.Sprintf("%+v", err))
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%+v cannot be kept: %v", v, err)
		}
		out = append(out, string(b), fmt.Sprintf("%+v", v))
	}
	u, gs, err := p.Create(ctx, file, upload.Hint{})
	told([]any{u, gs}, err)
	u = upload.Upload{ID: "u1", File: file, Parts: []upload.Part{{Number: 1, Size: 10}}, Data: json.RawMessage(`{"upload":{"id":"u1"}}`)}
	gs, err = p.Presign(ctx, u, u.Parts)
	told(gs, err)
	r, err := p.Put(ctx, u, upload.Presigned{Part: 1, URL: server + "/p"}, u.Parts[0], strings.NewReader("0123456789"))
	told(r, err)
	if c, ok := p.(upload.Checkpointer); ok {
		told(nil, c.Checkpoint(ctx, u, []upload.Receipt{{Part: 1, Value: "t"}}))
	}
	result, err := p.Complete(ctx, u, []upload.Receipt{{Part: 1, Value: "t"}}, upload.Digests{})
	told(result, err)
	told(nil, p.Abort(ctx, u))
	return out
}

// TestURLsNotShown: which requests have a URL that may have a token in its path.
func TestURLsNotShown(t *testing.T) {
	m := mustParse(t, []byte("version: 1\nname: acme\n"+bearer+`options: {place: {type: string, required: true, secret: true}, folder: {type: string, default: x}}
create:
- {send: "POST /{options.folder}", keep: '{id, at}'}
- {send: "POST /{options.place}", keep: '{token}'}
- {send: POST, url: '"/x\($options.place)"', ok: .ok}
- {send: POST, url: '"/constant"'}
- {send: POST, url: $base + "/constant"}
part: {send: PUT, url: $upload.at, receipt: .id, confirm: {send: POST, url: .confirm}}
complete:
- {send: "POST /{id}", ok: .ok}
- {send: "POST /{token}", result: .id}
small: {max_size: 1KiB, create: null, part: {send: "PUT /p/{part.number}", receipt: .id}, complete: {send: POST /end, result: .id}}
`))
	want := map[string]bool{
		"create[0]": false, "create[1]": true, "create[2]": true, "create[3]": false, "create[4]": false, "part": true, "part.confirm": true,
		"complete[0]": false, "complete[1]": true, "small.part": false, "small.complete": false,
	}
	for _, s := range []*steps{&m.steps, m.small} {
		s.requests(func(_ string, r *request) {
			if got := m.keptInURL(r); got != want[r.key] {
				t.Errorf("%s: %t", r.key, got)
			}
		})
	}
}
