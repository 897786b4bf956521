package check

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Transcript is a client that writes exchanges down, as samples. It is given to
// Open instead of its Client, and to Live. It may be used by several goroutines.
type Transcript struct {
	Client spec.Client
	Base   string   // of the API: what lies below it is written so
	Text   string   // of the manifest: the headers of replies that it reads are written down
	Hide   []string // the key, and other secrets

	mu      sync.Mutex
	step    string
	given   map[string]any // of the next sample
	began   map[string]any // of the first sample of the step
	first   int            // the first sample of this attempt
	samples []recorded
	replies [][]byte
	secrets map[string]bool // texts that replies have under names such as token
	named   map[string]bool // of those, the short ones, which may be words
	short   map[string]bool // of these, the ones that are kept: replaced where they stand alone
}

// recorded is a sample as it is written.
type recorded struct {
	Step    string         `yaml:"step"`
	Given   map[string]any `yaml:"given,omitempty,flow"`
	Request struct {
		Send   string         `yaml:"send"`
		Body   any            `yaml:"body,omitempty"`
		Fields map[string]any `yaml:"fields,omitempty"`
		Text   string         `yaml:"text,omitempty"`
	} `yaml:"request"`
	Reply struct {
		Status  int               `yaml:"status"`
		Headers map[string]string `yaml:"headers,omitempty"`
		Body    any               `yaml:"body,omitempty"`
		Text    string            `yaml:"text,omitempty"`
	} `yaml:"reply"`

	presigned bool // its URL is one that the API gave
}

// begin says of which step the next exchanges are.
func (r *Transcript) begin(step string, given map[string]any) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step, r.given, r.began, r.first = step, given, given, len(r.samples)
}

// again says that the step is retried: of what came of this attempt, no sample
// would pass.
func (r *Transcript) again() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given, r.samples = r.began, r.samples[:r.first]
}

// continues says that only the last request of the step is repeated: those before it stand.
func (r *Transcript) continues() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.began = len(r.samples)-1, nil
}

// wantsBytes reports whether create may have to know the bytes of the file.
func (r *Transcript) wantsBytes() bool { return r != nil && strings.Contains(r.Text, "digests") }

// Do makes an exchange and writes it down.
func (r *Transcript) Do(ctx context.Context, q transport.Request) (*transport.Reply, error) {
	var sent bytes.Buffer
	if q.Body != nil {
		q.Body = io.TeeReader(q.Body, &sent)
	}
	reply, err := r.Client.Do(ctx, q)
	if err != nil {
		return reply, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := recorded{Step: r.step, Given: r.given}
	r.given = nil
	s.Request.Send = q.Method + " " + q.URL
	_, s.presigned = s.Given["url"]
	bare, _, _ := strings.Cut(q.URL, "?")
	for _, body := range r.replies {
		s.presigned = s.presigned || bytes.Contains(body, []byte(bare))
	}
	if fields, err := fieldsOf(q, bytes.NewReader(sent.Bytes())); err == nil && fields != nil {
		s.Request.Fields = fields
	} else if v, err := exact.Decode(sent.Bytes()); err == nil && !q.Bulk {
		s.Request.Body = v
	} else if !q.Bulk && sent.Len() > 0 {
		s.Request.Text = sent.String()
	}
	s.Reply.Status = reply.Status
	names := []string{"ETag", "Location", "Retry-After"}
	for _, found := range headerRead().FindAllStringSubmatch(r.Text, -1) {
		if name := http.CanonicalHeaderKey(found[1]); name != "Etag" {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if v := reply.Header.Get(name); v != "" {
			if s.Reply.Headers == nil {
				s.Reply.Headers = map[string]string{}
			}
			s.Reply.Headers[name] = v
			r.note(map[string]any{name: v})
		}
	}
	if v, err := exact.Decode(reply.Body); err == nil {
		s.Reply.Body = v
		r.note(v)
	} else if utf8.Valid(reply.Body) {
		s.Reply.Text = string(reply.Body)
	}
	r.samples, r.replies = append(r.samples, s), append(r.replies, reply.Body)
	return reply, nil
}

// headerRead is a header of a reply in an expression.
var headerRead = text.Pattern(`\$header\s*(?:\.\s*"?|\.?\s*\[\s*")([\w-]+)`)

// secretName is what a field is called whose value is not written down.
var secretName = text.Pattern(`(?i)token|secret|password|signature|credential|api[_-]?key|authorization|cookie`)

// leastSecret is the least length of a secret that is replaced wherever it occurs.
const leastSecret = 8

// note remembers values that are not to be written down.
func (r *Transcript) note(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			r.note(e)
		}
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && secretName().MatchString(k) {
				if r.secrets == nil {
					r.secrets, r.named, r.short = map[string]bool{}, map[string]bool{}, map[string]bool{}
				}
				map[bool]map[string]bool{true: r.secrets, false: r.named}[len(s) >= leastSecret][s] = s != ""
			}
			r.note(e)
		}
	}
}

