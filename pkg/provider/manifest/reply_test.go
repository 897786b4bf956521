package manifest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

func TestUsualErrors(t *testing.T) {
	for _, c := range []struct{ kind, body, want string }{
		{"application/json", `{"error":{"message":"m"}}`, "m"},
		{"application/json", `{"error":{"code":"c"},"message":"m"}`, "m"},
		{"application/json", `{"errors":[{"message":"a"},{"x":1},"b"]}`, "a; b"},
		{"application/json", `{"message":"m","error":"e"}`, "m"},
		{"application/json", `{"detail":"m"}`, "m"},
		{"application/json", `{"error":"m"}`, "m"},
		{"application/json", `"m"`, "m"},
		{"application/json", `{"message":{"deep":1},"detail":[1],"errors":"x"}`, `{"detail":[1],"errors":"x","message":{"deep":1}}`},
		{"application/json", `[1]`, "[1]"},
		{"application/json", `{}`, ""},
		{"text/plain", "m\r\n more\x1b[31m", "m more[31m"},
		{"text/plain", "see https://x.example/a?sig=abc", "see https://x.example/a?sig=…"},
		{"text/html", "<HTML><head><title>\n m </title>", "m"},
		{"text/html", "<html><title>Error</title><body><pre>Cannot POST /v1<br> at x</pre>", "Cannot POST /v1 at x"},
		{"text/html", "<html><title>Error</title><body><h1 class=a>Not <em>there</em></h1>", "Not there"},
		{"text/html", "<html><title>Error</title><body><h2>m</h2>", "m"},
		{"text/html", "<html><style>h1{}</style><script>'<pre>no</pre>'</script><!-- <h1>no</h1> --><h1>m</h1>", "m"},
		{"text/html", "<html><p>m</p>", "m"},
		{"text/html", "  <!DOCTYPE html><p class=x>m <b>&amp; n</b><p>o", "m & n"},
		{"text/html", "<html><title>Error</title><body><div>The site is <i>closed</i>.</div>", "Error The site is closed ."},
		{"text/html", "<html><head></head><body></body></html>", ""},
		{"application/xml", "<Error><Code>C</Code><Message>m</Message></Error>", "m"},
		{"application/xml", "<other>m</other>", "m"},
		{"application/xml", "<?xml version='1.0'?><d:error xmlns:d='DAV:'><s:exception>Sabre</s:exception><s:message>too large</s:message></d:error>", "too large"},
		{"application/problem+xml", "<problem><title>Forbidden</title><detail>quota &gt; 5</detail></problem>", "quota > 5"},
		{"text/xml", "<soap:Fault><faultcode>X</faultcode><faultstring lang='en'>no such thing</faultstring></soap:Fault>", "no such thing"},
		{"", "", ""},
		{"", strings.Repeat("m", 2000), strings.Repeat("m", 1000) + "…"},
	} {
		p, _ := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(422)
			_, _ = io.WriteString(w, c.body)
		})
		_, _, err := p.Create(t.Context(), file, upload.Hint{})
		var e *transport.Error
		if !errors.As(err, &e) || e.Message != c.want || !errors.Is(err, upload.ErrRefused) {
			t.Errorf("%.60s: %v", c.body, err)
		}
	}
}

