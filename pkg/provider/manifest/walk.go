package manifest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Walk is one small file on its way through the life cycle of a real API, step
// by step. It keeps no journal.
type Walk struct {
	Provider upload.Provider
	Retry    transport.Policy
	Aborts   bool // whether the API has a call that gives an upload up
	// Tell hears how each step went: nil is well. Nil: nobody listens.
	Tell func(step string, err error)
}

// StepError is the step that a walk ended with.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// Go takes the file through all steps that the API has and gives what complete
// came to. What it opened and did not complete it aborts, where that can be
// done. Its error is a *StepError.
func (w *Walk) Go(ctx context.Context, f upload.File, body []byte) (r upload.Result, err error) {
	f.Size = int64(len(body))
	u, gs, err := w.create(ctx, f)
	if err != nil {
		return r, err
	}
	if r, err = w.finish(ctx, u, gs, body); err != nil {
		return r, errors.Join(err, w.abort(ctx, u))
	}
	if !w.Aborts {
		return r, nil
	}
	// To abort is tried with an upload of its own.
	if u, _, err = w.create(ctx, f); err == nil {
		err = w.abort(ctx, u)
	}
	return r, err
}

// step makes one call, as often as the policy has it.
func (w *Walk) step(ctx context.Context, name string, call func(context.Context) error) error {
	err := transport.Retry(ctx, w.Retry, nil, call)
	if w.Tell != nil {
		w.Tell(name, err)
	}
	if err != nil {
		return &StepError{name, err}
	}
	return nil
}

func (w *Walk) create(ctx context.Context, f upload.File) (u upload.Upload, gs []upload.Presigned, err error) {
	err = w.step(ctx, "create", func(ctx context.Context) (err error) {
		if u, gs, err = w.Provider.Create(ctx, f, upload.Hint{}); err != nil {
			return err
		}
		u.File = f
		if u.Parts == nil && len(u.Held) == 0 {
			var limits upload.Limits
			if l, ok := w.Provider.(upload.Limiter); ok {
				limits = l.Limits()
			}
			if u.Parts, err = upload.Split(f.Size, 0, limits); err != nil {
				return err
			}
		}
		return upload.Tile(f.Size, u.Parts, u.Held)
	})
	if err != nil && u.ID != "" && !u.TakenOver {
		err = errors.Join(err, w.abort(ctx, u))
	}
	return u, gs, err
}

// finish sends the parts and ends the upload.
func (w *Walk) finish(ctx context.Context, u upload.Upload, gs []upload.Presigned, body []byte) (r upload.Result, err error) {
	p := w.Provider
	if u.Renewable {
		if err = w.step(ctx, "presign", func(ctx context.Context) (err error) {
			gs, err = w.urls(ctx, u)
			return err
		}); err != nil {
			return r, err
		}
	}
	byPart := make(map[int]upload.Presigned, len(gs))
	for _, g := range gs {
		byPart[g.Part] = g
	}
	rs := make([]upload.Receipt, len(u.Parts))
	for i, part := range u.Parts {
		bytesOf := body[part.Offset : part.Offset+part.Size]
		if err = w.step(ctx, "part", func(ctx context.Context) (err error) {
			rs[i], err = p.Put(ctx, u, byPart[part.Number], part, bytes.NewReader(bytesOf))
			return err
		}); err != nil {
			return r, err
		}
	}
	if c, ok := p.(upload.Checkpointer); ok {
		if err = w.step(ctx, "checkpoint", func(ctx context.Context) error { return c.Checkpoint(ctx, u, rs) }); err != nil {
			return r, err
		}
		for i := range rs {
			rs[i].Checkpointed = true
		}
	}
	if err = w.step(ctx, "complete", func(ctx context.Context) (err error) {
		r, err = p.Complete(ctx, u, rs, digestsOf(body))
		return err
	}); err != nil {
		return r, err
	}
	if c, ok := p.(upload.Prober); ok {
		err = w.step(ctx, "probe", func(ctx context.Context) error {
			answer, _, err := c.Probe(ctx, u)
			if err == nil && answer == upload.NotCompleted {
				err = fmt.Errorf("%w: it says that the upload was not completed, and it was", upload.ErrReply)
			}
			return err
		})
	}
	return r, err
}

// urls are those of all parts, however few come at once.
func (w *Walk) urls(ctx context.Context, u upload.Upload) (all []upload.Presigned, err error) {
	left := u.Parts
	for len(left) > 0 {
		gs, err := w.Provider.Presign(ctx, u, left)
		if err != nil {
			return nil, err
		}
		came := make(map[int]bool, len(gs))
		for _, g := range gs {
			came[g.Part] = true
		}
		var more []upload.Part
		for _, p := range left {
			if !came[p.Number] {
				more = append(more, p)
			}
		}
		if len(more) == len(left) {
			return nil, fmt.Errorf("%w: it signed other parts than those that were asked for", upload.ErrReply)
		}
		all, left = append(all, gs...), more
	}
	return all, nil
}

// abort gives an upload up. That the API has no call for it is no failure.
func (w *Walk) abort(ctx context.Context, u upload.Upload) error {
	if !w.Aborts {
		return nil
	}
	return w.step(context.WithoutCancel(ctx), "abort", func(ctx context.Context) error { return w.Provider.Abort(ctx, u) })
}

func digestsOf(body []byte) upload.Digests {
	sum := md5.Sum(body)
	whole := sha1.Sum(body)
	crc := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return upload.Digests{CRC32C: binary.BigEndian.AppendUint32(nil, crc), MD5: sum[:], SHA1: whole[:]}
}
