package upload

import (
	"context"
	"fmt"
	"time"
)

// confirmed is what came of confirming a part that is stored.
type confirmed struct {
	part    int
	receipt Receipt
	err     error
}

// confirm has the provider confirm a part whose receipt says that it needs it.
// The receipt is on disk: a run that ends before the answer leaves the next one
// to confirm the part, and not to send it.
func (l *loop) confirm(ctx context.Context, p *part) {
	r := l.ledger.rec.Receipts[p.Number]
	c, ok := l.Provider.(Confirmer)
	if !ok {
		l.fail(fmt.Errorf("part %d has to be confirmed, and the provider has no call for it: %w", p.Number, ErrJournal))
		return
	}
	p.stage = confirming
	go func(part Part) {
		made, err := c.Confirm(ctx, l.up, part, r)
		l.confirms <- confirmed{part.Number, made, err}
	}(p.Part)
}

// answered takes what a confirmation came to.
func (l *loop) answered(ctx context.Context, o confirmed) {
	p := l.find(o.part)
	if o.err == nil || ctx.Err() == nil {
		l.heard(o.err)
	}
	if o.err == nil && o.receipt.Unconfirmed != nil {
		o.err = fmt.Errorf("part %d is still not confirmed: %w", o.part, ErrReply)
	}
	if o.err == nil {
		p.stage = journaling
		l.fresh = append(l.fresh, o.receipt)
		return
	}
	p.stage = unconfirmed
	if l.err != nil || ctx.Err() != nil {
		return // the next run confirms it
	}
	wait, again := l.again(&p.tries, OpConfirm, o.part, o.err)
	if !again {
		l.fail(l.lost(unfinished(o.err)))
		return
	}
	p.next = time.Now().Add(wait)
}
