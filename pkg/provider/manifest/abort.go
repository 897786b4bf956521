package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/multiput/multiput/pkg/upload"
)

// Abort aborts the upload. Where the API has no call for that, the error wraps
// errors.ErrUnsupported and nothing is sent.
func (p *speaker) Abort(ctx context.Context, u upload.Upload) error {
	st := p.m.stepsFor(u.File)
	if st.abort == nil {
		return fmt.Errorf("%s: abort the upload: the API has no call for it: %w", p.m.title, errors.ErrUnsupported)
	}
	s, err := p.scope(u)
	if err != nil {
		return err
	}
	for _, r := range st.abort.requests {
		c := call{request: r, what: "abort the upload", created: true}
		a, err := p.send(ctx, c, s)
		if err != nil {
			return err
		}
		err = p.succeeded(ctx, c, a, s)
		switch {
		case errors.Is(err, upload.ErrGone):
			return nil
		case err != nil && a.final() && p.wasCompleted(ctx, st, a, s):
			return &failure{upload.ErrCompleted, p.refused(ctx, a, s)}
		case err != nil:
			return err
		}
	}
	return nil
}

// wasCompleted reports whether an answer says that the upload was completed.
func (p *speaker) wasCompleted(ctx context.Context, st *steps, a *answer, s *scope) bool {
	return st.complete != nil && slices.ContainsFunc(st.complete.requests, func(r *request) bool { return p.says(ctx, r.already, a, s) })
}

// sendingTo makes of the refusal of a request for a part one that says that the upload
// was completed, where the answer does.
func (p *speaker) sendingTo(ctx context.Context, u upload.Upload, a *answer, s *scope, err error) error {
	st := p.m.stepsFor(u.File)
	if !errors.Is(err, upload.ErrRefused) && !errors.Is(err, upload.ErrGone) || a == nil || !p.wasCompleted(ctx, st, a, s) {
		return err
	}
	r, _ := p.completed(ctx, st.complete.result, a, s) // without a result it was completed all the same
	return &upload.CompletedError{Result: r, Err: err}
}
