package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/provider/spec"
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
	r := &replay{d: d, left: all}
	for len(r.left) > 0 {
		r.play(ctx)
	}
	if len(r.problems) > 0 {
		return len(all), &spec.Error{File: d.File, Problems: r.problems}
	}
	return len(all), nil
}

// replay plays samples, each on what the create before it made.
type replay struct {
	d        *spec.Definition
	left     []spec.Sample
	options  map[string]string
	upload   *upload.Upload
	created  json.RawMessage // the upload's data when it was created
	ended    bool            // the last request of complete was answered
	urls     map[int]upload.Presigned
	receipt  upload.Receipt         // of the last part
	stored   map[int]upload.Receipt // of the parts that samples sent
	told     map[int]string         // receipts of parts that samples handed over
	base     string
	problems []spec.Problem

	sample  *spec.Sample // under way
	request int          // which request of its call it is of
}

func (r *replay) fail(key, format string, args ...any) {
	r.problems = append(r.problems, r.sample.Fault(key, fmt.Sprintf(format, args...)))
}

// next takes the next sample.
func (r *replay) next() *spec.Sample {
	r.sample, r.left = &r.left[0], r.left[1:]
	return r.sample
}

// errNoSample ends a call whose next request has no sample.
var errNoSample = errors.New("the samples end before its next request")

// sampleSecret is the key of samples, which write it as {secret}.
const sampleSecret = "secret-of-the-samples"

type sampleKey struct{}

func (sampleKey) Reveal() string { return sampleSecret }

// sampleBase stands for the URL of an API that the definition leaves open.
const sampleBase = "https://api.example"

// play plays the next sample, and those after it that are further requests of
// the same call.
func (r *replay) play(ctx context.Context) {
	s := r.next()
	r.request = 0
	opens := s.Step == "part" && s.Given.HasFile // without a create
	if s.Step == "create" || opens {
		r.options, r.upload, r.urls, r.receipt, r.ended = s.Given.Options, nil, nil, upload.Receipt{}, false
		r.told, r.stored = map[int]string{}, map[int]upload.Receipt{}
	} else if r.upload == nil {
		r.fail("", "has no sample of create before it that makes an upload")
		return
	}
	options := r.options
	if s.Given.Options != nil {
		options = s.Given.Options
	}
	settings := spec.Settings{Options: options, Client: r}
	if r.base = r.d.BaseFor(options); r.base == "" {
		r.base = sampleBase
		settings.Base = r.base
	}
	for range r.d.Keys {
		settings.Keys = append(settings.Keys, sampleKey{})
	}
	p, err := r.d.Open(settings)
	if err != nil {
		r.fail("", "%v", err)
		return
	}
	if opens {
		if st, ok := p.(stepper); !ok || st.HasStep(upload.Upload{File: s.Given.File}, "create") {
			r.fail("given.file", "belongs to create, which there is for this file")
			return
		}
		u, _, err := open(ctx, p, s.Given.File, upload.Hint{})
		if err != nil {
			r.fail("given.file", "%v", err)
			return
		}
		r.upload = &u
	}
	got, err := r.call(ctx, p, s)
	if errors.Is(err, errNoSample) {
		return
	}
	if r.endedAs(err) {
		r.compare(got)
	}
}

// call makes the call that a sample is of, and gives what came of it by the
// words of want.
func (r *replay) call(ctx context.Context, p upload.Provider, s *spec.Sample) (got map[string]any, err error) {
	g := &s.Given
	switch s.Step {
	case "create":
		f := g.File
		f.Content = content(g)
		u, urls, err := open(ctx, p, f, upload.Hint{PartSize: g.PartSize})
		if err != nil {
			return nil, err
		}
		r.upload, r.created, r.urls = &u, u.Data, map[int]upload.Presigned{}
		for _, x := range urls {
			r.urls[x.Part] = x
		}
		kept, err := keptOf(u)
		return map[string]any{
			"id": u.ID, "keep": kept, "digest": u.Digest, "parts": u.Parts, "urls": urlsValue(urls), "expires": timeValue(u.Expires),
		}, err
	case "presign":
		parts, err := r.parts(g.Parts)
		if err != nil {
			return nil, err
		}
		if r.d.Limits.URLsAtOnce == 1 {
			parts = parts[:min(1, len(parts))]
		}
		urls, err := p.Presign(ctx, *r.upload, parts)
		return map[string]any{"urls": urlsValue(urls)}, err
	case "part":
		return r.put(ctx, p, s)
	case "confirm":
		return r.confirm(ctx, p)
	case "checkpoint":
		c, ok := p.(upload.Checkpointer)
		if !ok {
			return nil, errors.New("the manifest has no checkpoint")
		}
		rs := r.receipts(s)
		if err := c.Checkpoint(ctx, *r.upload, rs); err != nil {
			return nil, err
		}
		for _, told := range rs {
			r.told[told.Part] = told.Value
		}
		return nil, nil
	case "complete":
		return r.complete(ctx, p, s)
	case "probe":
		c, ok := p.(upload.Prober)
		if !ok {
			return nil, errors.New("the manifest has no probe")
		}
		answer, res, err := c.Probe(ctx, *r.upload)
		words := map[upload.Answer]string{upload.Completed: "completed", upload.NotCompleted: "not completed", upload.Unknown: "unknown"}
		return map[string]any{"answer": words[answer], "result": res.Value}, err
	case "ready":
		c, ok := p.(upload.Readier)
		if !ok || c.Readiness(*r.upload) == nil {
			return nil, errors.New("the manifest has no ready")
		}
		done, res, err := c.Ready(ctx, *r.upload, upload.Result{})
		if errors.Is(err, upload.ErrNotReady) {
			err = nil
		}
		return map[string]any{"ready": done, "result": res.Value}, err
	}
	return nil, p.Abort(ctx, *r.upload)
}

