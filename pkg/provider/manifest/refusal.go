package manifest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// failure is an exchange that failed, with what it means. It reads as the
// exchange alone.
type failure struct {
	means error // a sentinel of package upload
	err   *transport.Error
}

func (f *failure) Error() string   { return f.err.Error() }
func (f *failure) Unwrap() []error { return []error{f.means, f.err} }

// unusable is an answer that cannot be used. It wraps upload.ErrReply.
type unusable struct {
	op, key, reason string
	again           bool // whether the same exchange may go better
	own             bool // whether the manifest says so itself
}

func (e *unusable) Error() string {
	key := e.key
	if key != "" {
		key = ": " + key
	}
	return e.op + ": " + upload.ErrReply.Error() + key + ": " + e.reason
}

func (e *unusable) Unwrap() []error {
	if e.own {
		return []error{upload.ErrReply, spec.ErrOwn}
	}
	return []error{upload.ErrReply}
}

func (e *unusable) Temporary() bool           { return e.again }
func (e *unusable) MostTries() int            { return 3 }
func (e *unusable) RetryAfter() time.Duration { return 0 }

// unusableFor is an unusable answer; again says whether the same exchange may
// go better the next time.
func (p *speaker) unusableFor(a *answer, key string, again bool, format string, args ...any) error {
	return &unusable{op: a.op, key: key, reason: p.shown(a.scope, fmt.Sprintf(format, args...)), again: again}
}

func (p *speaker) unusable(a *answer, key, format string, args ...any) error {
	return p.unusableFor(a, key, false, format, args...)
}

// misread says that an expression could not read an answer.
func (p *speaker) misread(a *answer, e *expr, err error) error {
	if own := ownError(err); own != "" {
		return &unusable{op: a.op, key: e.key, reason: p.shown(a.scope, own), own: true}
	}
	switch {
	case a.kind == brokenJSON:
		return p.unusable(a, e.key, "%v; the answer was %s", err, a.kind)
	case a.text != "":
		return p.unusable(a, e.key, "%v; the answer was %s, not JSON: is this the API's URL?", err, a.kind)
	case len(a.Body) == 0:
		return p.unusable(a, e.key, "%v; the answer was %s", err, a.kind)
	}
	return p.unusable(a, e.key, "%v", err)
}

// refusal says what kind of exchange was refused.
type refusal struct {
	api     bool // the API answered; otherwise a store did
	created bool // there is an upload, which can be gone
	given   bool // its URL was given, without a key: it may be presigned
	expired bool // the presigned URL has expired
}

var errNotAPI = errors.New("is this the API's URL?")

// refusal makes an error of an answer that is one.
func (p *speaker) refusal(ctx context.Context, a *answer, s *scope, r refusal) error {
	code, message, id := p.told(ctx, a, s)
	x := storeerr.Read(a.Body)
	if x != nil {
		code, message, id = x.Code, p.hidden.Replace(x.Message), x.RequestID
	}
	if message == "" && a.isJSON && !isEmpty(a.value) {
		message = p.quote(a) // in a shape of its own
	}
	e := p.clean(s, a.Error(code, message, id))
	if a.Status >= 300 && a.Status < 400 {
		to := a.Redirect(r.given)
		if x != nil && to.To == "" {
			to.To = transport.Clean(x.Endpoint)
		}
		to.To = p.hiding(s)(to.To)
		e.Err, e.Retry = to, false
		return &failure{upload.ErrReply, e}
	}
	if r.api && x == nil && !a.isJSON && p.textOf(ctx, p.m.failure.message, a, s) == "" && a.Status != http.StatusTooManyRequests && a.Status < 500 && strings.TrimSpace(a.text) != "" {
		e.Err = fmt.Errorf("the answer was %s: %w", a.kind, errNotAPI)
	}
	if x.Temporary(a.Status) || a.Status >= 300 && p.says(ctx, p.m.failure.retry, a, s) {
		e.Retry = true
	}
	switch {
	case !r.api && (r.expired || x.Expired(a.Status)):
		e.Retry = false
		return &failure{upload.ErrExpired, e}
	case r.created && (p.gone(ctx, a, s) || x.Gone(a.Status)):
		e.Retry = false
		return &failure{upload.ErrGone, e}
	case r.api && (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden):
		return &failure{upload.ErrDenied, e}
	case e.Retry || a.Status >= 500 && a.Status != http.StatusNotImplemented && a.Status != http.StatusHTTPVersionNotSupported:
		return e // neither a yes nor a no
	}
	return &failure{upload.ErrRefused, e}
}

// refused is an exchange whose answer is a no for good.
func (p *speaker) refused(ctx context.Context, a *answer, s *scope) *transport.Error {
	code, message, id := p.told(ctx, a, s)
	if message == "" {
		message = p.quote(a)
	}
	e := p.clean(s, a.Error(code, message, id))
	e.Retry = false
	return e
}

// clean takes the secrets out of an error, once all else is taken out that
// might have split them.
func (p *speaker) clean(s *scope, e *transport.Error) *transport.Error {
	hiding := p.hiding(s)
	for _, text := range []*string{&e.Message, &e.Code, &e.RequestID, &e.URL} {
		*text = hiding(*text)
	}
	return e
}

// gone reports whether the API says, in so many words, that it no longer knows
// the upload.
func (p *speaker) gone(ctx context.Context, a *answer, s *scope) bool {
	return p.says(ctx, p.m.failure.gone, a, s)
}

// says reports whether an expression is exactly true of an answer.
func (p *speaker) says(ctx context.Context, e *expr, a *answer, s *scope) bool {
	if e == nil {
		return false
	}
	v, err := e.one(ctx, a.value, s)
	return err == nil && v == true
}

// told reads what the API says of an error: by the manifest's expressions, and
// failing them where most APIs have it.
func (p *speaker) told(ctx context.Context, a *answer, s *scope) (code, message, id string) {
	read := func(e *expr) string { return p.textOf(ctx, e, a, s) }
	code, message, id = read(p.m.failure.code), read(p.m.failure.message), read(p.m.failure.requestID)
	switch {
	case message != "":
	case a.isJSON:
		message = usualMessage(a.value)
	default:
		message = storeerr.Words(a.text)
	}
	return code, message, id
}

// textOf is the text that an expression reads out of an answer; empty: none.
func (p *speaker) textOf(ctx context.Context, e *expr, a *answer, s *scope) string {
	if e == nil {
		return ""
	}
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return ""
	}
	text, _ := toText(v)
	return strings.TrimSpace(text)
}

// usualMessage is the message of an error in one of the shapes that APIs use.
func usualMessage(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	m, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	messageOf := func(v any) string {
		m, _ := v.(map[string]any)
		s, _ := m["message"].(string)
		return s
	}
	if s := messageOf(m["error"]); s != "" {
		return s
	}
	if list, ok := m["errors"].([]any); ok {
		var all []string
		for _, e := range list {
			if s, ok := e.(string); ok {
				all = append(all, s)
			} else if s := messageOf(e); s != "" {
				all = append(all, s)
			}
		}
		if len(all) > 0 {
			return strings.Join(all, "; ")
		}
	}
	for _, k := range []string{"message", "detail", "error"} {
		if s, ok := m[k].(string); ok && s != "" {
			return s
		}
	}
	return ""
}