func TestWhatStatusesMean(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for _, c := range []struct {
		status int
		body   string
		create error // what it means to create
		later  error // and to a later step
		retry  bool
	}{
		{400, "{}", upload.ErrRefused, upload.ErrRefused, false},
		{401, "{}", upload.ErrDenied, upload.ErrDenied, false},
		{403, "<html>", upload.ErrDenied, upload.ErrDenied, false},
		{404, "{}", upload.ErrRefused, upload.ErrRefused, false},
		{404, "<html>", upload.ErrRefused, upload.ErrRefused, false},
		{404, `{"code":"gone"}`, upload.ErrRefused, upload.ErrGone, false},
		{400, `{"code":"gone"}`, upload.ErrRefused, upload.ErrGone, false},
		{500, `{"code":"gone"}`, nil, upload.ErrGone, false},
		{404, "<Error><Code>NoSuchUpload</Code></Error>", upload.ErrRefused, upload.ErrGone, false},
		{403, "<Error><Code>ExpiredToken</Code></Error>", upload.ErrDenied, upload.ErrDenied, false},
		{409, "{}", upload.ErrRefused, upload.ErrRefused, false},
		{409, "<Error><Code>OperationAborted</Code></Error>", nil, nil, true},
		{409, "<Error><Code>ConditionalRequestConflict</Code></Error>", nil, nil, true},
		{409, "<Error><Code>BucketAlreadyExists</Code></Error>", upload.ErrRefused, upload.ErrRefused, false},
		{425, "", nil, nil, true},
		{200, "<Error><Code>OperationAborted</Code></Error>", nil, nil, true},
		{408, "", nil, nil, true},
		{429, "{}", nil, nil, true},
		{500, "oops", nil, nil, true},
		{501, "{}", upload.ErrRefused, upload.ErrRefused, false},
		{503, "<html>", nil, nil, true},
		{304, "", upload.ErrReply, upload.ErrReply, false},
		{200, "<html>", upload.ErrReply, upload.ErrReply, false},
		{200, "", upload.ErrReply, upload.ErrReply, false},
		{200, "null", upload.ErrReply, upload.ErrReply, false},
		{200, "<Error><Code>SlowDown</Code></Error>", nil, nil, true},
		{200, "<Error><Code>InvalidPart</Code></Error>", upload.ErrRefused, upload.ErrRefused, false},
		{200, `{"code":"gone","problem":"it is gone"}`, upload.ErrReply, upload.ErrGone, false},
		{200, `{"state":"failed","problem":"no"}`, upload.ErrReply, upload.ErrReply, false},
		{200, `{"state":"done"}`, upload.ErrReply, upload.ErrCompleted, false},
		{200, `{"state":"done","location":"a\nb"}`, upload.ErrReply, upload.ErrCompleted, false},
		{200, `{"state":"true"}`, upload.ErrReply, upload.ErrReply, false},
	} {
		p, _ := serve(t, m, kind, answerWith(c.status, c.body))
		_, _, createErr := p.Create(t.Context(), file, upload.Hint{})
		_, completeErr := p.Complete(t.Context(), created(), nil, upload.Digests{})
		for step, pair := range map[string][2]error{"create": {createErr, c.create}, "complete": {completeErr, c.later}} {
			err, want := pair[0], pair[1]
			for _, sentinel := range []error{upload.ErrRefused, upload.ErrDenied, upload.ErrGone, upload.ErrReply, upload.ErrExpired} {
				if errors.Is(err, sentinel) != (sentinel == want) {
					t.Errorf("%s, status %d with %s: errors.Is(%v) is %v: %v", step, c.status, c.body, sentinel, sentinel != want, err)
				}
			}
			var passing upload.Temporary
			if retry := errors.As(err, &passing) && passing.Temporary(); retry != (c.retry || want == nil) {
				t.Errorf("%s, status %d with %s: retry is %v: %v", step, c.status, c.body, retry, err)
			}
		}
	}
}

// TestRedirectsSayWhereTo: a store of another region says more than its status.
func TestRedirectsSayWhereTo(t *testing.T) {
	const xml = "<Error><Code>TemporaryRedirect</Code><Message>Please re-send this request to the specified temporary endpoint.</Message>" +
		"<Endpoint>b.s3.eu-north-1.example</Endpoint><RequestId>R7</RequestId></Error>"
	for _, c := range []struct {
		status         int
		location, body string
		want           []string
		to             string
	}{
		{307, "https://b.s3.eu-north-1.example/k?X-Amz-Signature=hunter22", xml, []string{"TemporaryRedirect", "Please re-send", "R7"}, "https://b.s3.eu-north-1.example"},
		{301, "", xml, []string{"status 301", "TemporaryRedirect"}, "b.s3.eu-north-1.example"},
		{302, "https://h.example:8443/hunter22/x y%zz", "", []string{"status 302"}, "https://h.example:8443"},
		{308, "https://u:hunter22@h.example/", `{"error":{"message":"moved for good"}}`, []string{"moved for good"}, "https://h.example"},
		{307, "", "", []string{"307"}, ""},
	} {
		p, server := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if c.location != "" {
				w.Header().Set("Location", c.location)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		part := upload.Part{Number: 1, Size: 3}
		_, putErr := p.Put(t.Context(), created(part), upload.Presigned{Part: 1, URL: server + "/p"}, part, strings.NewReader("abc"))
		_, _, createErr := p.Create(t.Context(), file, upload.Hint{})
		for signed, err := range map[bool]error{true: putErr, false: createErr} {
			var to *transport.RedirectError
			if !errors.As(err, &to) || to.To != c.to || to.Signed != signed || strings.Contains(err.Error(), "hunter22") || !errors.Is(err, upload.ErrReply) {
				t.Errorf("%d to %q: %+v, %v", c.status, c.location, to, err)
			}
			for _, want := range append(c.want, c.to) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%d to %q does not say %q: %v", c.status, c.location, want, err)
				}
			}
		}
	}
}

