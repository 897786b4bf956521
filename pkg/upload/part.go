package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// sendPart stores one part and proves it, as often as the policy allows. ctx
// ends the trying, sending the attempt under way.
func (r *run) sendPart(ctx, sending context.Context, up Upload, p Part, g *urls, s *siblings) (Receipt, error) {
	var receipt Receipt
	op := fmt.Sprintf("part %d", p.Number)
	err := r.retry(ctx, op, func(context.Context) error {
		for refused := 1; ; refused++ {
			presigned, err := g.take(ctx, p)
			if err != nil {
				return err
			}
			err = s.fly(sending, p, func(ctx context.Context) (err error) {
				receipt, err = r.attempt(ctx, up, presigned, p)
				return err
			})
			if !errors.Is(err, ErrExpired) || ctx.Err() != nil {
				return err
			}
			g.refuse(presigned)
			if refused == maxExpired && up.Renewable {
				return r.clockError(err)
			}
			r.observe(Retrying{Op: op, Err: err})
		}
	})
	return receipt, err
}

// attempt sends a part once.
func (r *run) attempt(ctx context.Context, up Upload, g Presigned, p Part) (Receipt, error) {
	section := r.src.Section(p.Offset, p.Size, r.Checksum != ChecksumOff)
	defer section.Close()
	body := &sentReader{run: r, part: p, r: section, began: time.Now()}
	receipt, err := r.Provider.Put(ctx, up, g, p, body)
	if err == nil {
		d, complete := section.Digest()
		receipt.Part, receipt.CRC32C, receipt.MD5, receipt.Checkpointed = p.Number, d.CRC32C, d.MD5, false
		switch {
		case !complete:
			err = &damaged{fmt.Sprintf("part %d was confirmed before all of it was sent", p.Number)}
		case r.verify.judge(receipt) == mismatch:
			err = &damaged{fmt.Sprintf("part %d arrived damaged: its ETag is not the MD5 of what was sent", p.Number)}
		}
	}
	body.flush()
	if err != nil {
		if errors.Is(err, ErrChecksum) {
			r.warn("%v; it is sent again", err)
		}
		if body.total > 0 {
			r.observe(Sent{Part: p, Bytes: -body.total})
		}
		r.pace.undo(body.sure)
		return Receipt{}, err
	}
	r.pace.move(p.Size-body.sure, body.began)
	return receipt, nil
}

// damaged is a part that is stored as other bytes than the file's. To send it
// again is sound.
type damaged struct{ why string }

func (e *damaged) Error() string             { return e.why }
func (e *damaged) Unwrap() error             { return ErrChecksum }
func (e *damaged) Temporary() bool           { return true }
func (e *damaged) RetryAfter() time.Duration { return 0 }

// sentReader tells of the bytes that go out, a few times a second.
type sentReader struct {
	*run
	part  Part
	r     io.Reader
	began time.Time
	total int64 // told of
	more  int64 // to tell of
	sure  int64 // bytes of total that are beyond the kernel's buffers
	last  time.Time
}

var _ Hashable = (*sentReader)(nil)

// Hash reads the part once more, ahead of its sending.
func (s *sentReader) Hash(w io.Writer) error {
	section := s.src.Section(s.part.Offset, s.part.Size, false)
	defer section.Close()
	_, err := io.Copy(w, section)
	return err
}

func (s *sentReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sent.Add(int64(n))
	s.more += int64(n)
	if now := time.Now(); now.Sub(s.last) >= 50*time.Millisecond {
		s.last = now
		s.flush()
	}
	return n, err
}

func (s *sentReader) flush() {
	if s.more > 0 {
		s.observe(Sent{Part: s.part, Bytes: s.more})
		s.total += s.more
		s.more = 0
		if sure := s.total - unsure; sure > s.sure {
			s.run.pace.move(sure-s.sure, s.began)
			s.sure = sure
		}
	}
}
