package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/words"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Samples plays the samples of a definition and gives their number. Its error
// is a *spec.Error with what went otherwise. Nothing is sent.
func Samples(ctx context.Context, d *spec.Definition) (int, error) {
	if d.Samples == nil {
		return 0, nil
	}
	all, err := d.Samples()
	if err != nil {
		return 0, err
	}
	r := &replay{d: d}
	for i := range all {
		r.play(ctx, &sample{Sample: all[i], problems: &r.problems})
	}
	if len(r.problems) > 0 {
		return len(all), &spec.Error{File: d.File, Problems: r.problems}
	}
	return len(all), nil
}

// replay plays samples, each on what the create before it made.
type replay struct {
	d        *spec.Definition
	options  map[string]string
	upload   *upload.Upload
	urls     map[int]upload.Presigned
	problems []spec.Problem
}

// sample is one under way.
type sample struct {
	spec.Sample
	base     string
	problems *[]spec.Problem
}

func (s *sample) fail(key, format string, args ...any) {
	*s.problems = append(*s.problems, s.Fault(key, fmt.Sprintf(format, args...)))
}

// sampleSecret is the key of samples, which write it as {secret}.
const sampleSecret = "secret-of-the-samples"

type sampleKey struct{}

func (sampleKey) Reveal() string { return sampleSecret }

// sampleBase stands for the URL of an API that the definition leaves open.
const sampleBase = "https://api.example"

func (r *replay) play(ctx context.Context, s *sample) {
	if s.Step == "create" {
		r.options, r.upload, r.urls = s.Given.Options, nil, nil
	} else if r.upload == nil {
		s.fail("", "has no sample of create before it that makes an upload")
		return
	}
	options := r.options
	if s.Given.Options != nil {
		options = s.Given.Options
	}
	if s.base = r.d.Base; s.base == "" {
		s.base = sampleBase
	}
	settings := spec.Settings{Base: s.base, Options: options, Client: s}
	for range r.d.Keys {
		settings.Keys = append(settings.Keys, sampleKey{})
	}
	p, err := r.d.Open(settings)
	if err != nil {
		s.fail("", "%v", err)
		return
	}
	if got, err := r.call(ctx, p, s); s.ended(err) {
		s.compare(got)
	}
}

// call makes the call that a sample is of, and gives what came of it by the
// words of want.
func (r *replay) call(ctx context.Context, p upload.Provider, s *sample) (got map[string]any, err error) {
	g := &s.Given
	switch s.Step {
	case "create":
		u, urls, err := open(ctx, p, g.File, g.PartSize)
		if err != nil {
			return nil, err
		}
		r.upload, r.urls = &u, map[int]upload.Presigned{}
		for _, x := range urls {
			r.urls[x.Part] = x
		}
		var data struct {
			Upload json.RawMessage `json:"upload"`
		}
		err = json.Unmarshal(u.Data, &data)
		return map[string]any{
			"id": u.ID, "upload": data.Upload, "parts": u.Parts, "urls": urlsValue(urls), "expires": timeValue(u.Expires),
		}, err
	case "presign":
		parts, err := r.parts(g.Parts)
		if err != nil {
			return nil, err
		}
		urls, err := p.Presign(ctx, *r.upload, parts)
		return map[string]any{"urls": urlsValue(urls)}, err
	case "part":
		return r.put(ctx, p, s)
	case "checkpoint":
		c, ok := p.(upload.Checkpointer)
		if !ok {
			return nil, errors.New("the manifest has no checkpoint")
		}
		return nil, c.Checkpoint(ctx, *r.upload, r.receipts(s))
	case "complete":
		res, err := p.Complete(ctx, *r.upload, r.receipts(s), g.Digests)
		return map[string]any{"result": res.Value}, err
	case "probe":
		c, ok := p.(upload.Prober)
		if !ok {
			return nil, errors.New("the manifest has no probe")
		}
		answer, res, err := c.Probe(ctx, *r.upload)
		words := map[upload.Answer]string{upload.Completed: "completed", upload.NotCompleted: "not completed", upload.Unknown: "unknown"}
		return map[string]any{"answer": words[answer], "result": res.Value}, err
	}
	return nil, p.Abort(ctx, *r.upload)
}

// parts are those of the plan with these numbers; without any, all.
func (r *replay) parts(numbers []int) ([]upload.Part, error) {
	if len(numbers) == 0 {
		return r.upload.Parts, nil
	}
	parts := make([]upload.Part, len(numbers))
	for i, n := range numbers {
		at := slices.IndexFunc(r.upload.Parts, func(p upload.Part) bool { return p.Number == n })
		if at < 0 {
			return nil, fmt.Errorf("part %d is not in the plan", n)
		}
		parts[i] = r.upload.Parts[at]
	}
	return parts, nil
}

