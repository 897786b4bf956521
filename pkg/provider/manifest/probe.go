package manifest

import (
	"context"
	"net/http"

	"github.com/multiput/multiput/pkg/upload"
)

// probing is a speaker whose API can be asked how an upload ended.
type probing struct{ *speaker }

// Probe asks whether the upload was completed. An answer from which that cannot
// be told is not an error.
func (p *probing) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	st := p.m.stepsFor(u.File)
	if st.probe == nil {
		return upload.Unknown, upload.Result{}, nil
	}
	s, err := p.scope(u)
	if err != nil {
		return upload.Unknown, upload.Result{}, &unsent{err}
	}
	c := call{request: &st.probe.request, what: "ask whether the upload was completed"}
	a, err := p.send(ctx, c, s)
	if err != nil {
		return upload.Unknown, upload.Result{}, err
	}
	if !a.final() || a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return upload.Unknown, upload.Result{}, p.succeeded(ctx, c, a, s)
	}
	if a.notAnAPI() || p.keep(ctx, c.request, a, s) != nil {
		return upload.Unknown, upload.Result{}, nil //nolint:nilerr // what cannot be read does not tell
	}
	p.remember(u.ID, c.request, s)
	switch done, err := st.probe.done.one(ctx, a.value, s); {
	case err == nil && done == true:
		e := st.probe.result
		if e == nil && st.complete != nil {
			e = st.complete.result
		}
		r, err := p.completed(ctx, e, a, s)
		return upload.Completed, r, err
	case err == nil && done == false:
		return upload.NotCompleted, upload.Result{}, nil
	}
	return upload.Unknown, upload.Result{}, nil
}

// checkpointingProbing is a speaker whose API can do both.
type checkpointingProbing struct{ checkpointing }

// Probe asks whether the upload was completed.
func (p *checkpointingProbing) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	return (&probing{p.speaker}).Probe(ctx, u)
}
