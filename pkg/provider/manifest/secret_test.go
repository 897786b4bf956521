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

// TestKeptIsNotShown holds that no message has what requests kept, which may be
// tokens, however it came into an answer. The result may be one of them.
func TestKeptIsNotShown(t *testing.T) {
	const token, ticket = "kept/token of \"mine\" 0123456789", "kept/token-of-it"
	text := bearer + `create:
- {send: POST /u, keep: '{id, token, more: {list: [.ticket]}}'}
- {send: POST /v, ok: .ok}
part: {send: PUT /p, receipt: .tag, confirm: {send: POST /confirm, receipt: .state.x}}
complete: {send: POST /end, body: '{a: $upload.BODY}', ok: .ok, result: .id}
probe: {send: GET /u, done: .done}
ready: {send: GET /r, done: .ready, failed: .failed}
abort: {send: DELETE /u}
error: {message: .message}
`
	body, err := json.Marshal(map[string]any{"id": "u1", "token": token, "ticket": ticket, "tag": []string{token}, "state": token})
	if err != nil {
		t.Fatal(err)
	}
	answer := string(body)
	var said []string
	try := func(mode, second, field string) upload.Result {
		p, s := speak(t, strings.Replace(text, "BODY", field, 1), map[string]string{"POST /v1/u": answer, "POST /v1/v": second})
		for _, r := range []string{"PUT /v1/p", "POST /v1/confirm", "POST /v1/end", "GET /v1/u", "GET /v1/r", "DELETE /v1/u"} {
			s.replies[r] = mode + answer
		}
		u, _, err := p.Create(t.Context(), ten, upload.Hint{})
		if err != nil {
			said = append(said, err.Error())
			return upload.Result{}
		}
		part := upload.Part{Number: 1, Size: 10}
		_, put := p.Put(t.Context(), u, upload.Presigned{Part: 1}, part, strings.NewReader("0123456789"))
		_, confirm := p.(upload.Confirmer).Confirm(t.Context(), u, part, upload.Receipt{Unconfirmed: []byte(`{"value":null}`)})
		result, complete := p.Complete(t.Context(), u, nil, upload.Digests{})
		_, _, ready := p.(upload.Readier).Ready(t.Context(), u, upload.Result{})
		for _, err := range []error{put, confirm, complete, ready, p.Abort(t.Context(), u)} {
			if err != nil {
				said = append(said, err.Error())
			}
		}
		return result
	}
	for _, mode := range []string{"", "400 ", "401 ", "404 ", "503 "} {
		try(mode, `{"ok":true}`, "token")
	}
	try("", answer, "token")
	try("400 ", `{"ok":true}`, "token.x") // jq says what it cannot index
	answer = strings.TrimSuffix(answer, "}") + `,"message":"kept/token-of-it is wrong","failed":"for kept/token-of-it"}`
	try("400 ", `{"ok":true}`, "token")
	try("", `{"ok":true}`, "token")
	if len(said) < 30 {
		t.Errorf("%d messages", len(said))
	}
	for _, message := range said {
		if strings.Contains(message, "kept/token") || !strings.Contains(message, "x: ") && !strings.Contains(message, "complete.body") {
			t.Errorf("says %s", message)
		}
	}
	answer = strings.TrimSuffix(answer, "}") + `,"ok":true}`
	answer = strings.Replace(answer, `"id":"u1"`, `"id":"`+ticket+`"`, 1)
	if r := try("", `{"ok":true}`, "token"); r.Value != ticket {
		t.Errorf("the result is %q", r.Value)
	}
}