// receipts are those given, for the parts in the order of the file.
func (r *replay) receipts(s *sample) []upload.Receipt {
	var rs []upload.Receipt
	for i, p := range r.upload.Parts {
		if i < len(s.Given.Receipts) {
			rs = append(rs, upload.Receipt{Part: p.Number, Value: s.Given.Receipts[i]})
		}
	}
	return rs
}

func (r *replay) put(ctx context.Context, p upload.Provider, s *sample) (map[string]any, error) {
	number := s.Given.Part
	if number == 0 && len(r.upload.Parts) > 0 {
		number = r.upload.Parts[0].Number
	}
	parts, err := r.parts([]int{number})
	if err != nil {
		return nil, err
	}
	part := parts[0]
	var body io.Reader
	switch b := s.Given.Bytes; {
	case b == nil:
		body = &zeros{part.Size}
	case int64(len(*b)) != part.Size:
		return nil, fmt.Errorf("%d bytes are given, and part %d has %d", len(*b), number, part.Size)
	default:
		body = strings.NewReader(*b)
	}
	g := r.urls[number]
	if g.Part = number; s.Given.URL != "" {
		g = upload.Presigned{Part: number, URL: s.Given.URL}
	}
	receipt, err := p.Put(ctx, *r.upload, g, part, body)
	return map[string]any{"receipt": receipt.Value}, err
}

// maxSample is the most bytes of a part that are read for a sample.
const maxSample = 64 << 20

// zeros are the bytes of a part that a sample does not give.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

// Hash makes zeros an upload.Hashable, for a step that wants a digest.
func (z *zeros) Hash(w io.Writer) error {
	if z.left > maxSample {
		return errors.New("the bytes of the part are needed, and not given")
	}
	_, err := io.Copy(w, &zeros{z.left})
	return err
}

func urlsValue(urls []upload.Presigned) []any {
	list := make([]any, len(urls))
	for i, g := range urls {
		m := map[string]any{"number": g.Part, "url": g.URL, "expires": timeValue(g.Expires)}
		if len(g.Header) > 0 {
			m["headers"] = g.Header
		}
		list[i] = m
	}
	return list
}

func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
}

// errorWords are what a sample calls errors.
var errorWords = map[string]error{
	"expired": upload.ErrExpired, "gone": upload.ErrGone, "denied": upload.ErrDenied, "refused": upload.ErrRefused,
	"completed": upload.ErrCompleted, "checksum": upload.ErrChecksum, "reply": upload.ErrReply,
	"unverified": upload.ErrUnverified, "pending": upload.ErrUnfinished,
}

// ended compares how a call ended with what the sample wants, and reports
// whether there is more to compare.
func (s *sample) ended(err error) bool {
	if text, ok := s.Want["message"]; ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprint(text))) {
		s.fail("want.message", "is not in what it says: %v", err)
	}
	word, wanted := s.Want["error"].(string)
	sentinel := errorWords[word]
	switch {
	case !wanted && err != nil:
		s.fail("", "%v", err)
		return false
	case !wanted:
		return true
	case sentinel == nil:
		names := slices.Sorted(maps.Keys(errorWords))
		s.fail("want.error", "is %q%s; the errors are %s", word, words.DidYouMean(word, names), strings.Join(names, ", "))
	case err == nil:
		s.fail("want.error", "did not happen: it went well")
	case !errors.Is(err, sentinel):
		s.fail("want.error", "is another: %v", err)
	}
	return false
}

// compare compares what came of a call with what the sample wants of it. Of a
// presigned URL, only what the sample names counts.
func (s *sample) compare(got map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(s.Want)) {
		have := asJSON(got[k])
		if k == "urls" {
			have = likewise(have, s.Want[k])
		}
		s.differ("want."+k, have, s.Want[k])
	}
}

// likewise is the list have with only those fields that its counterparts in
// want have.
func likewise(have, want any) any {
	hs, _ := have.([]any)
	ws, _ := want.([]any)
	for i := range min(len(hs), len(ws)) {
		h, ok := hs[i].(map[string]any)
		w, ok2 := ws[i].(map[string]any)
		if ok && ok2 {
			maps.DeleteFunc(h, func(k string, _ any) bool { _, named := w[k]; return !named })
		}
	}
	return have
}

// asJSON brings what this program made into the types that samples have.
func asJSON(v any) any {
	b, err := json.Marshal(v)
	if err == nil {
		v, err = exact.Decode(b)
	}
	if err != nil {
		return err.Error()
	}
	return v
}

