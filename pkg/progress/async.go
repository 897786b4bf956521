package progress

import (
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// maxBuffered is how many bytes may wait to be read. Further bytes are
	// discarded: nothing reads stderr.
	maxBuffered = 1 << 20
	// finalWait is how long the program waits for them when it exits.
	finalWait = time.Second
)

// Async is a writer that does not block. The reader of stderr may have stopped (a
// pager, Ctrl-S), and an upload must neither stand still nor fail to end because
// of that. It may be used by several goroutines.
type Async struct {
	w io.Writer

	mu    sync.Mutex
	said  []byte        // waits to be written
	news  chan struct{} // holds a token when there is something to write, or it is the end
	quiet chan struct{} // closed when all is written; replaced at the next write
	over  bool
}

// NewAsync gives a writer to w. Close ends it.
func NewAsync(w io.Writer) *Async {
	t := &Async{w: w, news: make(chan struct{}, 1), quiet: make(chan struct{})}
	close(t.quiet)
	go t.run()
	return t
}

func (t *Async) run() {
	for range t.news {
		t.mu.Lock()
		said, over := t.said, t.over
		t.said = nil
		t.mu.Unlock()
		if len(said) > 0 {
			t.w.Write(said) //nolint:errcheck // messages without a reader
		}
		t.mu.Lock()
		if len(t.said) == 0 && len(said) > 0 {
			close(t.quiet)
		}
		t.mu.Unlock()
		if over {
			return
		}
	}
}

// Write takes whole lines. It never fails: of what the reader does not take, all
// beyond 1 MiB is lost.
func (t *Async) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.said)+len(p) > maxBuffered {
		return len(p), nil
	}
	select {
	case <-t.quiet:
		t.quiet = make(chan struct{})
	default:
	}
	t.said = append(slices.Clip(t.said), p...)
	t.wake()
	return len(p), nil
}

// wake has run look again. t.mu is held.
func (t *Async) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// Flush waits until all is written, for a second at most.
func (t *Async) Flush() {
	t.mu.Lock()
	quiet := t.quiet
	t.mu.Unlock()
	select {
	case <-quiet:
	case <-time.After(finalWait):
	}
}

// Close writes what is left, if that can be done in a second. It never fails.
func (t *Async) Close() {
	t.Flush()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.wake()
}
