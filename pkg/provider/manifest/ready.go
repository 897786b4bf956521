package manifest

import (
	"context"
	"net/http"

	"github.com/multiput/multiput/pkg/transport"
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
// if it were not; failed, and a refused key, are errors.
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
	if a.notAnAPI() || p.keep(ctx, c.request, a, s) != nil {
		return false, was, nil //nolint:nilerr // what cannot be read does not tell
	}
	if step.failed != nil {
		if v, err := step.failed.one(ctx, a.value, s); err == nil {
			if message, ok := toText(v); ok && message != "" {
				return false, was, &failedError{a.op + ": " + p.hidden.Replace(transport.Clean(message))}
			}
		}
	}
	if step.ok != nil && !p.says(ctx, step.ok, a, s) || !p.says(ctx, step.done, a, s) {
		return false, was, nil
	}
	if step.result == nil {
		return true, was, nil
	}
	result, err := p.result(ctx, step.result, a, s)
	if err != nil {
		return false, was, nil //nolint:nilerr // a reply that cannot be read: not ready
	}
	return true, result, nil
}

// failedError says that the provider could not make the file ready. It wraps
// upload.ErrRefused.
type failedError struct{ text string }

func (e *failedError) Error() string { return e.text }
func (e *failedError) Unwrap() error { return upload.ErrRefused }
