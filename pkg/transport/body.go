package transport

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// meteredBody is a request's body on its way out: counted, of exact length,
// held to a rate, and remembering the error of its source.
type meteredBody struct {
	ctx   context.Context //nolint:containedctx // one exchange's, no longer
	body  io.Reader
	left  int64
	limit *rate.Limiter
	watch *watch

	mu     sync.Mutex
	closed bool
	err    error
}

func (b *meteredBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, net.ErrClosed
	}
	if b.left == 0 {
		b.watch.bodyEnd.Store(true)
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if b.limit != nil {
		p = p[:min(len(p), b.limit.Burst())]
	}
	n, err := b.body.Read(p)
	if b.limit != nil { // for what was read: a source may give less than it was asked for
		b.watch.held.Add(1)
		err := b.limit.WaitN(b.ctx, n)
		b.watch.held.Add(-1)
		if err != nil {
			return 0, err
		}
	}
	b.left -= int64(n)
	b.watch.moved.Add(1)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	if b.left == 0 {
		b.watch.bodyEnd.Store(true)
	}
	return n, err
}

// smallBody is what goes out with the header in one write. net/http flushes the header
// before a body that, for all it knows, is not in memory.
const smallBody = 4 << 10

// ready is the body as net/http gets it: a small one that no rate holds back is read
// first.
func (b *meteredBody) ready(size int64) (io.ReadCloser, error) {
	switch {
	case size == 0:
		return http.NoBody, nil
	case size > smallBody || b.limit != nil:
		return b, nil
	}
	whole := make([]byte, size)
	_, err := io.ReadFull(b, whole)
	if err == nil {
		_, err = b.end() // of the source, with its last byte
	}
	return io.NopCloser(bytes.NewReader(whole)), err
}

// Close is net/http's word that it is done with the body; end is ours.
func (b *meteredBody) Close() error { return nil }

// end stops the reading of the source, which net/http may continue after it
// has returned, and gives the bytes that were not taken and the source's error.
func (b *meteredBody) end() (left int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.left, b.err
}

// watchedReader counts the bytes of a reply as movement.
type watchedReader struct {
	r io.Reader
	w *watch
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 {
		r.w.moved.Add(1)
	}
	return n, err
}
