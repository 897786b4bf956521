package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// The kernel takes megabytes of a body at once. Where it cannot be asked how
// much of that is still unsent, the wait for an answer allows for a full
// buffer going out at a modem's rate.
const (
	kernelBuffer = 4 << 20  // bytes
	slowestRate  = 16 << 10 // bytes per second
)

// watch ends an exchange in which nothing moves: no byte of the body is taken,
// none of those that the kernel took is acknowledged, none of the reply comes.
type watch struct {
	cancel  context.CancelCauseFunc
	stall   time.Duration
	timer   *time.Timer // checks for a stall; nil: there is no check
	stopped atomic.Bool
	moved   atomic.Int64 // counts whatever moves
	held    atomic.Int32 // > 0 while the rate limit holds the body back
	conn    atomic.Pointer[net.Conn]
	bodyEnd atomic.Bool

	handshake atomic.Pointer[error] // why TLS came to nothing
	asked     atomic.Bool           // whether the server asked for a client certificate
	answered  atomic.Bool           // whether a byte of an answer came

	most time.Duration             // of what may take long, however bytes drip
	end  atomic.Pointer[time.Time] // when that is over; nil: it is not limited

	// What the last look saw; the timer's.
	lastMoved, lastUnsent int64
	last                  time.Time
}

// looks is how often one stall timeout is looked at.
const looks = 8

type watchKey struct{}

func newWatch(ctx context.Context, stall time.Duration, slow bool) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, stall: stall, most: 2 * slowFactor * stall, lastMoved: -1, lastUnsent: -1, last: time.Now()}
	ctx = context.WithValue(ctx, watchKey{}, w)
	if stall > 0 {
		if slow {
			w.stall *= slowFactor
		}
		// Not before the field is set: look has it too.
		w.timer = time.AfterFunc(math.MaxInt64, w.look)
		w.timer.Reset(w.every())
	}
	return ctx, w
}

// limit bounds the time from now, unless it is bounded already: a reply that arrives
// byte by byte does not stall.
func (w *watch) limit() {
	end := time.Now().Add(w.most)
	w.end.CompareAndSwap(nil, &end)
}

func (w *watch) every() time.Duration { return max(w.stall/looks, time.Millisecond) }

func (w *watch) stop() {
	w.stopped.Store(true)
	if w.timer != nil {
		w.timer.Stop()
	}
	w.cancel(nil)
}

func (w *watch) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			w.moved.Add(1)
			w.conn.Store(&i.Conn)
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err != nil {
				w.handshake.Store(&err)
			}
		},
		GotFirstResponseByte: func() {
			w.answered.Store(true)
			w.moved.Add(1)
		},
	}
}

// look ends the exchange if nothing has moved for too long. It needs no goroutine
// that waits: most exchanges are over before it is called.
func (w *watch) look() {
	now, moved, unsent, known := time.Now(), w.moved.Load(), int64(0), false
	if c := w.conn.Load(); c != nil {
		unsent, known = outstanding(*c)
	}
	limit := w.stall
	if !known && w.bodyEnd.Load() {
		limit += kernelBuffer / slowestRate * time.Second
	}
	switch end := w.end.Load(); {
	case end != nil && now.After(*end):
		w.cancel(fmt.Errorf("%w (%s)", ErrStalled, w.most))
		return
	case moved != w.lastMoved || w.held.Load() > 0 || (known && unsent != w.lastUnsent):
		w.lastMoved, w.lastUnsent, w.last = moved, unsent, now
	case now.Sub(w.last) >= limit:
		w.cancel(fmt.Errorf("%w (%s)", ErrStalled, w.stall))
		return
	}
	w.timer.Reset(w.every())
	if w.stopped.Load() { // meanwhile
		w.timer.Stop()
	}
}

// outstanding is how many bytes the kernel has taken for c that the other side
// has not acknowledged, where the kernel tells.
func outstanding(c net.Conn) (int64, bool) {
	for {
		over, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = over.NetConn()
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return 0, false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return 0, false
	}
	var n int
	var asked error
	if err := raw.Control(func(fd uintptr) { n, asked = unsent(fd) }); err != nil || asked != nil {
		return 0, false
	}
	return int64(n), true
}
