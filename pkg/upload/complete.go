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
	r.explainComplete(len(receipts), verified)
	r.observe(Finishing{})
	result, doubt, err := r.end(ctx, rec.Upload, receipts, d, doubt)
	switch {
	case err == nil:
		return r.done(ctx, rec, result, verified)
	case errors.Is(err, ErrChecksum):
		return r.corrupt(ctx, rec, err)
	case errors.Is(err, ErrCompleted):
		return fmt.Errorf("the provider says that it was completed, and nothing that its result could be read from: %w: %w", ErrDoubt, err)
	case doubt && (errors.Is(err, ErrDenied) || errors.Is(err, ErrUnfinished)):
		// With other credentials, or later, it can be asked again.
		return fmt.Errorf("complete was sent, and whether it was done is not known yet: %w", err)
	case doubt:
		return fmt.Errorf("complete was sent, and no clear answer came: %w: %w", ErrDoubt, err)
	}
	// It was clearly not completed: the next run may try with what is stored.
	if back := r.entry.Advance(context.WithoutCancel(ctx), Sending, nil); back != nil {
		return errors.Join(err, back)
	}
	rec.State = Sending
	return r.lost(unfinished(err))
}

// end sends complete until there is a clear answer or the policy is used up. It
// is in doubt once a request may have been acted on without an answer that says
// so. Then the provider is asked, where it can be: before complete is sent
// again, and at last. An error in doubt leaves the outcome open.
func (r *run) end(ctx context.Context, up Upload, rs []Receipt, d Digests, doubt bool) (result Result, _ bool, err error) {
	answering, stop := afterGrace(ctx)
	defer stop()
	prober, _ := r.Provider.(Prober)
	err = r.attempts(ctx, "complete", func(context.Context) (err error) {
		if doubt && prober != nil {
			var answer Answer
			answer, result, err = prober.Probe(answering, up)
			r.explainProbe(answer, err)
			if answer == Completed || mustWait(err) {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		result, err = r.Provider.Complete(answering, up, rs, d)
		doubt = doubt || err != nil && !clearly(err)
		return err
	})
	// Gone may mean completed, by another run of which this one does not know.
	if err == nil || !doubt && !errors.Is(err, ErrGone) || prober == nil || ctx.Err() != nil || errors.Is(err, ErrChecksum) || errors.Is(err, ErrDenied) {
		return result, doubt, err
	}
	answer := Unknown
	ask := func(context.Context) (err error) {
		answer, result, err = prober.Probe(answering, up)
		r.explainProbe(answer, err)
		return err
	}
	var asked error
	if passes(err) {
		asked = ask(ctx) // the policy is used up
	} else {
		asked = r.attempts(ctx, "ask whether it was completed", ask)
	}
	switch {
	case answer == Completed:
		return result, true, asked
	case errors.Is(err, ErrCompleted): // whatever it says now
		return Result{}, true, err
	case errors.Is(asked, ErrDenied):
		return Result{}, true, asked
	case !doubt:
		return Result{}, false, err
	case answer != NotCompleted:
		return Result{}, true, err
	case clearly(err) && !passes(err):
		return Result{}, false, err
	}
	return Result{}, true, fmt.Errorf("%w: the provider says that it was not completed; the last try of complete: %w", ErrUnfinished, err)
}

// mustWait reports whether a failed question says that no other request would
// do better now. Any other failure of it is no reason not to send complete.
func mustWait(err error) bool {
	return errors.Is(err, ErrDenied) || passes(err) && clearly(err)
}

// corrupt gives up an upload of which the provider says that it is not the
// file. The next run begins a new one.
func (r *run) corrupt(ctx context.Context, rec *Record, why error) error {
	if err := r.entry.Advance(context.WithoutCancel(ctx), Corrupt, nil); err != nil {
		return errors.Join(why, err)
	}
	rec.State = Corrupt
	r.abandon(ctx, rec.Upload)
	return fmt.Errorf("the provider says that what it put together is not the file: %w", why)
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
	for _, no := range []error{ErrRefused, ErrGone, ErrDenied, ErrChecksum, ErrUnverified, ErrUnsent} {
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
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true // somebody else is to do it; the others may mean that the answer is elsewhere
	case http.StatusServiceUnavailable:
		// A proxy says it too, of a server that it lost in the middle; but it
		// does not know when to come again.
		return t.RetryAfter() > 0
	}
	return t.Unsent
}
