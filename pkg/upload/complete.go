package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// complete ends the upload at the provider. The journal says "completing"
// before anything is sent; an answer that is not clear leaves it so.
func (s *session) complete(ctx context.Context) error {
	switch {
	case s.ledger.rec.State == Waiting:
		return s.wait(ctx)
	case s.ledger.rec.Upload.Whole:
		return s.sendWhole(ctx)
	}
	receipts, err := s.ledger.receipts()
	if err != nil {
		return err
	}
	d, err := s.digests(ctx)
	if err != nil {
		return err
	}
	// The digests may have read the file: whatever they read must be of the
	// same version as the parts.
	if err := s.src.Same(); err != nil {
		return err
	}
	verified := s.ledger.verification()
	if s.Checksum == ChecksumRequire && verified == Unverified {
		return errUnproven
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// An earlier run may have been killed between complete and its answer.
	doubt := s.ledger.rec.State == Completing
	if !doubt {
		if err := s.ledger.advance(ctx, Completing, nil); err != nil {
			return err
		}
	}
	s.observe(Finishing{Receipts: len(receipts), Verification: verified})
	for {
		var a Answered
		a, doubt, err = s.end(ctx, s.ledger.rec.Upload, receipts, d, doubt)
		switch {
		case err != nil:
			return s.undone(ctx, doubt, a.More, err)
		case !a.More:
			return s.confirmed(ctx, a, verified)
		}
		// One of several requests was clearly answered: the next is another matter.
		if err := s.ledger.step(ctx, a.Data); err != nil {
			return err
		}
		doubt = false
	}
}

// confirmed is what comes after a clear yes: the upload is done, or waits for
// its file to get ready.
func (s *session) confirmed(ctx context.Context, a Answered, verified string) error {
	state := Done
	if how := s.readiness(); how != nil && how.Required {
		state = Waiting
	}
	outcome := &Outcome{Result: a.Result, Verification: verified}
	if err := s.ledger.finish(context.WithoutCancel(ctx), state, outcome, a.Data); err != nil {
		return fmt.Errorf("the provider confirmed the upload (%s), which could not be recorded: %w", a.Result.Value, err)
	}
	s.observe(Unclear{})
	if state == Waiting {
		return s.wait(ctx)
	}
	return nil
}

// undone is what comes after a request that ends an upload failed; more says that it
// is not the last of them.
func (s *session) undone(ctx context.Context, doubt, more bool, err error) error {
	switch {
	case errors.Is(err, ErrChecksum):
		return s.corrupt(ctx, err)
	case errors.Is(err, ErrCompleted):
		return fmt.Errorf("the provider says that it was completed, without a result: %w: %w", ErrDoubt, err)
	case doubt && (errors.Is(err, ErrDenied) || errors.Is(err, ErrUnfinished)):
		// With other credentials, or later, it can be asked again.
		return fmt.Errorf("the upload may or may not have completed, which is not known yet: %w", err)
	case doubt && more:
		return fmt.Errorf("the upload may or may not have completed: a request before the final one got no clear answer: %w: %w", ErrDoubt, err)
	case doubt:
		return fmt.Errorf("the upload may or may not have completed: the final request got no clear answer: %w: %w", ErrDoubt, err)
	}
	// It was clearly not completed: the next run may try with what is stored.
	if back := s.ledger.advance(context.WithoutCancel(ctx), Sending, nil); back != nil {
		return errors.Join(err, back)
	}
	return s.lost(unfinished(err))
}

// end sends complete until there is a clear answer or the policy is used up. It
// is in doubt once a request may have been acted on without an answer that says
// so. Then the provider is asked, where it can be: before complete is sent
// again, and at last. An error in doubt leaves the outcome open.
//
// Of several requests it sends the one that is next.
func (s *session) end(ctx context.Context, up Upload, rs []Receipt, d Digests, doubt bool) (a Answered, _ bool, err error) {
	answering, stop := afterGrace(ctx)
	defer stop()
	prober, _ := s.Provider.(Prober)
	err = s.attempts(ctx, OpComplete, func(context.Context) (err error) {
		if doubt && prober != nil {
			var answer Answer
			answer, a.Result, err = prober.Probe(answering, up)
			a.More = a.More && answer != Completed
			s.observe(Probed{Answer: answer, Err: err})
			if answer == Completed || mustWait(err) {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		s.observe(Unclear{Is: true, Report: s.report})
		if steps, ok := s.Provider.(Stepper); ok {
			a, err = steps.CompleteStep(answering, up, rs, d)
		} else {
			a.Result, err = s.Provider.Complete(answering, up, rs, d)
		}
		doubt = doubt || err != nil && !clearly(err)
		if err != nil && !doubt {
			s.observe(Unclear{})
		}
		return err
	})
	// Gone may mean completed, by another run of which this one does not know.
	if err == nil || !doubt && !errors.Is(err, ErrGone) || prober == nil || ctx.Err() != nil || errors.Is(err, ErrChecksum) || errors.Is(err, ErrDenied) {
		return a, doubt, err
	}
	answer := Unknown
	ask := func(context.Context) (err error) {
		answer, a.Result, err = prober.Probe(answering, up)
		a.More = a.More && answer != Completed
		s.observe(Probed{Answer: answer, Err: err})
		return err
	}
	var asked error
	if temporary(err) {
		asked = ask(ctx) // the policy is used up
	} else {
		asked = s.attempts(ctx, OpProbe, ask)
	}
	switch {
	case answer == Completed:
		return a, true, asked
	case errors.Is(err, ErrCompleted): // whatever it says now
		return a, true, err
	case errors.Is(asked, ErrDenied):
		return a, true, asked
	case !doubt:
		return a, false, err
	case answer != NotCompleted:
		return a, true, err
	case clearly(err) && !temporary(err):
		return a, false, err
	}
	return a, true, fmt.Errorf("%w: the provider says that it was not completed; the last attempt to complete: %w", ErrUnfinished, err)
}

// completedElsewhere finds out, where an earlier run's upload cannot be continued,
// whether it was completed since the journal was written: an older copy of it may have
// been restored. Nothing verifies the parts that other runs sent, so only a file that
// was not touched since counts as theirs.
func (s *session) completedElsewhere(ctx context.Context, why error) (bool, error) {
	if s.ours || s.compared || s.Checksum == ChecksumRequire || !errors.Is(why, ErrCompleted) && !errors.Is(why, ErrGone) {
		return false, nil
	}
	var a Answered
	if c := new(CompletedError); errors.As(why, &c) {
		a.Result = c.Result
	}
	if prober, ok := s.Provider.(Prober); ok && a.Result.Value == "" {
		err := s.attempts(ctx, OpProbe, func(ctx context.Context) (err error) {
			answer, result, err := prober.Probe(ctx, s.ledger.rec.Upload)
			s.observe(Probed{Answer: answer, Err: err})
			if answer == Completed {
				a.Result = result
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case errors.Is(err, ErrDenied):
			return false, err
		}
	}
	if a.Result.Value == "" {
		return false, nil
	}
	s.observe(CompletedElsewhere{Upload: s.ledger.rec.Upload.ID})
	return true, s.confirmed(ctx, a, Unverified)
}

// mustWait reports whether a failed probe says that another request would fail now
// too. After any other failure of it, complete is sent.
func mustWait(err error) bool {
	return errors.Is(err, ErrDenied) || temporary(err) && clearly(err)
}

// corrupt ends an upload of which the provider says that it is not the file. The
// next run begins a new one.
func (s *session) corrupt(ctx context.Context, why error) error {
	if err := s.ledger.advance(context.WithoutCancel(ctx), Corrupt, nil); err != nil {
		return errors.Join(why, err)
	}
	if !s.abandon(ctx, s.ledger.rec.Upload) {
		_ = s.ledger.aborted(ctx) // else the next run aborts it once more
	}
	return fmt.Errorf("the checksum of the whole file does not match at the provider: %w", why)
}

// done makes durable that the upload is done.
func (s *session) done(ctx context.Context, result Result, verified string) error {
	outcome := &Outcome{Result: result, Verification: verified}
	if err := s.ledger.advance(context.WithoutCancel(ctx), Done, outcome); err != nil {
		return fmt.Errorf("the file is ready (%s), which could not be recorded: %w", result.Value, err)
	}
	return nil
}

// deliver delivers a recorded outcome. It is not interrupted any more.
func (s *session) deliver(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	o := s.ledger.rec.Outcome
	if o == nil {
		return fmt.Errorf("%w: it says that the upload is done, without its result", ErrJournal)
	}
	s.report.Result, s.report.Verification = o.Result, o.Verification
	s.report.Elapsed, s.report.Concurrency = time.Since(s.started), s.Slots.Most()
	s.observe(Finished{Report: s.report})
	if s.Deliver != nil {
		if err := s.Deliver(ctx, s.report); err != nil {
			return fmt.Errorf("%w: %w", ErrUndelivered, err)
		}
	}
	if err := s.ledger.advance(ctx, Delivered, nil); err != nil {
		return fmt.Errorf("the file is uploaded and its result was delivered, which could not be recorded: %w", err)
	}
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
	case http.StatusTooManyRequests, http.StatusTooEarly:
		return true
	case http.StatusRequestTimeout:
		return t.Unsent // a proxy says it too, of a server that may have been slow
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true // the request was not processed; other redirects may mean that the answer is elsewhere
	case http.StatusServiceUnavailable:
		// A proxy says it too, of a server that it lost in the middle; but it
		// does not know when to come again.
		return t.SaysWhen()
	}
	// Any other 4xx that is worth another try was refused: another request was in
	// the way, or the provider was busy.
	return t.Unsent || t.Status >= 400 && t.Status < 500 && t.Temporary()
}