// TestRedirectsToAnotherPath: an API that wants a slash at the end says so by a
// redirect to itself. The path of a presigned URL is not shown.
func TestRedirectsToAnotherPath(t *testing.T) {
	p, server := serve(t, mustParse(t, []byte(whole)), kind, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/v2/dir/?next=hunter22")
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	part := upload.Part{Number: 1, Size: 3}
	_, putErr := p.Put(t.Context(), created(part), upload.Presigned{Part: 1, URL: server + "/p"}, part, strings.NewReader("abc"))
	_, _, createErr := p.Create(t.Context(), file, upload.Hint{})
	for want, err := range map[string]error{server: putErr, server + "/v2/dir/": createErr} {
		var to *transport.RedirectError
		if !errors.As(err, &to) || to.To != want || !to.Same || !strings.HasSuffix(err.Error(), "leads to "+want) {
			t.Errorf("%+v, %v; want %s", to, err, want)
		}
	}
}

// TestEncodedAnswers: an answer in an encoding that is not read is named, and
// never passes for an empty one.
func TestEncodedAnswers(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for body, want := range map[string]string{"\x1b\x05\x00xyz": "encoded as br", "": "nothing"} {
		p, _ := serve(t, m, kind, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		})
		_, _, err := p.Create(t.Context(), file, upload.Hint{})
		if !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), want) {
			t.Errorf("create: %v", err)
		}
		if err := p.Abort(t.Context(), created()); (err == nil) != (body == "") {
			t.Errorf("abort, %q: %v", body, err)
		}
		if _, err := p.Complete(t.Context(), created(), nil, upload.Digests{}); err == nil {
			t.Errorf("complete, %q: no error", body)
		}
	}
}

func TestAbort(t *testing.T) {
	m := mustParse(t, []byte(whole))
	for status, bodies := range map[int]map[string]bool{
		200: {"": true, "{}": true, " \n": true, "<html>a portal</html>": false},
		204: {"": true}, 404: {`{"code":"gone"}`: true, "<html>": false, "{}": false}, 409: {"{}": false}, 500: {"": false},
	} {
		for body, ok := range bodies {
			p, _ := serve(t, m, kind, answerWith(status, body))
			if err := p.Abort(t.Context(), created()); (err == nil) != ok {
				t.Errorf("status %d with %q: %v", status, body, err)
			}
		}
	}
}

