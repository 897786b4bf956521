package manifest

import (
	"context"
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

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// sample is one documented exchange that a manifest brings along.
type sample struct {
	node
	step  string
	given struct {
		file     upload.File
		options  map[string]string
		partSize int64
		part     int
		parts    []int
		bytes    *string
		url      string
		receipts []string
		digests  upload.Digests
	}
	request struct {
		node   // without a Node: not compared
		send   string
		header map[string]string
		body   any // nil: none
		fields map[string]any
	}
	reply struct {
		status int
		header map[string]string
		body   string
	}
	want map[string]node
}

// errorWords are what a sample calls errors.
var errorWords = map[string]error{
	"expired": upload.ErrExpired, "gone": upload.ErrGone, "denied": upload.ErrDenied, "refused": upload.ErrRefused,
	"completed": upload.ErrCompleted, "checksum": upload.ErrChecksum, "reply": upload.ErrReply,
	"unverified": upload.ErrUnverified, "pending": upload.ErrUnfinished,
}

// wants are what a sample of each step can want, beside an error.
var wants = map[string][]string{
	"create": {"id", "upload", "parts", "urls", "expires"}, "presign": {"urls"}, "part": {"receipt"},
	"checkpoint": nil, "complete": {"result"}, "probe": {"answer", "result"}, "abort": nil,
}

// Replay plays the samples of the manifest and gives their number. Its error is
// an *Error with what went otherwise. Nothing is sent.
func (m *Manifest) Replay(ctx context.Context) (int, error) {
	if m.samples == nil {
		return 0, nil
	}
	var problems []Problem
	n := node{m.samples, "samples", &problems}
	if n.Kind != yaml.SequenceNode {
		n.fail("is %s; a list belongs here", n.kind())
	}
	r := &replay{m: m}
	for i, c := range n.Content {
		s := &sample{node: node{c, fmt.Sprintf("samples[%d]", i), &problems}}
		if before := len(problems); s.read() && len(problems) == before {
			r.play(ctx, s)
		}
	}
	if len(problems) > 0 {
		return len(n.Content), &Error{File: m.file, Problems: problems}
	}
	return len(n.Content), nil
}

// read reports whether the sample can be played.
func (s *sample) read() bool {
	s.given.file = upload.File{Name: "sample.bin", Type: "application/octet-stream", Size: 1}
	s.fields(map[string]func(node){
		"step": func(v node) {
			if s.step = v.text(); !slices.Contains(slices.Collect(maps.Keys(wants)), s.step) {
				names := slices.Sorted(maps.Keys(wants))
				v.fail("is %q%s; the steps are %s", s.step, DidYouMean(s.step, names), strings.Join(names, ", "))
			}
		},
		"about": func(v node) { v.text() },
		"given": func(v node) { v.fields(s.givenKeys()) },
		"request": func(v node) {
			s.request.node = v
			v.fields(map[string]func(node){
				"send":    func(v node) { s.request.send = v.text() },
				"headers": func(v node) { s.request.header = v.texts() },
				"body":    func(v node) { s.request.body = v.value() },
				"fields":  func(v node) { s.request.fields, _ = v.value().(map[string]any) },
			})
			if s.request.send == "" {
				v.fail("has no send, such as POST /uploads")
			}
		},
		"reply": func(v node) {
			v.fields(map[string]func(node){
				"status":  func(v node) { s.reply.status = v.integer() },
				"headers": func(v node) { s.reply.header = v.texts() },
				"body": func(v node) {
					b, err := marshal(v.value())
					if err != nil {
						v.fail("%v", err)
					}
					s.reply.body = string(b)
				},
				"text": func(v node) { s.reply.body = v.Value },
			})
		},
		"want": func(v node) {
			s.want = map[string]node{}
			known := map[string]func(node){}
			for _, k := range append([]string{"error", "message"}, wants[s.step]...) {
				known[k] = func(v node) { s.want[k] = v }
			}
			v.fields(known)
		},
	})
	if s.step == "" {
		s.fail("has no step")
		return false
	}
	if s.reply.status == 0 {
		s.fail("has no reply with a status")
		return false
	}
	return true
}

func (s *sample) givenKeys() map[string]func(node) {
	g := &s.given
	return map[string]func(node){
		"file": func(v node) {
			v.fields(map[string]func(node){
				"name": func(v node) { g.file.Name = v.text() },
				"type": func(v node) { g.file.Type = v.text() },
				"size": func(v node) { g.file.Size = int64(v.integer()) },
			})
		},
		"options":   func(v node) { g.options = v.texts() },
		"part_size": func(v node) { g.partSize = int64(v.integer()) },
		"part":      func(v node) { g.part = v.integer() },
		"parts":     func(v node) { v.list(func(v node) { g.parts = append(g.parts, v.integer()) }) },
		"bytes":     func(v node) { g.bytes = &v.Value },
		"url":       func(v node) { g.url = v.text() },
		"receipts":  func(v node) { v.list(func(v node) { g.receipts = append(g.receipts, v.Value) }) },
		"digests": func(v node) {
			v.fields(map[string]func(node){
				"crc32c": func(v node) { g.digests.CRC32C = v.hex() },
				"md5":    func(v node) { g.digests.MD5 = v.hex() },
				"sha1":   func(v node) { g.digests.SHA1 = v.hex() },
			})
		},
	}
}

// replay plays samples, each on what the create before it made.
type replay struct {
	m       *Manifest
	options map[string]string
	upload  *upload.Upload
	urls    []upload.Presigned
}

// sampleSecret is the key of samples, which write it as {secret}.
const sampleSecret = "secret-of-the-samples"

type sampleKey struct{}

func (sampleKey) Reveal() string { return sampleSecret }

func (r *replay) play(ctx context.Context, s *sample) {
	if s.step == "create" {
		r.options, r.upload, r.urls = s.given.options, nil, nil
	} else if r.upload == nil {
		s.fail("has no sample of create before it that makes an upload")
		return
	}
	options := r.options
	if s.given.options != nil {
		options = s.given.options
	}
	settings := Settings{Key: sampleKey{}, Options: options, Base: r.m.base}
	if settings.Base == "" {
		settings.Base = sampleBase
	}
	settings.carrier = &player{s, settings.Base}
	p, err := r.m.Open(settings)
	if err != nil {
		s.fail("%v", err)
		return
	}
	if got, err := r.call(ctx, p, s); s.judge(err) {
		s.compare(got)
	}
}

// sampleBase stands for the address of an API that the manifest leaves open.
const sampleBase = "https://api.example"

// call makes the call that a sample is of, and gives what came of it by the
// words of want.
func (r *replay) call(ctx context.Context, p Provider, s *sample) (got map[string]any, err error) {
	g := &s.given
	switch s.step {
	case "create":
		u, gs, err := p.Create(ctx, g.file, upload.Hint{PartSize: g.partSize})
		if err != nil {
			return nil, err
		}
		u.File = g.file
		if u.Parts == nil && len(u.Held) == 0 {
			if u.Parts, err = upload.Split(g.file.Size, g.partSize, r.m.limits); err != nil {
				return nil, err
			}
		}
		if err := upload.Tile(g.file.Size, u.Parts, u.Held); err != nil {
			return nil, err
		}
		r.upload, r.urls = &u, gs
		var d data
		v, err := decodeJSON(u.Data)
		if m, ok := v.(map[string]any); ok && err == nil {
			d.Upload, _ = m["upload"].(map[string]any)
		}
		return map[string]any{
			"id": u.ID, "upload": d.Upload, "parts": partsValue(u.Parts), "urls": urlsValue(gs), "expires": timeValue(u.Expires),
		}, err
	case "presign":
		parts, err := r.parts(g.parts)
		if err != nil {
			return nil, err
		}
		gs, err := p.Presign(ctx, *r.upload, parts)
		return map[string]any{"urls": urlsValue(gs)}, err
	case "part":
		return r.put(ctx, p, s)
	case "checkpoint":
		c, ok := p.(upload.Checkpointer)
		if !ok {
			return nil, errors.New("the manifest has no checkpoint")
		}
		return nil, c.Checkpoint(ctx, *r.upload, r.receipts(s))
	case "complete":
		res, err := p.Complete(ctx, *r.upload, r.receipts(s), g.digests)
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
		if i < len(s.given.receipts) {
			rs = append(rs, upload.Receipt{Part: p.Number, Value: s.given.receipts[i]})
		}
	}
	return rs
}

func (r *replay) put(ctx context.Context, p Provider, s *sample) (map[string]any, error) {
	number := s.given.part
	if number == 0 && len(r.upload.Parts) > 0 {
		number = r.upload.Parts[0].Number
	}
	parts, err := r.parts([]int{number})
	if err != nil {
		return nil, err
	}
	part := parts[0]
	body := io.LimitReader(blank{}, part.Size)
	if s.given.bytes != nil {
		if int64(len(*s.given.bytes)) != part.Size {
			return nil, fmt.Errorf("%d bytes are given, and part %d has %d", len(*s.given.bytes), number, part.Size)
		}
		body = strings.NewReader(*s.given.bytes)
	} else if r.m.part.digest != "" || part.Size > maxSample {
		return nil, fmt.Errorf("the bytes of part %d are needed, and not given", number)
	}
	g := upload.Presigned{Part: number, URL: s.given.url}
	if at := slices.IndexFunc(r.urls, func(g upload.Presigned) bool { return g.Part == number }); at >= 0 && g.URL == "" {
		g = r.urls[at]
	}
	receipt, err := p.Put(ctx, *r.upload, g, part, body)
	return map[string]any{"receipt": receipt.Value}, err
}

// maxSample is the most bytes of a part that are read for a sample.
const maxSample = 64 << 20

// blank are the bytes of a part that a sample does not give.
type blank struct{}

func (blank) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func urlsValue(gs []upload.Presigned) []any {
	list := make([]any, len(gs))
	for i, g := range gs {
		m := map[string]any{"number": g.Part, "url": g.URL, "expires": timeValue(g.Expires)}
		if len(g.Header) > 0 {
			h := map[string]any{}
			for k, v := range g.Header {
				h[k] = v
			}
			m["headers"] = h
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

// judge compares how a call ended with what the sample wants, and reports
// whether there is more to compare.
func (s *sample) judge(err error) bool {
	word, wanted := s.want["error"]
	if message, ok := s.want["message"]; ok && (err == nil || !strings.Contains(err.Error(), message.Value)) {
		message.fail("is not in what it says: %v", err)
	}
	var sentinel error
	if wanted {
		sentinel = errorWords[word.Value]
	}
	switch {
	case !wanted && err != nil:
		s.fail("%v", err)
		return false
	case !wanted:
		return true
	case sentinel == nil:
		names := slices.Sorted(maps.Keys(errorWords))
		word.fail("is %q%s; the errors are %s", word.Value, DidYouMean(word.Value, names), strings.Join(names, ", "))
	case err == nil:
		word.fail("did not happen: it went well")
	case !errors.Is(err, sentinel):
		word.fail("is another: %v", err)
	}
	return false
}

// compare compares what came of a call with what the sample wants of it. Of a
// presigned, only what the sample names counts.
func (s *sample) compare(got map[string]any) {
	for _, k := range wants[s.step] {
		n, ok := s.want[k]
		if !ok {
			continue
		}
		want, have := n.value(), got[k]
		if k == "urls" {
			have = likewise(have, want)
		}
		n.differ(have, want)
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

// asJSON brings what this program made into the types of JSON.
func asJSON(v any) any {
	out, err := plain(v)
	if err != nil {
		return err.Error()
	}
	return out
}

// differ reports the first place at which two values differ, and what is there.
func (n node) differ(have, want any) {
	path, h, w, differs := difference(asJSON(have), asJSON(want))
	if differs {
		n.fail("%s", strings.TrimSpace(path+" is "+h+", and the sample wants "+w))
	}
}

// absent stands for a field or an element that is not there.
type absent struct{}

func difference(have, want any) (path, h, w string, differs bool) {
	word := func(v any) string {
		if v == (absent{}) {
			return "not there"
		}
		return show(v)
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
		keys := slices.Collect(maps.Keys(a))
		keys = slices.AppendSeq(keys, maps.Keys(b))
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
	return "", word(have), word(want), !reflect.DeepEqual(have, want)
}

// player answers as a sample says, and compares what it is asked.
type player struct {
	*sample
	base string
}

// Do is the exchange that the sample is of.
func (p *player) Do(_ context.Context, r transport.Request) (*transport.Reply, error) {
	var body []byte
	form := strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/")
	if r.Body != nil && (!r.Bulk || form || p.given.bytes != nil) {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if p.request.Node != nil {
		p.asked(r, body)
	}
	h := http.Header{}
	for k, v := range p.reply.header {
		h.Set(k, v)
	}
	if p.reply.body != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return r.Answer(p.reply.status, h, []byte(p.reply.body)), nil
}

// asked compares a request with the one that the sample has.
func (p *player) asked(r transport.Request, body []byte) {
	want := &p.request
	key := func(k string) node { return node{want.Node, want.key + "." + k, want.problems} }
	if got := r.Method + " " + p.target(r.URL, want.send); got != want.send {
		key("send").fail("is %s, and the sample wants %s", got, want.send)
	}
	for name, v := range want.header {
		if got := strings.ReplaceAll(r.Header.Get(name), sampleSecret, "{secret}"); got != v {
			key("headers."+name).fail("is %q, and the sample wants %q", got, v)
		}
	}
	if fields, err := fieldsOf(r, body); err != nil {
		key("fields").fail("%v", err)
	} else {
		key("fields").differ(fields, want.fields)
	}
	if r.Bulk || strings.Contains(r.Header.Get("Content-Type"), "form") {
		return
	}
	var got any
	if len(body) > 0 {
		var err error
		if got, err = decodeJSON(body); err != nil {
			key("body").fail("%v", err)
			return
		}
	}
	key("body").differ(got, want.body)
}

// target is the address as the sample writes it: whole, or below the base.
func (p *player) target(address, send string) string {
	if _, path, _ := strings.Cut(send, " "); strings.Contains(path, "://") {
		return address
	}
	return strings.TrimPrefix(address, p.base)
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
