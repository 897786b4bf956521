package upload

import (
	"context"
	"slices"

	"github.com/multiput/multiput/pkg/transport"
)

// This file makes receipts durable, and does what may be done only then.

// written is what came of making receipts durable, and of looking at the file
// after that.
type written struct {
	receipts     []Receipt
	err, changed error
}

// write makes receipts durable, all that came meanwhile in one go. A signal does
// not undo it: the parts are stored.
func (l *loop) write(ctx context.Context) {
	if l.writing || len(l.fresh) == 0 {
		return
	}
	batch := l.fresh
	l.fresh, l.writing = nil, true
	go func() {
		w := written{receipts: batch, err: l.ledger.receive(context.WithoutCancel(ctx), batch)}
		if w.err == nil && slices.ContainsFunc(batch, func(r Receipt) bool { return !r.Checkpointed }) {
			w.changed = l.src.Same()
		}
		l.written <- w
	}()
}

// durable counts receipts that are on disk, and frees their slots.
func (l *loop) durable(w written, c *checkpoints) {
	l.writing = false
	if w.err != nil {
		l.fail(w.err)
		l.begun = slices.DeleteFunc(l.begun, func(p *part) bool {
			return slices.ContainsFunc(w.receipts, func(r Receipt) bool { return !r.Checkpointed && r.Part == p.Number })
		})
		return
	}
	remembered := 0
	for _, r := range w.receipts {
		l.ledger.keep(r)
		if r.Checkpointed {
			c.noted(r)
			remembered++
			continue
		}
		p := l.find(r.Part)
		if r.Unconfirmed != nil {
			p.stage, p.tries = unconfirmed, transport.Tries{}
			continue
		}
		l.ledger.mine[r.Part] = true
		l.count()
		l.observe(Stored{Part: p.Part})
		if e, ok := l.ledger.verifier.news(); ok && l.Checksum != ChecksumOff {
			l.observe(e)
		}
		l.begun = slices.DeleteFunc(l.begun, func(q *part) bool { return q == p })
		delete(l.urls.have, r.Part)
		l.overdue = false
		c.add(r)
		l.release(r)
	}
	if remembered > 0 {
		l.observe(Checkpointed{Parts: remembered})
	}
	l.fail(w.changed)
	if l.Checksum == ChecksumRequire && l.ledger.verifier.opaque() && l.up.Digest == "" && slices.ContainsFunc(w.receipts, func(r Receipt) bool { return !r.Verified }) {
		l.fail(errUnproven) // before the rest is sent for nothing
	}
	if l.err == nil {
		l.fail(l.inTime())
	}
}

// release lets go of the bytes of parts that are not sent again, where the source
// keeps them: it reads on when there is room. Those that the verifier may yet
// reject are kept as long as there is room for them and for others.
func (l *loop) release(r Receipt) {
	if !l.src.Once() {
		return
	}
	l.kept = append(l.kept, r)
	roomy := l.src.Room()/(opaqueAfter+2) >= l.schedule.largest
	l.kept = slices.DeleteFunc(l.kept, func(r Receipt) bool {
		if roomy && !l.ledger.verifier.settled(r) {
			return false
		}
		p := l.up.Parts[slices.IndexFunc(l.up.Parts, func(p Part) bool { return p.Number == r.Part })]
		l.src.Release(p.Offset, p.Size)
		l.released = true
		return true
	})
}
