package upload

import (
	"context"
	"errors"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// Abort gives an upload up at the provider, trying as often as the policy
// allows. One that is already gone is no error. Where the API has no call for
// it, the error wraps errors.ErrUnsupported. The journal is left alone.
func (u *Uploader) Abort(ctx context.Context, up Upload) error {
	r := &run{Uploader: u, started: time.Now()}
	r.budget = &transport.Budget{Most: u.Retry.Retries}
	err := r.retry(ctx, "abort", func(ctx context.Context) error { return u.Provider.Abort(ctx, up) })
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