// keeps remembers what an upload keeps: later requests show it to the API, so any
// of it may be a token. Its id names it, and stays.
func (r *Transcript) keeps(u upload.Upload) {
	if r == nil {
		return
	}
	text, err := keptOf(u)
	if err != nil {
		return
	}
	kept, err := exact.Decode(text)
	all, is := kept.(map[string]any)
	if err != nil || !is {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, v := range all {
		if name == "id" {
			continue
		}
		each(v, name, func(_, s string) string {
			switch {
			case s == u.ID || strings.Contains(s, "://"):
			case len(s) < leastSecret && r.named[s]:
				r.short[s] = true
			case len(s) >= leastSecret:
				if r.secrets == nil {
					r.secrets, r.named, r.short = map[string]bool{}, map[string]bool{}, map[string]bool{}
				}
				r.secrets[s] = true
			}
			return s
		})
	}
}

// YAML is what was written down, as a file that begins with samples:. Secrets
// and the signatures in URLs are replaced.
func (r *Transcript) YAML() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hide []string
	for _, s := range r.Hide {
		if s != "" {
			hide = append(hide, s, "{secret}", url.QueryEscape(s), "{secret}")
		}
	}
	for s := range r.secrets {
		hide = append(hide, s, redacted, url.QueryEscape(s), redacted)
	}
	hidden := strings.NewReplacer(hide...)
	clean := func(s string) string { return unsign(hidden.Replace(s)) }
	cleanField := func(name, s string) string {
		if r.short[s] || s != "" && secretName().MatchString(name) && r.named[s] {
			return redacted
		}
		return clean(s)
	}
	out := slices.Clone(r.samples)
	for i := range out {
		s := &out[i]
		s.Request.Text, s.Reply.Text = clean(s.Request.Text), clean(s.Reply.Text)
		method, to, _ := strings.Cut(s.Request.Send, " ")
		if below := strings.TrimPrefix(to, r.Base); !s.presigned && strings.HasPrefix(below, "/") {
			// The manifest makes this query: it is not part of a presigned URL.
			s.Request.Send = method + " " + unsignOf(r.unsegment(hidden.Replace(below)), func(name string) bool { return !secretName().MatchString(name) && !strings.EqualFold(name, "sig") })
		} else {
			s.Request.Send = clean(method + " " + r.unsegment(to))
		}
		s.Given, _ = each(s.Given, "", cleanField).(map[string]any)
		s.Request.Body, s.Reply.Body = each(s.Request.Body, "", cleanField), each(s.Reply.Body, "", cleanField)
		s.Request.Fields, _ = each(s.Request.Fields, "", cleanField).(map[string]any)
		for k, v := range s.Reply.Headers {
			s.Reply.Headers[k] = cleanField(k, v)
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := e.Encode(map[string]any{"samples": out})
	return b.Bytes(), err
}

// redacted stands where a secret stood.
const redacted = "REDACTED"

// unsegment replaces short secrets where they are an element of a path, or the value
// of a parameter.
func (r *Transcript) unsegment(raw string) string {
	path, query, has := strings.Cut(raw, "?")
	elements := strings.Split(path, "/")
	for i, e := range elements {
		if s, err := url.PathUnescape(e); err == nil && r.short[s] {
			elements[i] = redacted
		}
	}
	if path = strings.Join(elements, "/"); !has {
		return path
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		if s, err := url.QueryUnescape(value); err == nil && r.short[s] {
			parts[i] = name + "=" + redacted
		}
	}
	return path + "?" + strings.Join(parts, "&")
}

// each is v with f applied to each text in it, and to the name that it stands under.
func each(v any, name string, f func(name, s string) string) any {
	switch v := v.(type) {
	case string:
		return f(name, v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = each(v[i], name, f)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = each(v[k], k, f)
		}
		return out
	}
	return v
}

var (
	urlText = text.Pattern(`https?://[^\s"'<>]+\?[^\s"'<>]+`)
	// fewDigits are no signature: the number of a part, an offset.
	fewDigits = text.Pattern(`^[0-9]{1,6}$`)
	// plainParameters are those of a URL that sign nothing.
	plainParameters = text.Pattern(`(?i)^(partNumber|uploadId|uploads|x-id|X-(Amz|Goog)-(Date|Expires|Algorithm|SignedHeaders)|s[eptvrk]|comp|blockid)$`)
)

// unsign replaces the values of all parameters in URLs that may sign something.
func unsign(s string) string { return unsignAll(s, plainParameters().MatchString) }

func unsignAll(s string, plain func(name string) bool) string {
	return urlText().ReplaceAllStringFunc(s, func(raw string) string { return unsignOf(raw, plain) })
}

// unsignOf replaces the values of the parameters of a URL that are not plain.
func unsignOf(raw string, plain func(name string) bool) string {
	path, query, has := strings.Cut(raw, "?")
	if !has {
		return raw
	}
	parts := strings.Split(query, "&")
	for i, p := range parts {
		name, value, has := strings.Cut(p, "=")
		within, err := url.QueryUnescape(value)
		switch {
		case !has:
		case !plain(name) && (secretName().MatchString(name) || !fewDigits().MatchString(value)):
			parts[i] = name + "=" + redacted
		case err == nil && unsignAll(within, plain) != within:
			parts[i] = name + "=" + url.QueryEscape(unsignAll(within, plain))
		}
	}
	return path + "?" + strings.Join(parts, "&")
}