// complete makes one request of complete: the one after those that samples
// before it answered.
func (r *replay) complete(ctx context.Context, p upload.Provider, s *spec.Sample) (map[string]any, error) {
	rs := r.receipts(s)
	c, ok := p.(upload.Stepper)
	if !ok {
		res, err := p.Complete(ctx, *r.upload, rs, s.Given.Digests)
		return map[string]any{"result": res.Value}, err
	}
	if r.ended {
		r.upload.Data, r.ended = r.created, false // this is another try
	}
	a, err := c.CompleteStep(ctx, *r.upload, rs, s.Given.Digests)
	if err != nil {
		return nil, err
	}
	if a.Data != nil {
		r.upload.Data = a.Data
	}
	r.ended = !a.More
	kept, err := keptOf(*r.upload)
	return map[string]any{"result": a.Result.Value, "keep": kept}, err
}

// keptOf is what an upload keeps.
func keptOf(u upload.Upload) (json.RawMessage, error) {
	var data struct {
		Upload json.RawMessage `json:"upload"`
	}
	err := json.Unmarshal(u.Data, &data)
	return data.Upload, err
}

// content is the file of a sample of create.
func content(g *spec.Given) io.ReaderAt {
	if g.Bytes != nil {
		return strings.NewReader(*g.Bytes)
	}
	return zeros(0)
}

// confirm confirms the part of the sample before it.
func (r *replay) confirm(ctx context.Context, p upload.Provider) (map[string]any, error) {
	c, ok := p.(upload.Confirmer)
	if !ok || r.receipt.Unconfirmed == nil {
		return nil, errors.New("there is no sample of a part before it that is to be confirmed")
	}
	parts, err := r.parts([]int{r.receipt.Part})
	if err != nil {
		return nil, err
	}
	receipt, err := c.Confirm(ctx, *r.upload, parts[0], r.receipt)
	r.store(receipt, err)
	return map[string]any{"receipt": receipt.Value}, err
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

// store remembers the receipt of a part that counts as stored.
func (r *replay) store(receipt upload.Receipt, err error) {
	if err == nil && receipt.Unconfirmed == nil {
		r.stored[receipt.Part] = receipt
	}
}

// receipts are those given, for the parts in the order of the file. Without a
// sample that sent the part, what is given is the store's ETag too.
func (r *replay) receipts(s *spec.Sample) []upload.Receipt {
	var rs []upload.Receipt
	for i, p := range r.upload.Parts {
		if i < len(s.Given.Receipts) {
			value := s.Given.Receipts[i]
			receipt := r.stored[p.Number]
			if receipt.Value != value {
				receipt = upload.Receipt{Part: p.Number, Value: value, ETag: value}
			}
			receipt.Checkpointed = r.told[p.Number] == value
			rs = append(rs, receipt)
		}
	}
	return rs
}

func (r *replay) put(ctx context.Context, p upload.Provider, s *spec.Sample) (map[string]any, error) {
	number := s.Given.Part
	if number == 0 && len(r.upload.Parts) > 0 {
		number = r.upload.Parts[0].Number
	}
	parts, err := r.parts([]int{number})
	if err != nil {
		return nil, err
	}
	part := parts[0]
	var body io.ReadSeeker
	switch b := s.Given.Bytes; {
	case b != nil && int64(len(*b)) != part.Size:
		return nil, fmt.Errorf("%d bytes are given, and part %d has %d", len(*b), number, part.Size)
	case b != nil:
		body = strings.NewReader(*b)
	default:
		body = io.NewSectionReader(zeros(0), 0, part.Size)
	}
	g := r.urls[number]
	if g.Part = number; s.Given.URL != "" {
		g = upload.Presigned{Part: number, URL: s.Given.URL}
	}
	receipt, err := p.Put(ctx, *r.upload, g, part, body)
	r.receipt = receipt
	r.store(receipt, err)
	got := map[string]any{"receipt": receipt.Value, "verified": receipt.Verified}
	if receipt.Result != nil {
		got["result"] = receipt.Result.Value
	}
	return got, err
}

// maxSample is the most bytes that are read for a sample which does not give
// them.
const maxSample = 64 << 20

// zeros are the bytes that a sample does not give.
type zeros int

func (zeros) ReadAt(p []byte, at int64) (int, error) {
	if at > maxSample {
		return 0, errors.New("the bytes are needed, and not given")
	}
	clear(p)
	return len(p), nil
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
