package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync"
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
	done    chan struct{}
	once    sync.Once
	moved   atomic.Int64 // counts whatever moves
	held    atomic.Int32 // > 0 while the rate limit holds the body back
	conn    atomic.Pointer[net.Conn]
	bodyEnd atomic.Bool

	handshake atomic.Pointer[error] // why TLS came to nothing
	asked     atomic.Bool           // whether the server asked for a client certificate
	answered  atomic.Bool           // whether a byte of an answer came
}

type watchKey struct{}

func newWatch(ctx context.Context, stall time.Duration, slow bool) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, done: make(chan struct{})}
	ctx = context.WithValue(ctx, watchKey{}, w)
	if stall > 0 {
		if slow {
			stall *= slowFactor
		}
		go w.run(stall)
	}
	return ctx, w
}

func (w *watch) stop() {
	w.once.Do(func() { close(w.done) })
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

func (w *watch) run(stall time.Duration) {
	const looks = 8 // how often one stall timeout is looked at
	tick := time.NewTicker(max(stall/looks, time.Millisecond))
	defer tick.Stop()
	lastMoved, lastUnsent := int64(-1), int64(-1)
	last := time.Now()
	for {
		select {
		case <-w.done:
			return
		case now := <-tick.C:
			moved, unsent, known := w.moved.Load(), int64(0), false
			if c := w.conn.Load(); c != nil {
				unsent, known = outstanding(*c)
			}
			if moved != lastMoved || w.held.Load() > 0 || (known && unsent != lastUnsent) {
				lastMoved, lastUnsent, last = moved, unsent, now
				continue
			}
			limit := stall
			if !known && w.bodyEnd.Load() {
				limit += kernelBuffer / slowestRate * time.Second
			}
			if now.Sub(last) >= limit {
				w.cancel(fmt.Errorf("%w (%s)", ErrStalled, stall))
				return
			}
		}
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
