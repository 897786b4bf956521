package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// script is the API of any manifest, played from the samples of one upload: a
// create and what follows it. It answers a request as the sample of its step
// does; what a sample says of one part is said of every other with its number.
// It stores what parts bring.
type script struct {
	t    *testing.T
	base string
	life []spec.Sample

	mu     sync.Mutex
	seen   []event
	played map[string]int // how many samples of a request were played
	single bool           // whether URLs are asked for one by one
	all    []int          // the numbers of the parts, in their order
	asked  []int          // those that presigned URLs were asked for last
	parts  map[int][]byte
	puts   map[int]int
	// before is asked before request n is acted on, and after before its answer
	// is given: an error is what the client gets instead.
	before, after func(n int) error
	expire        int // so many parts are refused as past the end of their URL
	// instead is what request n is answered with instead of being acted on; nil:
	// as its sample says.
	instead func(n int, e event) *spec.Sample
}

// event is a request of a step; part is 0 where it is of none.
type event struct {
	step string
	part int
}

var operations = regexp.MustCompile(`: (create|send|confirm|request|complete|abort|ask)(?: whether)?(?: the)? (?:part (\d+)|(file|upload|presigned)).*$`)

// eventOf is the step of a request, by what the provider says it is for.
func eventOf(q transport.Request) event {
	m := operations.FindStringSubmatch(q.Op)
	if m == nil {
		return event{step: q.Op}
	}
	n, _ := strconv.Atoi(m[2])
	step := map[string]string{
		"create": "create", "send": "part", "confirm": "confirm", "request": "presign",
		"complete": "complete", "abort": "abort",
	}[m[1]]
	if m[1] == "ask" {
		step = map[string]string{"file": "ready", "upload": "probe"}[m[3]]
	}
	return event{step, n}
}

// Do answers a request.
func (s *script) Do(_ context.Context, q transport.Request) (*transport.Reply, error) {
	body, err := bodyOf(q)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := eventOf(q)
	s.seen = append(s.seen, e)
	n := len(s.seen)
	if s.before != nil {
		if err := s.before(n); err != nil {
			return nil, err
		}
	}
	for name, vs := range q.Header {
		if strings.Contains(strings.Join(vs, " "), testKey) && !strings.HasPrefix(q.URL, s.base) {
			s.t.Errorf("%s: %s went to %s with the key", q.Op, name, q.URL)
		}
	}
	if s.instead != nil {
		if x := s.instead(n, e); x != nil {
			header := http.Header{}
			for k, v := range x.Reply.Header {
				header.Set(k, v)
			}
			return q.Answer(x.Reply.Status, header, []byte(x.Reply.Body)), nil
		}
	}
	status, header, text := s.answer(e, q, body)
	if s.after != nil {
		if err := s.after(n); err != nil {
			return nil, err
		}
	}
	return q.Answer(status, header, []byte(text)), nil
}

// times is how many requests were of a step.
func (s *script) times(step string) (n int) {
	for _, e := range s.seen {
		if e.step == step {
			n++
		}
	}
	return n
}

// answer acts on a request and says what comes back.
func (s *script) answer(e event, q transport.Request, body []byte) (int, http.Header, string) {
	switch {
	case e.step == "create":
		clear(s.parts) // this is another upload
	case e.step == "part" && s.expire > 0:
		s.expire--
		return http.StatusForbidden, http.Header{}, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
	case e.step == "part":
		s.parts[e.part] = body
		s.puts[e.part]++
	case e.step == "confirm" && s.parts[e.part] == nil:
		s.t.Errorf("part %d is confirmed and was not sent", e.part)
	}
	sample := s.sample(e, q)
	if sample == nil {
		switch e.step {
		case "part":
			return http.StatusOK, http.Header{"Etag": {fmt.Sprintf(`"e%d"`, e.part)}}, ""
		case "probe": // it has nothing to say
			return http.StatusNotFound, http.Header{}, ""
		case "abort":
			return http.StatusNoContent, http.Header{}, ""
		}
		s.t.Errorf("no sample answers %s %s (%s)", q.Method, q.URL, q.Op)
		return http.StatusNotImplemented, http.Header{}, ""
	}
	text := sample.Reply.Body
	header := http.Header{}
	for k, v := range sample.Reply.Header {
		header.Set(k, v)
	}
	if v, err := exact.Decode([]byte(text)); err == nil {
		if e.step == "presign" {
			v = forParts(v, s.sampled(sample), s.asked)
		} else if s.isOfPart(e) {
			v = renumber(v, s.sampled(sample)[0], e.part)
		}
		text = asText(s.t, later(v, ""))
		header.Set("Content-Type", "application/json")
	}
	if s.isOfPart(e) {
		for k := range header {
			header.Set(k, fmt.Sprint(renumber(header.Get(k), s.sampled(sample)[0], e.part)))
		}
	}
	return sample.Reply.Status, header, text
}

func (s *script) isOfPart(e event) bool { return e.step == "part" || e.step == "confirm" }

