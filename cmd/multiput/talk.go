package main

import (
	"io"
	"slices"
	"sync"
	"time"
)

const (
	// maxTalk is how many bytes may wait to be read. What is said beyond is
	// lost: nobody reads it.
	maxTalk = 1 << 20
	// lastWords is how long the end of the program waits for them.
	lastWords = time.Second
)

// talker is a writer that nobody has to wait for. Whoever reads stderr may have
// stopped (a pager, Ctrl-S), and an upload must neither stand still nor fail to
// end because of that.
type talker struct {
	w io.Writer

	mu    sync.Mutex
	said  []byte        // waits to be written
	news  chan struct{} // holds a token when there is something to write, or it is the end
	quiet chan struct{} // closed when all is written; replaced when something is said
	over  bool
}

func newTalker(w io.Writer) *talker {
	t := &talker{w: w, news: make(chan struct{}, 1), quiet: make(chan struct{})}
	close(t.quiet)
	go t.run()
	return t
}

func (t *talker) run() {
	for range t.news {
		t.mu.Lock()
		said, over := t.said, t.over
		t.said = nil
		t.mu.Unlock()
		if len(said) > 0 {
			t.w.Write(said) //nolint:errcheck // talk that nobody can hear
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

// Write takes whole lines; it never fails.
func (t *talker) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.said)+len(p) > maxTalk {
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
func (t *talker) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// flush waits until all is written, for a moment at most.
func (t *talker) flush() {
	t.mu.Lock()
	quiet := t.quiet
	t.mu.Unlock()
	late := time.NewTimer(lastWords)
	defer late.Stop()
	select {
	case <-quiet:
	case <-late.C:
	}
}

// end writes what is left, if that can be done in a moment.
func (t *talker) end() {
	t.flush()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.wake()
}
