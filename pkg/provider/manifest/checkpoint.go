package manifest

import (
	"context"

	"github.com/multiput/multiput/pkg/upload"
)

// checkpointing is a speaker whose API takes checkpoints.
type checkpointing struct{ *speaker }

// Checkpoint hands receipts to the API.
func (p *checkpointing) Checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) error {
	s, err := p.scope(u, rs...)
	if err != nil {
		return err
	}
	r := p.m.stepsFor(u.File).checkpoint
	if r == nil {
		return nil // a small file has none
	}
	s.parts = partsValue(reported(u.Parts, rs), rs, nil)
	a, err := p.ask(ctx, call{request: r, what: "checkpoint parts", created: true}, s)
	if err != nil {
		return p.sendingTo(ctx, u, a, s, err)
	}
	p.remember(u.ID, r, s)
	return nil
}
