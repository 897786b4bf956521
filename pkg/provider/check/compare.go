package check

import (
	"bytes"
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

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// errorWords are what a sample calls errors.
var errorWords = map[string]error{
	"expired": upload.ErrExpired, "gone": upload.ErrGone, "denied": upload.ErrDenied, "refused": upload.ErrRefused,
	"completed": upload.ErrCompleted, "checksum": upload.ErrChecksum, "reply": upload.ErrReply,
	"unverified": upload.ErrUnverified, "pending": upload.ErrUnfinished,
}

// endedAs compares how a call ended with what the sample wants, and reports
// whether there is more to compare.
func (r *replay) endedAs(err error) bool {
	if text, ok := r.sample.Want["message"]; ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprint(text))) {
		r.fail("want.message", "is not in what it says: %v", err)
	}
	word, wanted := r.sample.Want["error"].(string)
	sentinel := errorWords[word]
	switch {
	case !wanted && err != nil:
		r.fail("", "%v", err)
		return false
	case !wanted:
		return true
	case sentinel == nil:
		names := slices.Sorted(maps.Keys(errorWords))
		r.fail("want.error", "is %q%s; the errors are %s", word, text.DidYouMean(word, names), strings.Join(names, ", "))
	case err == nil:
		r.fail("want.error", "did not happen: it went well")
	case !errors.Is(err, sentinel):
		r.fail("want.error", "is another: %v", err)
	}
	return false
}

// compare compares what came of a call with what the sample wants of it. Of a
// presigned URL, only what the sample names counts.
func (r *replay) compare(got map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(r.sample.Want)) {
		have, want := asJSON(got[k]), asJSON(r.sample.Want[k])
		if k == "urls" || k == "keep" {
			likewise(have, want, k == "urls")
		}
		r.differ("want."+k, have, want)
	}
}

// likewise leaves of the object, or the list of objects, have only those fields
// that want has. Of a presigned URL, the names of headers are the same in any case.
func likewise(have, want any, presigned bool) {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return
		}
		maps.DeleteFunc(h, func(k string, _ any) bool { _, named := w[k]; return !named })
		if headers, ok := w["headers"].(map[string]any); ok && presigned {
			for name, v := range maps.Clone(headers) {
				delete(headers, name)
				headers[http.CanonicalHeaderKey(name)] = v
			}
			likewise(h["headers"], headers, false)
		}
	case []any:
		hs, _ := have.([]any)
		for i := range min(len(hs), len(w)) {
			likewise(hs[i], w[i], presigned)
		}
	}
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
func (r *replay) differ(key string, have, want any) {
	if path, h, w, differs := difference(asJSON(have), want); differs {
		r.fail(key, "%s", strings.TrimSpace(path+" is "+h+", and the sample wants "+w))
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
func (r *replay) Do(_ context.Context, q transport.Request) (*transport.Reply, error) {
	if r.request++; r.request > 1 {
		// A further request of the same call is the next sample.
		if len(r.left) == 0 || r.left[0].Step != r.sample.Step {
			return nil, errNoSample
		}
		r.next()
	}
	var body []byte // not that of a part whose bytes are not given
	if q.Body != nil && (!q.Bulk || r.sample.Given.Bytes != nil) {
		var err error
		if body, err = io.ReadAll(q.Body); err != nil {
			return nil, err
		}
		q.Body = bytes.NewReader(body)
	}
	if r.sample.Request != nil {
		r.asked(q, body)
	}
	h := http.Header{}
	for k, v := range r.sample.Reply.Header {
		h.Set(k, v)
	}
	if _, err := exact.Decode([]byte(r.sample.Reply.Body)); err == nil && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return q.Answer(r.sample.Reply.Status, h, []byte(r.sample.Reply.Body)), nil
}

// asked compares a request with the one that the sample has.
func (r *replay) asked(q transport.Request, body []byte) {
	want := r.sample.Request
	if got := q.Method + " " + r.target(q.URL); !sameSend(got, want.Send) {
		r.fail("request.send", "is %s, and the sample wants %s", got, want.Send)
	}
	for name, v := range want.Header {
		if got := strings.ReplaceAll(q.Header.Get(name), sampleSecret, "{secret}"); got != v {
			r.fail("request.headers."+name, "is %q, and the sample wants %q", got, v)
		}
	}
	fields, err := fieldsOf(q, q.Body)
	if err != nil {
		r.fail("request.fields", "%v", err)
		return
	}
	var wanted any
	if want.Fields != nil {
		wanted = asJSON(want.Fields)
	}
	var have any
	if fields != nil {
		have = fields
	}
	r.differ("request.fields", have, wanted)
	if q.Bulk || fields != nil {
		return
	}
	if want.Text != nil {
		if got := strings.ReplaceAll(string(body), sampleSecret, "{secret}"); got != *want.Text {
			r.fail("request.text", "is %q, and the sample wants %q", got, *want.Text)
		}
		return
	}
	var got any
	if len(body) > 0 {
		if got, err = exact.Decode(body); err != nil {
			r.fail("request.body", "%v", err)
			return
		}
	}
	r.differ("request.body", got, want.Body)
}

// sameSend reports whether two requests go to one place: what counts of a query are
// its names and values, and neither their order nor how they are escaped.
func sameSend(have, want string) bool {
	have, haveQuery, _ := strings.Cut(have, "?")
	want, wantQuery, _ := strings.Cut(want, "?")
	return have == want && (haveQuery == wantQuery || slices.Equal(pairs(haveQuery), pairs(wantQuery)))
}

// pairs are the names and values of a query, in an order that is always the same.
func pairs(query string) (all []string) {
	for _, pair := range strings.Split(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		for _, s := range []*string{&name, &value} {
			if plain, err := url.QueryUnescape(*s); err == nil {
				*s = plain
			}
		}
		if pair != "" {
			all = append(all, fmt.Sprintf("%q=%q", name, value))
		}
	}
	slices.Sort(all)
	return all
}

// target is a URL as the sample writes it: whole, or below the base.
func (r *replay) target(address string) string {
	if _, to, _ := strings.Cut(r.sample.Request.Send, " "); strings.HasPrefix(to, "/") {
		return strings.TrimPrefix(address, r.base)
	}
	return address
}

// fieldsOf are the fields of a form, but for its file; nil where the request is
// none.
func fieldsOf(q transport.Request, body io.Reader) (map[string]any, error) {
	kind, params, err := mime.ParseMediaType(q.Header.Get("Content-Type"))
	if err != nil {
		return nil, nil //nolint:nilerr // no media type is no form's
	}
	values := url.Values{}
	switch kind {
	case "application/x-www-form-urlencoded":
		var text []byte
		if text, err = io.ReadAll(body); err == nil {
			values, err = url.ParseQuery(string(text))
		}
	case "multipart/form-data":
		if values, err = formValues(multipart.NewReader(body, params["boundary"])); len(values) == 0 {
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

// formValues reads the fields of a form that come before its file.
func formValues(form *multipart.Reader) (url.Values, error) {
	values := url.Values{}
	for {
		field, err := form.NextPart()
		if errors.Is(err, io.EOF) || err == nil && field.FileName() != "" {
			return values, nil
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(field)
		}
		if err != nil {
			return nil, err
		}
		values.Add(field.FormName(), string(text))
	}
}
