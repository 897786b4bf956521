package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// inMemory is the largest file that is read before it is sent whole: what the
// provider gets is of one version of the file then, whatever becomes of it.
const inMemory = 32 << 20

// sendWhole sends a file whose one part completes the upload. It is to its
// request what complete is to others: the journal says "completing" before it,
// and an answer that is not clear leaves it so.
func (s *session) sendWhole(ctx context.Context) error {
	rec := s.ledger.rec
	if s.Checksum == ChecksumRequire {
		return errUnproven // what the provider says of it comes too late
	}
	s.observe(Planned{File: s.file, Upload: rec.Upload.ID, Parts: 1})
	if rec.State == Completing {
		if sent, err := s.probeWhole(ctx); sent || err != nil {
			return err
		}
	}
	to, err := s.wholeURL(ctx)
	if err != nil {
		return s.lost(err)
	}
	if rec.State != Completing {
		if err := s.ledger.advance(ctx, Completing, nil); err != nil {
			return err
		}
	}
	o, doubt, err := s.putWhole(ctx, to)
	if err == nil && o.receipt.Result == nil {
		doubt, err = true, fmt.Errorf("%w: it has no result", ErrReply)
	}
	if err != nil {
		return s.undone(ctx, doubt, false, err)
	}
	verified := Unverified
	switch {
	case matches(o.receipt):
		verified = VerifiedETag
	case o.receipt.Verified:
		verified = VerifiedHeader
	}
	s.report.PartsStored = 1
	if err := s.src.Same(); err != nil && s.file.Size > inMemory {
		// Nothing can be taken back: the result is there, and may be a mixture.
		return errors.Join(err, s.corrupt(ctx, err))
	}
	return s.confirmed(ctx, Answered{Data: o.receipt.Data, Result: *o.receipt.Result}, verified)
}

// probeWhole asks what became of a file that an earlier run may have sent.
// Without a clear no it is not sent again: there would be two of it.
func (s *session) probeWhole(ctx context.Context) (sent bool, _ error) {
	answer, result := Unknown, Result{}
	if p, ok := s.Provider.(Prober); ok {
		err := s.call(ctx, OpProbe, func(ctx context.Context) (err error) {
			answer, result, err = p.Probe(ctx, s.ledger.rec.Upload)
			s.observe(Probed{Answer: answer, Err: err})
			return err
		})
		if err != nil {
			return false, fmt.Errorf("whether the file was stored is not known yet: %w", err)
		}
	}
	switch answer {
	case Completed:
		return true, s.confirmed(ctx, Answered{Result: result}, Unverified)
	case NotCompleted:
		return false, nil
	}
	return false, fmt.Errorf("an earlier run sent the file, and got no clear answer: %w", ErrDoubt)
}

// wholeURL is where the file goes, if the provider presigns that.
func (s *session) wholeURL(ctx context.Context) (Presigned, error) {
	rec := s.ledger.rec
	to := Presigned{Part: rec.Upload.Parts[0].Number}
	for _, g := range rec.Presigned {
		if g.Part == to.Part {
			to = g
		}
	}
	if !rec.Upload.Renewable {
		return to, nil
	}
	err := s.call(ctx, OpPresign, func(ctx context.Context) error {
		urls, err := s.Provider.Presign(ctx, rec.Upload, rec.Upload.Parts)
		if err == nil && len(urls) == 1 {
			to = urls[0]
		} else if err == nil {
			err = fmt.Errorf("%w: %d URLs for one part", ErrReply, len(urls))
		}
		return err
	})
	return to, err
}

// putWhole sends the file, as often as nothing can have come of it.
func (s *session) putWhole(ctx context.Context, to Presigned) (o outcome, doubt bool, err error) {
	answering, stop := afterGrace(ctx)
	defer stop()
	up := s.ledger.rec.Upload
	up.File.Content = s.file.Content
	err = s.attempts(ctx, OpPart, func(context.Context) error {
		j := &job{up: up, to: to, part: up.Parts[0], md5: s.Checksum != ChecksumOff, began: time.Now()}
		told := int64(0)
		tell := func() {
			if sent := j.sent.Load(); sent != told {
				s.observe(Sent{Part: j.part, Bytes: sent - told})
				told = sent
			}
		}
		s.observe(Unclear{Is: true, Report: s.report})
		err := s.beside(answering, tell, func(ctx context.Context) error {
			if o = s.buffered(ctx, j); o.err == nil && o.job == nil {
				o = send(ctx, s.Provider, s.src, j)
			}
			return o.err
		})
		tell()
		s.report.BytesSent += told
		if err != nil && told > 0 {
			s.observe(Sent{Part: j.part, Bytes: -told})
		}
		if err != nil && !clearly(err) && !errors.Is(err, ErrExpired) {
			doubt = true
			return &final{err}
		}
		if err != nil {
			s.observe(Unclear{})
		}
		return err
	})
	return o, doubt, err
}

// buffered sends a file from memory, if it is small enough; without a job, it
// is not.
func (s *session) buffered(ctx context.Context, j *job) outcome {
	if j.part.Size > inMemory {
		return outcome{}
	}
	section := s.src.Section(j.part.Offset, j.part.Size, j.md5)
	defer section.Close()
	b, err := io.ReadAll(section)
	if err == nil {
		err = s.src.Same()
	}
	if err != nil {
		return outcome{job: j, err: errors.Join(ErrUnsent, err)}
	}
	d, _ := section.Digest()
	r, err := s.Provider.Put(ctx, j.up, j.to, j.part, &counted{bytes.NewReader(b), j})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	r.Part, r.CRC32C, r.MD5 = j.part.Number, d.CRC32C, d.MD5
	return outcome{job: j, receipt: r, err: err}
}

// counted counts what is read of it. It can be hashed beforehand.
type counted struct {
	*bytes.Reader
	job *job
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.job.sent.Add(int64(n))
	return n, err
}

// Hash writes the whole of it to w.
func (c *counted) Hash(w io.Writer) error {
	_, err := io.Copy(w, io.NewSectionReader(c.Reader, 0, c.Size()))
	return err
}

// WriteTo hides that of the reader, which would not be counted.
func (c *counted) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{c})
}

// final is an error after which the request is not repeated.
type final struct{ err error }

func (e *final) Error() string             { return e.err.Error() }
func (e *final) Unwrap() error             { return e.err }
func (e *final) Temporary() bool           { return false }
func (e *final) RetryAfter() time.Duration { return 0 }
