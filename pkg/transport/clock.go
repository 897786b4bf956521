package transport

import (
	"net/http"
	"sync/atomic"
	"time"
)

// MaxSkew is the difference between two clocks that is not worth a word, nor a correction.
const MaxSkew = 30 * time.Second

// Skew is how far this machine's clock was ahead of the server's when the reply
// came, by its Date, which has whole seconds (RFC 9110, section 6.6.1); false:
// it has none.
func (r *Reply) Skew() (time.Duration, bool) {
	date, err := http.ParseTime(r.Header.Get("Date"))
	return r.At.Round(0).Sub(date), err == nil
}

// Clock is that of a server, by the last reply that has its time. Its methods may
// be called from several goroutines at once.
type Clock struct{ skew atomic.Pointer[time.Duration] }

// Hear takes the time of a reply, if it has one.
func (c *Clock) Hear(r *Reply) {
	if skew, ok := r.Skew(); ok {
		c.skew.Store(&skew)
	}
}

// Skew is how far this machine's clock is ahead of the server's; false: no reply
// had its time yet.
func (c *Clock) Skew() (time.Duration, bool) {
	if skew := c.skew.Load(); skew != nil {
		return *skew, true
	}
	return 0, false
}
