package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/multiput/multiput/pkg/transport"
)

// complete ends the upload at the provider. The journal says "completing"
// before anything is sent; an answer that is not clear leaves it so.
func (r *run) complete(ctx context.Context, rec *Record) error {
	receipts := make([]Receipt, len(rec.Upload.Parts))
	for i, p := range rec.Upload.Parts {
		var ok bool
		if receipts[i], ok = rec.Receipts[p.Number]; !ok {
			return fmt.Errorf("%w: it has no receipt of part %d", ErrJournal, p.Number)
		}
	}
	d, err := r.digests(ctx, rec)
	if err != nil {
		return err
	}
	// The digests may have read the file: whatever they read must be of the
	// same version as the parts.
	if err := r.src.Same(); err != nil {
		return err
	}
	verified := r.verification(rec)
	if r.Checksum == ChecksumRequire && verified == Unverified {
		return errUnproven
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// An earlier run may have sent complete and died before the answer.
	doubt := rec.State == Completing
	if !doubt {
		if err := r.entry.Advance(ctx, Completing, nil); err != nil {
			return err
		}
		rec.State = Completing
	}
	r.observe(Ending{})
	result, doubt, err := r.sendComplete(ctx, rec.Upload, receipts, d, doubt)
	switch {
	case err == nil:
		return r.done(ctx, rec, result, verified)
	case doubt && !errors.Is(err, ErrDenied):
		return fmt.Errorf("complete was sent, and no clear answer came: %w: %w", ErrDoubt, err)
	case doubt:
		return err // with other credentials it can be asked again
	}
	// It was clearly not completed: the next run may try with what is stored.
	if back := r.entry.Advance(context.WithoutCancel(ctx), Sending, nil); back != nil {
		return errors.Join(err, back)
	}
	rec.State = Sending
	return r.lost(unfinished(err))
}

// sendComplete sends complete until there is a clear answer or the policy is
// used up. It is in doubt once a request may have been acted on without an
// answer that says so.
func (r *run) sendComplete(ctx context.Context, up Upload, rs []Receipt, d Digests, doubt bool) (Result, bool, error) {
	var result Result
	answering, stop := afterGrace(ctx)
	defer stop()
	err := r.attempts(ctx, "complete", func(context.Context) (err error) {
		result, err = r.Provider.Complete(answering, up, rs, d)
		doubt = doubt || err != nil && !clearly(err)
		return err
	})
	return result, doubt, err
}

// done makes the provider's confirmation durable.
func (r *run) done(ctx context.Context, rec *Record, result Result, verified string) error {
	outcome := &Outcome{Result: result, Verification: verified}
	if err := r.entry.Advance(context.WithoutCancel(ctx), Done, outcome); err != nil {
		return fmt.Errorf("the provider confirmed the upload (%s), which could not be recorded: %w", result.Value, err)
	}
	rec.State, rec.Outcome = Done, outcome
	return nil
}

// clearly reports whether an error of complete says for certain that nothing
// was completed: a refusal, a request that never left, a wish to come later
// that was made before any work.
func clearly(err error) bool {
	for _, no := range []error{ErrRefused, ErrGone, ErrDenied, ErrUnverified, ErrUnsent} {
		if errors.Is(err, no) {
			return true
		}
	}
	var t *transport.Error
	if !errors.As(err, &t) {
		return false
	}
	switch t.Status {
	case http.StatusTooManyRequests:
		return true
	case http.StatusServiceUnavailable:
		// A proxy says it too, of a server that it lost in the middle; but it
		// does not know when to come again.
		return t.RetryAfter() > 0
	}
	return t.Unsent
}
