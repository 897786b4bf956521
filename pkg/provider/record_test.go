package provider_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// TestRecordOfOwnAPI: what is recorded of an API with queries and with receipts in
// a header of its own passes too. Only what names a secret is replaced.
func TestRecordOfOwnAPI(t *testing.T) {
	const text = `version: 1
name: own
create: {send: "POST /u?v=2", query: '{cb: "https://hook.example/a?b=c&sig=sEcReT99", name: $file.name, api_token: "t0psecret"}', keep: '{id, session, at, more: {deep: .deep}}', part_size: .each}
part: {send: PUT, url: '$upload.at + "&seq=\($part.number)"', receipt: '$header["x-part-token"]'}
complete: {send: "POST /u/{id}/end", body: '[$parts[].receipt]', ok: .ok, keep: '{lease: .lease}', result: .id}
`
	samples := recordOf(t, text, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.Header().Set("X-Part-Token", "token-of-part"+r.FormValue("seq"))
			w.Header().Set("X-Other", "other")
			return
		}
		_, _ = io.WriteString(w, `{"id":"u1","each":9,"ok":true,"at":"http://`+r.Host+`/at?sig=sEcReT77","session":"k3pt-Session","deep":"k3pt-deep","lease":"k3pt-lease"}`)
	})
	for _, secret := range []string{"sEcReT99", "sEcReT77", "t0psecret", "token-of-part", "other", "k3pt"} {
		if bytes.Contains(samples, []byte(secret)) {
			t.Errorf("%s is written down:\n%s", secret, samples)
		}
	}
	played := strings.NewReplacer("sEcReT99", "REDACTED", "t0psecret", "REDACTED").Replace(text) + string(samples)
	passes(t, played)
}