// differ reports the first place at which two values differ, and what is there.
func (s *sample) differ(key string, have, want any) {
	if path, h, w, differs := difference(asJSON(have), want); differs {
		s.fail(key, "%s", strings.TrimSpace(path+" is "+h+", and the sample wants "+w))
	}
}

// absent stands for a field or an element that is not there.
type absent struct{}

func difference(have, want any) (path, h, w string, differs bool) {
	show := func(v any) string {
		const enough = 60
		b, err := json.Marshal(v)
		switch {
		case v == absent{}:
			return "not there"
		case err == nil && len(b) > enough:
			return strings.ToValidUTF8(string(b[:enough]), "") + "…"
		}
		return string(b)
	}
	at := func(step string, a, b any) bool {
		path, h, w, differs = difference(a, b)
		path = step + path
		return differs
	}
	switch b := want.(type) {
	case map[string]any:
		a, ok := have.(map[string]any)
		if !ok {
			break
		}
		keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(keys)
		for _, k := range keys {
			x, y := any(absent{}), any(absent{})
			if v, ok := a[k]; ok {
				x = v
			}
			if v, ok := b[k]; ok {
				y = v
			}
			if at("."+k, x, y) {
				return path, h, w, true
			}
		}
		return "", "", "", false
	case []any:
		a, ok := have.([]any)
		if !ok {
			break
		}
		for i := range max(len(a), len(b)) {
			x, y := any(absent{}), any(absent{})
			if i < len(a) {
				x = a[i]
			}
			if i < len(b) {
				y = b[i]
			}
			if at(fmt.Sprintf("[%d]", i), x, y) {
				return path, h, w, true
			}
		}
		return "", "", "", false
	}
	return "", show(have), show(want), !reflect.DeepEqual(have, want)
}

// Do is the exchange that the sample is of: it compares the request, and gives
// the reply.
func (s *sample) Do(_ context.Context, r transport.Request) (*transport.Reply, error) {
	var body []byte
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
	if r.Body != nil && (!r.Bulk || form || s.Given.Bytes != nil) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if s.Request != nil {
		s.asked(r, body)
	}
	h := http.Header{}
	for k, v := range s.Reply.Header {
		h.Set(k, v)
	}
	if s.Reply.Body != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return r.Answer(s.Reply.Status, h, []byte(s.Reply.Body)), nil
}

// asked compares a request with the one that the sample has.
func (s *sample) asked(r transport.Request, body []byte) {
	want := s.Request
	if got := r.Method + " " + s.target(r.URL); got != want.Send {
		s.fail("request.send", "is %s, and the sample wants %s", got, want.Send)
	}
	for name, v := range want.Header {
		if got := strings.ReplaceAll(r.Header.Get(name), sampleSecret, "{secret}"); got != v {
			s.fail("request.headers."+name, "is %q, and the sample wants %q", got, v)
		}
	}
	fields, err := fieldsOf(r, body)
	if err != nil {
		s.fail("request.fields", "%v", err)
		return
	}
	s.differ("request.fields", fields, asJSON(want.Fields))
	if r.Bulk || fields != nil {
		return
	}
	var got any
	if len(body) > 0 {
		if got, err = exact.Decode(body); err != nil {
			s.fail("request.body", "%v", err)
			return
		}
	}
	s.differ("request.body", got, want.Body)
}

// target is a URL as the sample writes it: whole, or below the base.
func (s *sample) target(address string) string {
	if _, to, _ := strings.Cut(s.Request.Send, " "); strings.HasPrefix(to, "/") {
		return strings.TrimPrefix(address, s.base)
	}
	return address
}

// fieldsOf are the fields of a form, but for its file; nil where the request is
// none.
func fieldsOf(r transport.Request, body []byte) (map[string]any, error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil //nolint:nilerr // no media type is no form's
	}
	values := url.Values{}
	switch kind {
	case "application/x-www-form-urlencoded":
		values, err = url.ParseQuery(string(body))
	case "multipart/form-data":
		var form *multipart.Form
		if form, err = multipart.NewReader(strings.NewReader(string(body)), params["boundary"]).ReadForm(1 << 20); err == nil {
			values = form.Value
			err = form.RemoveAll()
		}
		if len(values) == 0 {
			return nil, err
		}
	default:
		return nil, nil
	}
	fields := map[string]any{}
	for k, vs := range values {
		for i := range vs {
			vs[i] = strings.ReplaceAll(vs[i], sampleSecret, "{secret}")
		}
		if fields[k] = vs[0]; len(vs) > 1 {
			fields[k] = vs
		}
	}
	return fields, err
}
