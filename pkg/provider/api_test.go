package provider_test

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// The files of testdata/api hold one exchange each, as the vendors document
// it. {server} in a URL stands for the server of the test.
const apiDir = "../../testdata/api"

const testKey = "key-0123456789abcdef"

type key string

func (k key) Reveal() string { return string(k) }

// exchange is one file of testdata/api.
type exchange struct {
	Step  string
	About string
	Given struct {
		After    string // the file of the create that made the upload
		File     upload.File
		Options  map[string]string
		Want     int64
		Parts    []int
		Part     json.RawMessage // a number of the plan, or a part
		Bytes    string
		URL      string
		Receipts []upload.Receipt
		Digests  struct{ CRC32C, MD5 string }
	}
	Request *struct {
		Method, Path string
		Headers      map[string]string
		Body         any
		Text         *string
		Form         *struct{ Field, Filename, Type, Bytes string }
	}
	Reply *struct {
		Status  int
		Headers map[string]string
		Body    json.RawMessage
		Text    string
	}
	Expect struct {
		Upload  map[string]any
		URLs    []map[string]any
		Receipt *upload.Receipt
		Answer  string
		Value   string
		Reply   any
		Error   *struct {
			Is        *string
			Status    int
			Code      string
			Message   string
			RequestID string `json:"request_id"`
			Retry     *bool
			After     float64 // seconds
			Text      string
		}
	}
}

func load(t *testing.T, path string) exchange {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	var x exchange
	if err := d.Decode(&x); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if x.About == "" {
		t.Errorf("%s does not say what it is about", path)
	}
	return x
}

// player answers as one exchange says, and checks what it is asked.
type player struct {
	t    *testing.T
	x    exchange
	hits int
}

func (p *player) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.hits++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Errorf("read the request: %v", err)
	}
	p.check(r, body)
	for k, v := range p.x.Reply.Headers {
		w.Header().Set(k, v)
	}
	if len(p.x.Reply.Body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(p.x.Reply.Status)
	if _, err := w.Write(append(p.x.Reply.Body, p.x.Reply.Text...)); err != nil {
		p.t.Errorf("write the reply: %v", err)
	}
}

func (p *player) check(r *http.Request, body []byte) {
	t, want := p.t, p.x.Request
	if r.Method != want.Method || r.RequestURI != want.Path {
		t.Errorf("sent %s %s, want %s %s", r.Method, r.RequestURI, want.Method, want.Path)
	}
	sent := r.Header.Clone()
	if _, auth := want.Headers["Content-Length"]; auth {
		sent.Set("Content-Length", r.Header.Get("Content-Length"))
	}
	for k, v := range want.Headers {
		if sent.Get(k) != v {
			t.Errorf("sent the header %s: %q, want %q", k, sent.Get(k), v)
		}
		sent.Del(k)
	}
	for _, k := range []string{"Accept", "Content-Length"} {
		if p.x.Step != "put" {
			sent.Del(k)
		}
	}
	if want.Form != nil {
		sent.Del("Content-Length")
		p.checkForm(r, sent.Get("Content-Type"), body)
		sent.Del("Content-Type")
	}
	if len(sent) > 0 {
		t.Errorf("sent more headers than documented: %v", sent)
	}
	if r.ContentLength != int64(len(body)) || len(r.TransferEncoding) > 0 {
		t.Errorf("sent Content-Length %d, %v, with a body of %d bytes", r.ContentLength, r.TransferEncoding, len(body))
	}
	if strings.Contains(r.RequestURI+string(body), testKey) {
		t.Error("the key is in the address or in the body")
	}
	switch {
	case want.Text != nil && string(body) != *want.Text:
		t.Errorf("sent %q, want %q", body, *want.Text)
	case want.Body != nil:
		var got any
		if err := json.Unmarshal(body, &got); err != nil || !reflect.DeepEqual(got, want.Body) {
			t.Errorf("sent %s, want %v (%v)", body, want.Body, err)
		}
	case want.Text == nil && want.Form == nil && p.x.Step == "abort" && len(body) > 0:
		t.Errorf("sent %s, want no body", body)
	}
}

func (p *player) checkForm(r *http.Request, contentType string, body []byte) {
	want := p.x.Request.Form
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	if !strings.HasPrefix(contentType, "multipart/form-data; boundary=") {
		p.t.Errorf("sent Content-Type %s", contentType)
	}
	reader, err := r.MultipartReader()
	if err != nil {
		p.t.Error(err)
		return
	}
	field, err := reader.NextPart()
	if err != nil {
		p.t.Error(err)
		return
	}
	got, err := io.ReadAll(field)
	if err != nil || string(got) != want.Bytes || field.FormName() != want.Field || field.FileName() != want.Filename ||
		field.Header.Get("Content-Type") != want.Type {
		p.t.Errorf("sent the field %v with %q (%v), want %+v", field.Header, got, err, *want)
	}
	if _, err := reader.NextPart(); err != io.EOF {
		p.t.Errorf("sent more than one field: %v", err)
	}
}