// TestRecordOfShortTokens holds that a token of a few characters is replaced
// everywhere: in bodies, paths and queries; and a word that is no token is not.
func TestRecordOfShortTokens(t *testing.T) {
	const text = `version: 1
name: own
create: {send: POST /u, keep: '{id, ticket: .token}', part_size: 9}
part: {send: "PUT /u/{id}/{ticket}/{part.number}", query: '{t: $upload.ticket, token: $upload.ticket}', receipt: .etag}
complete: {send: "POST /u/{id}/end", body: '{with: $upload.ticket, list: [$upload.ticket], mode: "file"}', ok: .ok, result: .id}
`
	samples := recordOf(t, text, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"u1","token":"t9Zq","token_type":"file","etag":"e","ok":true}`)
	})
	if bytes.Contains(samples, []byte("t9Zq")) || !bytes.Contains(samples, []byte("mode: file")) {
		t.Errorf("written down:\n%s", samples)
	}
	passes(t, text+string(samples))
}

// recordOf is what a live check of a manifest writes down of an API that answers so.
func recordOf(t *testing.T, text string, api http.HandlerFunc) []byte {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	d, err := provider.Load(write(t, "own.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	record := &check.Transcript{Client: &transport.Client{}, Base: server.URL, Text: text}
	p, err := d.Open(provider.Settings{Base: server.URL, Client: record})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&check.Live{Provider: p, Record: record}).Run(t.Context(), upload.File{Name: "a b.txt", Type: "text/plain"}, []byte("some bytes\n")); err != nil {
		t.Fatal(err)
	}
	samples, err := record.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return samples
}

// passes plays the four samples of a manifest.
func passes(t *testing.T, text string) {
	t.Helper()
	d, err := provider.Load(write(t, "played.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := check.Samples(t.Context(), d); n != 4 || err != nil {
		t.Errorf("%d samples: %v\n%s", n, err, text)
	}
}

// TestRecord: what a live check writes down are samples that pass, without a
// secret.
func TestRecord(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
	}{{"archetype", nil}, {"fileai", nil}, {"openai", map[string]string{"purpose": "batch", "md5": "hex"}}, {"upscayl", nil}} {
		t.Run(c.name, func(t *testing.T) {
			d, err := provider.Load(c.name)
			if err != nil {
				t.Fatal(err)
			}
			server := &sandbox.Server{API: c.name, Dir: t.TempDir(), Key: goodKey}
			base := serveSandbox(t, server)
			record := &check.Transcript{Client: &transport.Client{}, Base: base, Hide: []string{goodKey}, Text: string(d.Text)}
			p, err := d.Open(provider.Settings{Base: base, Keys: []provider.Secret{contractKey(goodKey)}, Options: c.options, Client: record})
			if err != nil {
				t.Fatal(err)
			}
			options := map[string]any{}
			for k, v := range c.options {
				options[k] = v
			}
			live := check.Live{Provider: p, Aborts: d.Abilities.Aborts, Record: record, Options: options}
			if _, err := live.Run(t.Context(), upload.File{Name: "a b.txt", Type: "text/plain"}, []byte("some bytes\n")); err != nil {
				t.Fatal(err)
			}
			samples, err := record.YAML()
			if err != nil || !bytes.HasPrefix(samples, []byte("samples:\n")) {
				t.Fatalf("%v: %.80s", err, samples)
			}
			if bytes.Contains(samples, []byte(goodKey)) || strings.Contains(strings.ReplaceAll(string(samples), "Signature=REDACTED", ""), "Signature=") {
				t.Errorf("a secret is written down:\n%s", samples)
			}
			text := strings.NewReplacer("\nname: ", "\nname: own-", ", env: "+d.KeyEnv(), "").Replace(string(d.Text)) + string(samples)
			own, err := provider.Load(write(t, "own.yaml", text))
			if err != nil {
				t.Fatal(err)
			}
			if n, err := check.Samples(t.Context(), own); err != nil || n < 3 {
				t.Errorf("%d samples, %v", n, err)
			}
		})
	}
}

// stranger speaks XML and has its token in a header, as an API may.
const stranger = `version: 1
name: stranger
auth: {header: X-Key, value: "{secret}", env: STRANGER_KEY}
create:
- {send: POST /open, ok: $status == 201, keep: '{token: $header["x-upload-token"], init: .init}'}
- {send: POST, url: $upload.init, auth: false, keep: 'capture("<UploadId>(?<id>[^<]+)")'}
part:
  send: "PUT /parts/{part.number}"
  headers: '{"X-Upload-Token": $upload.token}'
  receipt: '"stored"'
  confirm: {send: "POST /confirm/{token}/{part.number}", text: '"n=\($part.number)"', type: text/plain, receipt: '$header["x-receipt"]'}
complete:
- {send: "POST /end/{id}", fields: '{parts: [$parts[].receipt]}', keep: 'capture("<ETag>(?<etag>[^<]+)")'}
- {send: POST /files, body: '{etag: $upload.etag}', ok: test("<done"), result: 'capture("name=(?<name>[a-z0-9]+)").name'}
ready: {send: GET /state, done: . == "ready"}
`

// TestRecordOfText: replies that are not JSON, and headers that the manifest
// reads, are written down so that they pass.
func TestRecordOfText(t *testing.T) {
	const token = "token-of-an-upload-1"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = nil
		switch path := r.URL.Path; {
		case path == "/open":
			w.Header().Set("X-Upload-Token", token)
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"init":"http://%s/init?sig=signed-by-them"}`, r.Host)
		case path == "/init":
			_, _ = io.WriteString(w, "<R><UploadId>u-1</UploadId></R>")
		case strings.HasPrefix(path, "/confirm/"):
			w.Header().Set("X-Receipt", "r1")
		case path == "/end/u-1":
			_, _ = io.WriteString(w, "<R><ETag>e1</ETag></R>")
		case path == "/files":
			_, _ = io.WriteString(w, "<done name=f1/>")
		case path == "/state":
			_, _ = io.WriteString(w, "ready")
		}
	}))
	defer server.Close()
	d, err := provider.Load(write(t, "stranger.yaml", stranger))
	if err != nil {
		t.Fatal(err)
	}
	record := &check.Transcript{Client: &transport.Client{}, Base: server.URL, Hide: []string{goodKey}, Text: string(d.Text)}
	p, err := d.Open(provider.Settings{Base: server.URL, Keys: []provider.Secret{contractKey(goodKey)}, Client: record})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&check.Live{Provider: p, Record: record}).Run(t.Context(), upload.File{Name: "a.txt", Type: "text/plain"}, []byte("some bytes\n")); err != nil {
		t.Fatal(err)
	}
	samples, err := record.YAML()
	if err != nil || bytes.Contains(samples, []byte(token)) || bytes.Contains(samples, []byte("signed-by-them")) {
		t.Fatalf("%v:\n%s", err, samples)
	}
	again, err := provider.Load(write(t, "again.yaml", strings.Replace(stranger, "name: stranger", "name: again", 1)+string(samples)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := check.Samples(t.Context(), again); err != nil || n < 7 {
		t.Errorf("%d samples, %v:\n%s", n, err, samples)
	}
}

// TestRecordOfTries: requests that were retried, digests that create has to know,
// the ETags of parts, and a small file without a create are written down so that
// they pass.
func TestRecordOfTries(t *testing.T) {
	const text = `version: 1
name: tries
create: {send: POST /u, digests: [sha256], body: '{sum: $digests.sha256, name: $file.name}', keep: '{id}', part_size: 100}
part: {send: "PUT /u/{id}/{part.number}", digests: [md5], receipt: $header.etag}
complete:
  send: POST /u/{id}/end
  body: '[$parts[] | {receipt, etag, md5}]'
  pending: .state == "busy"
  ok: .ok
  result: .id
error: {retry: .code == "later"}
small: {max_size: 5B, create: null, complete: null, part: {send: POST /f, form: file, fields: '{name: $file.name}', result: .id}}
`
	var mu sync.Mutex
	tries := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		switch tries[r.URL.Path]++; {
		case tries[r.URL.Path] > 1:
			w.Header().Set("ETag", `"e1"`)
			_, _ = io.WriteString(w, `{"id":"u1","ok":true}`)
		case strings.HasSuffix(r.URL.Path, "/end"):
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"state":"busy"}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":"later"}`)
		}
	}))
	defer server.Close()
	d, err := provider.Load(write(t, "tries.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	for body, samples := range map[string]int{"some bytes\n": 3, "few": 1} {
		clear(tries)
		record := &check.Transcript{Client: &transport.Client{}, Base: server.URL, Text: text}
		p, err := d.Open(provider.Settings{Base: server.URL, Client: record})
		if err != nil {
			t.Fatal(err)
		}
		live := &check.Live{Provider: p, Record: record, Retry: transport.Policy{Retries: 3, Base: 1, Cap: 1}}
		if _, err := live.Run(t.Context(), upload.File{Name: "a.txt", Type: "text/plain"}, []byte(body)); err != nil {
			t.Fatal(err)
		}
		written, err := record.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := provider.Load(write(t, "again.yaml", strings.Replace(text, "name: tries", "name: again", 1)+string(written)))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := check.Samples(t.Context(), again); n != samples || err != nil {
			t.Errorf("%q: %d samples, want %d; %v\n%s", body, n, samples, err, written)
		}
	}
	again, err := provider.Load(write(t, "large.yaml", strings.Replace(text, "name: tries", "name: large", 1)+
		"samples: [{step: part, given: {file: {name: a, size: 6}}, reply: {status: 200}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check.Samples(t.Context(), again); err == nil || !strings.Contains(err.Error(), "given.file: belongs to create, which there is for this file") {
		t.Errorf("a file in a sample of a part: %v", err)
	}
}
