package manifest

import (
	"context"
	"fmt"
	"net/http"

	"github.com/multiput/multiput/pkg/upload"
)

// Readiness says how to wait for the file; nil: there is nothing to wait for.
func (p *speaker) Readiness(u upload.Upload) *upload.Readiness {
	r := p.m.stepsFor(u.File).ready
	if r == nil {
		return nil
	}
	return &upload.Readiness{Every: r.every, Timeout: r.timeout, Required: r.required}
}

// Ready asks once whether the file is ready. A reply that cannot be read is as
// if it were not.
func (p *speaker) Ready(ctx context.Context, u upload.Upload, was upload.Result) (bool, upload.Result, error) {
	s, err := p.scope(u)
	if err != nil {
		return false, was, &unsent{err}
	}
	step := p.m.stepsFor(u.File).ready
	c := call{request: &step.request, what: "ask whether the file is ready"}
	a, err := p.send(ctx, c, s)
	if err != nil {
		return false, was, err
	}
	if !a.final() || a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return false, was, p.succeeded(ctx, c, a, s)
	}
	if err := p.keep(ctx, c.request, a, s); err != nil || a.notAnAPI() {
		return false, was, p.notReady(a) // what cannot be read does not tell
	}
	p.remember(u.ID, &step.request, s)
	if step.failed != nil {
		if v, err := step.failed.one(ctx, a.value, s); err == nil {
			if message, ok := toText(v); ok && message != "" {
				return false, was, &failedError{a.op + ": " + p.shown(s, message)}
			}
		}
	}
	if step.ok != nil && !p.says(ctx, step.ok, a, s) || !p.says(ctx, step.done, a, s) {
		return false, was, p.notReady(a)
	}
	if step.result == nil {
		return true, was, nil
	}
	result, err := p.result(ctx, step.result, a, s)
	if err != nil {
		return false, was, p.notReady(a)
	}
	return true, result, nil
}

// notReady is an answer that does not say that the file is ready.
func (p *speaker) notReady(a *answer) error {
	what := a.kind
	if !a.notAnAPI() && len(a.Body) > 0 {
		what = p.quote(a)
	}
	return &notReadyError{fmt.Sprintf("%s: the answer (status %d) was %s", a.op, a.Status, p.shown(a.scope, what))}
}

// notReadyError reads as the answer alone.
type notReadyError struct{ text string }

func (e *notReadyError) Error() string { return e.text }
func (e *notReadyError) Unwrap() error { return upload.ErrNotReady }

// failedError says that the provider could not make the file ready. It wraps
// upload.ErrRefused.
type failedError struct{ text string }

func (e *failedError) Error() string { return e.text }
func (e *failedError) Unwrap() error { return upload.ErrRefused }