func TestBadRequestsAreNotSent(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"'{name: $file.name, size: $file.size}'", "'$file.name'", "acme.yaml:18:9: create.body: yields"},
		{"'{name: $file.name, size: $file.size}'", "'empty'", "acme.yaml:18:9: create.body: yields nothing"},
		{"'{name: $file.name, size: $file.size}'", "'{a: ($file.name | .x)}'", "acme.yaml:18:9: create.body: expected an object"},
		{"'{name: $file.name, size: $file.size}'", "'{a: ($options.pass | .x)}'", "acme.yaml:18:9: create.body: expected an object"},
	} {
		p, _ := serve(t, mustParse(t, edit(t, c.old, c.new)), map[string]string{"kind": "a", "pass": "hunter22"}, func(http.ResponseWriter, *http.Request) {
			t.Error("a request was sent")
		})
		_, _, err := p.Create(t.Context(), file, upload.Hint{})
		var e *spec.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	p, _ := serve(t, mustParse(t, []byte(whole)), kind, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	for _, data := range []string{"", "{", "[]", "{}", `{"upload":{}}`, `{"upload":{"id":""}}`, `{"upload":{"id":".."}}`, `{"upload":{"id":[1]}}`} {
		u := upload.Upload{ID: "u1", Data: []byte(data)}
		if _, err := p.Complete(t.Context(), u, nil, upload.Digests{}); err == nil || !strings.HasPrefix(err.Error(), "Acme: ") {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// FuzzReply has an API and a store answer every step with arbitrary bytes, in
// the manifests of all four APIs: nothing may panic, and nothing may pass that
// is empty.
// saysEnded reports whether an answer could say of an upload that it was
// completed: no other does, whatever the manifest.
func saysEnded(status int, text string) bool {
	v, err := exact.Decode([]byte(text))
	if err != nil {
		v = text // what is not JSON is read as text
	}
	return status < 500 && ended.MatchString(fmt.Sprint(v))
}

var ended = regexp.MustCompile(`(?i)complete|registered|finalized|processed`)

func FuzzReply(f *testing.F) {
	paths, err := filepath.Glob("../../../testdata/api/*/*.json")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		v, err := exact.Decode(b)
		if err != nil {
			f.Fatal(err)
		}
		reply, _ := v.(map[string]any)["reply"].(map[string]any)
		code, ok := reply["status"].(int)
		if !ok {
			continue // nothing is sent in this one
		}
		if text, ok := reply["text"].(string); ok {
			f.Add(code, text)
		} else if body, err := marshal(reply["body"]); err == nil {
			f.Add(code, string(body))
		}
	}
	f.Add(409, "Already Completed")
	var mu sync.Mutex
	status, body := 200, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		w.Header()["Etag"] = []string{strings.Map(func(r rune) rune { return max(r, ' ') }, body[:min(len(body), 100)])}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	f.Cleanup(server.Close)
	var providers []spec.Provider
	manifests, err := filepath.Glob("../builtin/*.yaml")
	if err != nil || len(manifests) < 4 {
		f.Fatal(manifests, err)
	}
	for _, path := range manifests {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		options := map[string]string{}
		if strings.HasSuffix(path, "openai.yaml") {
			options["purpose"] = "batch"
		}
		p, err := mustParse(f, b).Open(spec.Settings{Base: server.URL, Keys: []spec.Secret{key(secret)}, Options: options})
		if err != nil {
			f.Fatal(err)
		}
		providers = append(providers, p)
	}
	f.Fuzz(func(t *testing.T, code int, text string) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			return
		}
		mu.Lock()
		status, body = code, text
		mu.Unlock()
		for _, p := range providers {
			u, gs, err := p.Create(t.Context(), file, upload.Hint{})
			if err == nil && (code >= 300 || u.ID == "" || len(u.Data) == 0 || len(gs) == 0 && !u.Renewable && len(u.Parts) > 0) {
				t.Errorf("%s became %+v with %+v", text, u, gs)
			}
			for _, g := range gs {
				if _, err := transport.CheckURL(g.URL); err != nil {
					t.Errorf("%s became %+v", text, g)
				}
			}
			u = upload.Upload{ID: "u1", File: file, Parts: []upload.Part{{Number: 1, Size: 10}}, Data: []byte(`{"upload":{"id":"u1","key":"k","batch":"b"}}`)}
			if _, err := p.Presign(t.Context(), u, u.Parts); err == nil && code >= 300 && p.Target().Provider != "openai" {
				t.Errorf("status %d became urls", code)
			}
			r, err := p.Put(t.Context(), u, upload.Presigned{Part: 1, URL: server.URL + "/p"}, u.Parts[0], strings.NewReader("0123456789"))
			if err == nil && (code >= 300 || r.Value == "") {
				t.Errorf("status %d with %s became %+v", code, text, r)
			}
			result, err := p.Complete(t.Context(), u, []upload.Receipt{{Part: 1, Value: "t"}}, upload.Digests{})
			if err == nil && (code >= 300 && !saysEnded(code, text) || result.Value == "" || strings.ContainsAny(result.Value, "\n\x00")) {
				t.Errorf("status %d with %s became %+v", code, text, result)
			}
			if prober, ok := p.(upload.Prober); ok {
				answer, result, err := prober.Probe(t.Context(), u)
				if (err == nil && answer == upload.Completed) != (result.Value != "") || answer == upload.Completed && !saysEnded(code, text) || answer == upload.NotCompleted {
					t.Errorf("status %d with %s became %v, %+v, %v", code, text, answer, result, err)
				}
			}
			if err := p.Abort(t.Context(), u); err != nil && fmt.Sprint(err) == "" {
				t.Error("an error without a word")
			}
		}
	})
}
