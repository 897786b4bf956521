package upload

import (
	"sync"
	"time"
)

// unsure is how many bytes of a part may wait in the kernel's buffers: they were
// handed over, and did not necessarily get anywhere.
const unsure = 4 << 20

// pace is how fast bytes get to the provider. Only time counts in which a part
// was on its way that moved: that the lid was closed, or the network gone, says
// nothing about how fast the network is.
type pace struct {
	mu    sync.Mutex
	bytes int64         // that surely left
	busy  time.Duration // in which they did
	until time.Time     // what is counted of the time
}

// move counts n bytes of an attempt that began at since.
func (p *pace) move(n int64, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if since.Before(p.until) {
		since = p.until
	}
	p.busy += now.Sub(since)
	p.bytes += n
	p.until = now
}

// undo takes back n bytes of an attempt that failed after all.
func (p *pace) undo(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= n
}

// moved is how many bytes surely left.
func (p *pace) moved() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// seen is the rate so far, in bytes per second; false as long as it was
// observed for less than d.
func (p *pace) seen(d time.Duration) (float64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes <= 0 || p.busy < d || p.busy <= 0 {
		return 0, false
	}
	return float64(p.bytes) / p.busy.Seconds(), true
}
