package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/source"
)

// content reads a file for digests that are wanted ahead.
type content struct {
	src  *source.File
	read *counter // bytes, repeats included
}

// readAhead tells how much was read for digests that are wanted ahead.
func (s *session) readAhead() {
	if c, ok := s.file.Content.(content); ok && c.read.Load() > 0 {
		s.observe(Hashing{Why: ReadAhead, Done: min(c.read.Load(), s.file.Size), Of: s.file.Size})
	}
}

// ReadAt reads a range of the file.
func (c content) ReadAt(p []byte, at int64) (int, error) {
	section := c.src.Section(at, int64(len(p)), false)
	defer section.Close()
	n, err := io.ReadFull(section, p)
	c.read.Add(int64(n))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// readiness is how the file is waited for; nil: there is nothing to wait for.
func (s *session) readiness() *Readiness {
	if r, ok := s.Provider.(Readier); ok {
		return r.Readiness(s.ledger.rec.Upload)
	}
	return nil
}

// wait waits until a file that was completed is ready, and records that the
// upload is done then.
func (s *session) wait(ctx context.Context) error {
	if s.ledger.rec.Outcome == nil {
		return fmt.Errorf("%w: it says that the upload was completed, without its result", ErrJournal)
	}
	outcome := *s.ledger.rec.Outcome
	how := s.readiness()
	if how != nil {
		result, err := s.untilReady(ctx, *how, outcome.Result)
		if err != nil {
			return err
		}
		outcome.Result = result
	}
	return s.done(ctx, outcome.Result, outcome.Verification)
}

// waitIfAsked waits for a file whose upload is done already, where the user
// asked for that.
func (s *session) waitIfAsked(ctx context.Context) error {
	how := s.readiness()
	if how == nil || how.Required || !s.Wait {
		return nil
	}
	return s.wait(ctx)
}

// untilReady asks until the file is ready, or its time is over.
func (s *session) untilReady(ctx context.Context, how Readiness, r Result) (Result, error) {
	end := time.Now().Add(how.Timeout)
	for {
		s.observe(Requesting{Op: OpReady})
		done, result, err := s.Provider.(Readier).Ready(ctx, s.ledger.rec.Upload, r)
		switch {
		case ctx.Err() != nil:
			return r, context.Cause(ctx)
		case err == nil && done:
			return result, nil
		case err != nil && !temporary(err) && !errors.Is(err, ErrNotReady):
			return r, err
		case err != nil:
			s.heard(err)
		}
		var asked Temporary
		wait := how.Every
		if errors.As(err, &asked) {
			wait = max(wait, min(asked.RetryAfter(), s.policy().MaxAfter))
		}
		if time.Now().Add(wait).After(end) {
			late := fmt.Errorf("the file is uploaded, and was not ready within %s", text.Duration(how.Timeout))
			if err != nil {
				late = fmt.Errorf("%w: %w", late, err)
			}
			return r, &exhausted{late}
		}
		s.observe(NotReady{Wait: wait})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
	}
}
