package upload

import "time"

// unsure is how many bytes of a part may wait in the kernel's buffers: they were
// handed over, and did not necessarily get anywhere.
const unsure = 4 << 20

// meter measures how fast bytes get to the provider. Only time counts in which a
// part that moved was in flight: that the lid was closed, or the network was
// gone, says nothing about how fast the network is.
type meter struct {
	bytes int64         // that surely left
	busy  time.Duration // in which they did
	until time.Time     // what is counted of the time
}

// move counts n bytes of an attempt that began at since.
func (m *meter) move(n int64, since, now time.Time) {
	if since.Before(m.until) {
		since = m.until
	}
	m.busy += now.Sub(since)
	m.bytes += n
	m.until = now
}

// undo takes back n bytes of an attempt that failed.
func (m *meter) undo(n int64) { m.bytes -= n }

// rate is the rate so far, in bytes per second; false as long as it was observed
// for less than d.
func (m *meter) rate(d time.Duration) (float64, bool) {
	if m.bytes <= 0 || m.busy < d || m.busy <= 0 {
		return 0, false
	}
	return float64(m.bytes) / m.busy.Seconds(), true
}