// start serves one exchange and opens the provider on its server.
func start(t *testing.T, name string, x exchange) (spec.Provider, *player, string) {
	t.Helper()
	m, err := provider.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(m.Base)
	if err != nil {
		t.Fatal(err)
	}
	play := &player{t: t, x: x}
	server := httptest.NewServer(play)
	t.Cleanup(server.Close)
	p, err := m.Open(provider.Settings{Base: server.URL + base.Path, Keys: []provider.Secret{key(testKey)}, Options: x.Given.Options})
	if err != nil {
		t.Fatal(err)
	}
	return p, play, server.URL
}

func TestDocumentedExchanges(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(apiDir, "*", "*.json"))
	if err != nil || len(paths) < 100 {
		t.Fatalf("there are only %d files in %s (%v)", len(paths), apiDir, err)
	}
	for _, path := range paths {
		name := filepath.Base(filepath.Dir(path))
		t.Run(name+"/"+strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			t.Parallel()
			playOne(t, name, load(t, path))
		})
	}
}

func playOne(t *testing.T, name string, x exchange) {
	ctx := t.Context()
	var u upload.Upload
	if x.Given.After != "" {
		create := load(t, filepath.Join(apiDir, name, x.Given.After+".json"))
		p, _, _ := start(t, name, create)
		var err error
		if u, _, err = p.Create(ctx, create.Given.File, upload.Hint{PartSize: create.Given.Want}); err != nil {
			t.Fatal(err)
		}
		if x.Given.Options == nil {
			x.Given.Options = create.Given.Options
		}
		// Another process resumes with what the journal kept.
		kept, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(kept), testKey) {
			t.Errorf("the key is in the upload: %s", kept)
		}
		u = upload.Upload{}
		if err := json.Unmarshal(kept, &u); err != nil {
			t.Fatal(err)
		}
	}
	p, play, server := start(t, name, x)

	var err error
	switch x.Step {
	case "create":
		var gs []upload.Presigned
		u, gs, err = p.Create(ctx, x.Given.File, upload.Hint{PartSize: x.Given.Want})
		if err == nil {
			checkUpload(t, u, x.Expect.Upload)
			checkURLs(t, gs, x)
		}
	case "presign":
		var parts []upload.Part
		for _, n := range x.Given.Parts {
			parts = append(parts, planned(t, u, n))
		}
		var gs []upload.Presigned
		if gs, err = p.Presign(ctx, u, parts); err == nil {
			checkURLs(t, gs, x)
		}
	case "put":
		var r upload.Receipt
		part := partOf(t, u, x.Given.Part)
		g := upload.Presigned{Part: part.Number, URL: strings.ReplaceAll(x.Given.URL, "{server}", server)}
		r, err = p.Put(ctx, u, g, part, strings.NewReader(x.Given.Bytes))
		if err == nil && !reflect.DeepEqual(&r, x.Expect.Receipt) {
			t.Errorf("receipt %+v, want %+v", r, x.Expect.Receipt)
		}
	case "checkpoint":
		err = p.(upload.Checkpointer).Checkpoint(ctx, u, x.Given.Receipts)
	case "complete":
		var r upload.Result
		r, err = p.Complete(ctx, u, x.Given.Receipts, digests(t, x))
		if err == nil {
			checkResult(t, r, x)
		}
	case "probe":
		var (
			answer upload.Answer
			r      upload.Result
		)
		answer, r, err = p.(upload.Prober).Probe(ctx, u)
		if want := answers[x.Expect.Answer]; answer != want {
			t.Errorf("answer %v, want %v", answer, want)
		}
		if err == nil {
			checkResult(t, r, x)
		}
	case "abort":
		err = p.Abort(ctx, u)
	default:
		t.Fatalf("no step %q", x.Step)
	}
	checkError(t, err, x)
	if want := x.Request != nil; (play.hits == 1) != want || play.hits > 1 {
		t.Errorf("sent %d requests", play.hits)
	}
}

var answers = map[string]upload.Answer{
	"": upload.Unknown, "completed": upload.Completed, "not completed": upload.NotCompleted,
}

func planned(t *testing.T, u upload.Upload, number int) upload.Part {
	t.Helper()
	i := slices.IndexFunc(u.Parts, func(p upload.Part) bool { return p.Number == number })
	if i < 0 {
		t.Fatalf("part %d is not in the plan", number)
	}
	return u.Parts[i]
}

func partOf(t *testing.T, u upload.Upload, raw json.RawMessage) upload.Part {
	t.Helper()
	var number int
	if json.Unmarshal(raw, &number) == nil {
		return planned(t, u, number)
	}
	var part upload.Part
	if err := json.Unmarshal(raw, &part); err != nil {
		t.Fatal(err)
	}
	return part
}

func digests(t *testing.T, x exchange) (d upload.Digests) {
	t.Helper()
	var err error
	for _, pair := range []struct {
		text string
		to   *[]byte
	}{{x.Given.Digests.CRC32C, &d.CRC32C}, {x.Given.Digests.MD5, &d.MD5}} {
		if pair.text != "" {
			if *pair.to, err = hex.DecodeString(pair.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}