// sample is the one that answers a request: of those of its step and its
// address, in their order, the last of them again and again. Those after the
// first success are not of a life that goes well.
func (s *script) sample(e event, q transport.Request) *spec.Sample {
	var of []*spec.Sample
	key := "" // the request that the samples seen last are of
	perPart := e.step == "presign" || s.isOfPart(e)
	is := q.Method + " " + q.URL
	whole := false
	for i := range s.life {
		x := &s.life[i]
		if x.Step != e.step {
			continue
		}
		if x.Request != nil && x.Request.Send != key {
			key, whole = x.Request.Send, false
		}
		word, failed := x.Want["error"]
		short := strings.Replace(is, s.base, "", 1)
		if whole || failed && word != "pending" || !perPart && key != "" && key != is && key != short {
			continue
		}
		of = append(of, x)
		whole = !failed && x.Want["ready"] != false
	}
	if len(of) == 0 {
		return nil
	}
	at := e.step + " " + is
	n := s.played[at]
	s.played[at]++
	return of[min(n, len(of)-1)]
}

// sampled are the numbers of the parts that a sample is of.
func (s *script) sampled(x *spec.Sample) []int {
	at := slices.IndexFunc(s.life, func(y spec.Sample) bool { return y.Step == x.Step && y.Reply.Body == x.Reply.Body })
	switch {
	case x.Step == "confirm" && s.life[at-1].Step == "part": // it is of that part
		return s.sampled(&s.life[at-1])
	case x.Given.Part > 0:
		return []int{x.Given.Part}
	case len(x.Given.Parts) > 0:
		return x.Given.Parts
	case x.Step == "presign" && !s.single:
		return s.all
	}
	return s.all[:1]
}

var digits = regexp.MustCompile(`\d+`)

// renumber puts one part's number in the place of another's.
func renumber(v any, from, to int) any {
	switch v := v.(type) {
	case int:
		if v == from {
			return to
		}
	case string:
		return digits.ReplaceAllStringFunc(v, func(d string) string {
			if d == strconv.Itoa(from) {
				return strconv.Itoa(to)
			}
			return d
		})
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = renumber(e, from, to)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = renumber(e, from, to)
		}
		return out
	}
	return v
}

// forParts makes of a reply that is of the parts of, one that is of those asked
// for: a list with an element for each gets others, and where there is none, it
// is of one part.
func forParts(v any, of, asked []int) any {
	if slices.Equal(of, asked) {
		return v
	}
	found := false
	var each func(v any) any
	each = func(v any) any {
		switch v := v.(type) {
		case []any:
			if len(v) != len(of) {
				return v
			}
			found = true
			out := make([]any, len(asked))
			for i, n := range asked {
				out[i] = renumber(v[0], of[0], n)
			}
			return out
		case map[string]any:
			out := map[string]any{}
			for k, e := range v {
				out[k] = each(e)
			}
			return out
		}
		return v
	}
	if out := each(v); found {
		return out
	}
	return renumber(v, of[0], asked[0])
}

// later moves times in a reply that are called an end into the future.
func later(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = later(e, k)
		}
	case []any:
		for i, e := range v {
			v[i] = later(e, name)
		}
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil && at.Before(time.Now().Add(time.Hour)) {
			return time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
		}
	case int:
		if strings.Contains(name, "expir") && v > 1e9 && v < 1e10 {
			return int(time.Now().Add(time.Hour).Unix())
		}
	}
	return v
}

func asText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// bodyOf is the body of a request; of a form with a file, the file.
func bodyOf(q transport.Request) ([]byte, error) {
	if q.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(q.Body)
	kind, params, bad := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil || bad != nil || kind != "multipart/form-data" {
		return body, err
	}
	for form := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := form.NextPart()
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return nil, err
		}
		if p.FileName() != "" {
			return io.ReadAll(p)
		}
	}
}

// asking is a provider that tells the script which parts it asks URLs for.
type asking struct {
	spec.Provider
	upload.Stepper
	upload.Confirmer
	upload.Readier
	script *script
}

func (a *asking) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	if a.script.single {
		parts = parts[:1]
	}
	a.script.mu.Lock()
	a.script.asked = numbers(parts)
	a.script.mu.Unlock()
	return a.Provider.Presign(ctx, u, parts)
}

func (a *asking) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, urls, err := a.Provider.Create(ctx, f, w)
	if len(u.Parts) > 0 {
		a.script.mu.Lock()
		a.script.all = numbers(u.Parts)
		a.script.mu.Unlock()
	}
	return u, urls, err
}

func (a *asking) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	a.script.mu.Lock()
	if !slices.Contains(a.script.all, p.Number) { // the plan is not the API's
		a.script.all = append(a.script.all, p.Number)
		slices.Sort(a.script.all)
	}
	a.script.mu.Unlock()
	return a.Provider.Put(ctx, u, g, p, body)
}

func numbers(parts []upload.Part) (all []int) {
	for _, p := range parts {
		all = append(all, p.Number)
	}
	return all
}

// askingProbe is one that can be asked how an upload ended.
type askingProbe struct {
	asking
	upload.Prober
}

// open opens the provider of a definition on the script.
func (s *script) open(d *provider.Definition) spec.Provider {
	s.t.Helper()
	settings := spec.Settings{Client: s, Options: s.life[0].Given.Options, Keys: []spec.Secret{key(testKey)}}
	if s.base = d.BaseFor(settings.Options); s.base == "" {
		s.base = "https://api.example"
		settings.Base = s.base
	}
	p, err := d.Open(settings)
	if err != nil {
		s.t.Fatal(err)
	}
	s.single = d.Limits.URLsAtOnce == 1
	a := asking{p, p.(upload.Stepper), p.(upload.Confirmer), p.(upload.Readier), s}
	if probe, ok := p.(upload.Prober); ok {
		return &askingProbe{a, probe}
	}
	return &a
}
