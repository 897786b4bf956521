package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// This file decides what comes after an attempt to send a part.

// attempted handles the outcome of an attempt: it is verified, and then either its
// receipt goes to the journal, or the part is retried, or the upload fails.
// docs/design/retries.md has the table.
func (l *loop) attempted(ctx context.Context, o outcome) {
	p := l.find(o.job.part.Number)
	l.changed(l.Slots.moved(l.progress(p, time.Now())))
	l.report.BytesSent += p.told
	cause := context.Cause(ctx)
	p.cancel(nil)
	if o.err == nil && l.ledger.verifier.check(o.receipt) == mismatch {
		o.err = mismatched(p.Number)
	}
	if o.err == nil {
		l.meter.move(p.Size-p.sure, p.job.began, time.Now())
		l.timed(p.Size, time.Since(p.job.began))
		l.heard(nil)
		p.stage = journaling
		l.fresh = append(l.fresh, o.receipt)
		for _, q := range l.begun {
			if q.stage == inFlight && !l.hashes(q) {
				select {
				case q.job.noMD5 <- struct{}{}:
				default: // it is told already
				}
			}
		}
		return
	}
	surplus := errors.Is(o.err, errSurplus)
	if surplus {
		defer l.requeue(p)
	}
	l.meter.undo(p.sure)
	if p.told > 0 {
		l.observe(Sent{Part: p.Part, Bytes: -p.told, Later: surplus})
	}
	if cause == nil {
		l.heard(o.err)
	}
	p.stage = signed
	if l.err != nil || cause != nil || surplus {
		return // it is sent later, or by the next run
	}
	l.failed(p, o.err)
}

// mismatched is a part whose ETag is not the MD5 of what was sent, where ETags
// are MD5s.
func mismatched(part int) error {
	return &damaged{fmt.Sprintf("part %d arrived damaged: its ETag is not the MD5 of what was sent", part)}
}

// failed decides what comes after an attempt that failed.
func (l *loop) failed(p *part, err error) {
	if errors.Is(err, ErrExpired) {
		l.urls.refuse(p.job.to)
		p.stage = unsigned
		if p.expired++; p.expired == maxExpired && l.up.Renewable {
			l.fail(l.clockError(err))
			return
		}
		l.observe(Retrying{Op: OpPart, Part: p.Number, Err: err, Try: p.expired})
		return
	}
	p.expired = 0
	if s, ok := err.(*straggler); ok && s != nil { //nolint:errorlint // it is ours, as we gave it
		p.stragglers++
	}
	if errors.Is(err, ErrChecksum) {
		l.observe(Mismatched{Part: p.Number, Err: err})
	}
	wait, again := l.again(&p.tries, OpPart, p.Number, err)
	if !again {
		l.fail(l.lost(unfinished(triedOften(err, p.tries))))
		return
	}
	p.next = time.Now().Add(wait)
	l.changed(l.Slots.troubled(troubleOf(err)))
}

// troubleOf says whether an error may come of too much in flight.
func troubleOf(err error) trouble {
	var t *transport.Error
	switch {
	case !errors.As(err, &t) || t.Unsent:
		return noTrouble
	case t.Status == http.StatusServiceUnavailable || t.Status == http.StatusTooManyRequests:
		return refusal
	case t.Status == 0 || t.Status == http.StatusRequestTimeout || t.Status == http.StatusGatewayTimeout:
		return breakage
	}
	return noTrouble
}

// errSurplus ends an attempt that is more than a slow link takes.
var errSurplus = errors.New("more parts are in flight than the connection can carry")

// endSurplus ends the youngest attempts of a slow or limited link where there are more than
// slots, so that parts finish one after the other instead of all at the end. Two may
// go on: to begin one of them again would cost more.
func (l *loop) endSurplus() {
	n := 0
	for _, p := range l.begun { // the oldest first
		if p.stage != inFlight || p.ended {
			continue
		}
		if n++; n > l.slots-l.Slots.excess() && n > 2 && p.job.sent.Load() < p.Size/2 {
			p.ended = true
			p.cancel(errSurplus)
		}
	}
}

// requeue makes a part one that has not begun.
func (l *loop) requeue(p *part) {
	l.begun = slices.DeleteFunc(l.begun, func(q *part) bool { return q == p })
	at, _ := slices.BinarySearchFunc(l.queue, p.Part, func(a, b Part) int { return cmp.Compare(a.Offset, b.Offset) })
	l.queue = slices.Insert(slices.Clip(l.queue), at, p.Part)
}

// stopping ends attempts that cannot arrive within the grace.
func (l *loop) stopping(ctx context.Context) {
	n := 0
	for _, p := range l.begun {
		if p.stage != inFlight {
			continue
		}
		sent, took := p.job.sent.Load(), time.Since(p.job.began)
		if left := p.Size - sent; left > 0 && took > tickLeast && float64(left) > float64(sent)*grace.Seconds()/took.Seconds() {
			p.cancel(l.err)
			continue
		}
		n++
	}
	if ctx.Err() != nil {
		l.observe(Stopping{InFlight: n, Grace: grace})
	}
}
