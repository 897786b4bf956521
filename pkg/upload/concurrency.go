package upload

import "time"

// This file is pure: times, bytes and troubles in, a number of parts out.

const (
	// MaxConcurrency is the most parts in flight that are tried without being
	// asked for.
	MaxConcurrency = 64
	// startConcurrency is where the search begins.
	startConcurrency = 2
	// slowLink is the rate in bytes per second below which an interruption shall
	// cost little: there, one part that fills the link is enough.
	slowLink = 10e6
	// Above fastLink, in bytes per second, the processor limits the rate. Where twice as
	// many parts bring no more, manyMD5s may: so many MD5s cost less at once than one by
	// one. They are kept unless fewer parts bring more.
	fastLink = 150e6
	manyMD5s = 8
	// fills is the share of a given rate at which more parts cannot bring much more.
	fills = 0.9

	// A trial lasts until enough bytes moved to tell, within these times. It begins
	// when the new connections and the kernel's buffers have filled, which takes
	// bytes or time too.
	settleLeast = 200 * time.Millisecond
	settleBytes = 128 << 10 // for each part in flight
	trialLeast  = 300 * time.Millisecond
	trialBytes  = 256 << 10 // for each part in flight
	trialMost   = 2 * time.Second
	firstSlow   = 800 * time.Millisecond // the least of the first one, where the link is slow

	// More parts are kept where they bring this share of what they should, and
	// fewer where no more than the rest of lessLoss is lost.
	moreGain = 0.3
	slowGain = 0.5 // the same on a slow link, where more of them cost more, and a measurement is less reliable
	lessLoss = 0.95
	// A goodput that differs this much from what it was says that the link is
	// another one now.
	otherLink = 0.3
	// A slow link whose goodput was this many times higher is found out about from the
	// beginning: with as many parts in flight as it carried before, it finishes none.
	collapse = 4
	// Attempts that are too many are ended where that lasted for slowSoon, and the search
	// starts again after slowSurely: links, stores and disks pause for a moment.
	slowSoon   = time.Second
	slowSurely = 3 * time.Second
	// holdLeast and holdMost are how long a number is kept before others are
	// tried: twice as long each time that none is better.
	holdLeast = 3 * time.Second
	holdMost  = 8 * time.Second
	// requestWork is what an answered request counts for beside its bytes, so that
	// many small files have a goodput too.
	requestWork = 64 << 10
	// Connections that break take parts away for good only where this share of
	// the last attempts broke.
	muchBroken = 0.2
	attempts   = 20
)

// Why is the reason for another number of parts in flight.
type Why string

// The reasons there are.
const (
	WhyFaster  Why = "faster"  // more parts carry more
	WhyEnough  Why = "enough"  // fewer parts carry as much
	WhyTrial   Why = "trial"   // to find out
	WhyBack    Why = "back"    // the trial brought nothing
	WhySlower  Why = "slower"  // the link became far slower
	WhyRefused Why = "refused" // the provider or its store refused some (503, 429)
	WhyBroken  Why = "broken"  // connections broke or timed out
)

// trial is which number is being tried against the base.
type trial int

const (
	none trial = iota // the base itself is measured, or kept
	more
	fewer
)

// controller finds how many parts in flight fill the link: it doubles their
// number while that brings more, then takes away what brings nothing, keeps the
// number for a while and retries. Trouble takes parts away at once.
type controller struct {
	n     int     // parts in flight now
	base  int     // the number that was found to be good
	good  float64 // goodput with it, in bytes per second; 0: not measured yet
	trial trial
	quick bool // more has always brought more so far: double
	least int  // fewer than so many were tried and carry less

	from     time.Time // since when work is counted; zero: not yet
	settling bool      // the work is that of filling buffers
	work     int64
	until    time.Time     // how long the base is kept
	hold     time.Duration // how long it is kept the next time
	broke    float64       // the share of the last attempts that broke
	cut      time.Time     // when trouble took parts away last
	strict   bool          // the provider refuses a second part
	limit    float64       // the rate that is not to be exceeded; 0: none
	slow     time.Time     // since when the link is far slower; zero: it is not
	slower   bool          // attempts that are too many for it are ended
}

func newController() *controller {
	return &controller{n: startConcurrency, base: startConcurrency, quick: true, settling: true, hold: holdLeast}
}

// limited begins with one part, as that may be enough for the rate that was given.
func (c *controller) limited(rate float64) {
	if c.limit = rate; c.from.IsZero() {
		c.n, c.base = 1, 1
	}
}

// costly reports whether a part more than needed only has an interruption cost more:
// the link is slow, or the rate that was given is reached.
func (c *controller) costly() bool {
	return c.slower || c.good > 0 && (c.good < slowLink || c.full())
}

// collapsed reports whether a goodput is that of a link that became far slower.
func (c *controller) collapsed(goodput float64) bool {
	return goodput < slowLink && goodput < c.good/collapse
}

// slowFor reports whether the link has been far slower for so long.
func (c *controller) slowFor(d time.Duration, now time.Time) bool {
	return !c.slow.IsZero() && now.Sub(c.slow) >= d
}

// full reports whether the rate that was given is reached.
func (c *controller) full() bool { return c.limit > 0 && c.good >= fills*c.limit }

// moved counts bytes that were sent, and answered requests, while taken parts are
// in flight. It says whether the number changed, and why.
func (c *controller) moved(bytes int64, taken int, now time.Time) (Why, bool) {
	if c.from.IsZero() || now.Before(c.from) {
		c.from = now
	}
	c.work += bytes
	took, least, enough := now.Sub(c.from), trialLeast, int64(trialBytes)
	switch {
	case c.settling:
		least, enough = settleLeast, settleBytes
	case c.good == 0 && float64(c.work) < slowLink*took.Seconds():
		least = firstSlow
	case c.trial == none && c.good > 0 && c.n == c.base:
		least = trialMost // a short measurement is not reliable
	}
	// Where few bytes move for so long, buffers that are full empty themselves.
	few := c.work < int64(c.n)*settleBytes && took < 4*trialMost
	if took < least || few || took < trialMost && c.work < int64(c.n)*enough {
		return "", false
	}
	goodput := float64(c.work) / took.Seconds()
	switch {
	case !c.collapsed(goodput):
		c.slow = time.Time{}
	case c.slow.IsZero():
		c.slow = c.from
	}
	if c.settling || taken > c.n {
		// Parts that are too many have to arrive first. On a slow link they are ended.
		c.slower = c.slower || taken > c.n && c.slowFor(slowSoon, now)
		c.from, c.work, c.settling = now, 0, taken > c.n
		return "", false
	}
	was := c.n
	why := c.decide(goodput, now)
	c.from, c.work, c.settling = now, 0, c.n != was
	return why, c.n != was
}

// decide goes by the goodput of the number that is tried.
func (c *controller) decide(goodput float64, now time.Time) Why {
	c.slower = false
	switch {
	case !c.slow.IsZero() && c.trial == more: // because of them, or the base is as slow
		return c.keep(now, WhyBack)
	case !c.slow.IsZero() && !c.slowFor(slowSurely, now):
		return "" // measured again
	case !c.slow.IsZero():
		c.n = min(c.n, startConcurrency) // one part may be all that is allowed, or enough for the limit
		c.base, c.good, c.trial, c.quick, c.least = c.n, 0, none, true, 0
		c.slow, c.slower, c.hold, c.until = time.Time{}, true, holdLeast, now
		return WhySlower
	case c.trial == more && goodput >= c.good*c.expected(goodput):
		c.base, c.good, c.hold, c.least, c.quick = c.n, goodput, holdLeast, 0, true
		return c.tryMore(now, WhyFaster)
	case c.trial == more && c.n < manyMD5s && c.good >= fastLink:
		c.n = manyMD5s
		return WhyTrial
	case c.trial == more && c.quick && c.base > startConcurrency:
		c.quick = false // not twice as many, but half as many again
		return c.tryMore(now, WhyBack)
	case c.trial == more:
		c.quick = false
		return c.tryFewer(now, WhyBack)
	case c.trial == fewer && goodput >= c.good*lessLoss:
		c.base = c.n // the goodput to compare with stays, lest it drift down
		return c.tryFewer(now, WhyEnough)
	case c.trial == fewer:
		c.least = c.base
		return c.keep(now, WhyBack)
	case c.n < c.base: // connections broke, and now they do not
		c.n = c.base
		return WhyTrial
	case c.good == 0:
		if c.good = goodput; now.Before(c.until) {
			return ""
		}
		return c.tryMore(now, WhyTrial)
	case goodput < c.good*(1-otherLink) || goodput > c.good*(1+otherLink):
		c.good, c.hold, c.least, c.quick = goodput, holdLeast, 0, goodput > c.good
		return c.tryMore(now, WhyTrial)
	case now.Before(c.until):
		c.good += (goodput - c.good) / 8
		return ""
	}
	c.good = goodput
	return c.tryMore(now, WhyTrial)
}

// expected is by which factor a goodput has to be more than that of the base, for the
// parts that are tried to be kept.
func (c *controller) expected(goodput float64) float64 {
	gain := moreGain
	switch {
	case c.n == manyMD5s && goodput >= fastLink:
		return lessLoss
	case c.good < slowLink:
		gain = slowGain
	}
	return 1 + gain*(float64(c.n)/float64(c.base)-1)
}

// keep goes back to the base, and keeps it for a while.
func (c *controller) keep(now time.Time, why Why) Why {
	c.trial, c.n, c.quick = none, c.base, false
	c.until = now.Add(c.hold)
	c.hold = min(2*c.hold, holdMost)
	return why
}

func (c *controller) tryMore(now time.Time, why Why) Why {
	if c.full() {
		return c.tryFewer(now, why)
	}
	c.trial = more
	if c.n = c.base + max(1, c.base/2); c.quick {
		c.n = 2 * c.base
	}
	if c.n = min(c.n, MaxConcurrency); c.n == c.base {
		return c.keep(now, why)
	}
	return why
}

func (c *controller) tryFewer(now time.Time, why Why) Why {
	least := max(startConcurrency, c.least)
	switch {
	case c.costly():
		least = max(1, c.least)
	case c.good >= fastLink:
		least = max(manyMD5s, c.least)
	}
	c.trial, c.n = fewer, max(least, c.base-max(1, c.base/4))
	if c.n >= c.base { // also where that is below the least
		return c.keep(now, why)
	}
	return why
}

// refused goes back to the number that was not refused, or takes a part away from
// it, at most once a second: what was in flight with it is refused too.
func (c *controller) refused(now time.Time) (Why, bool) {
	if now.Sub(c.cut) < time.Second {
		return WhyRefused, false
	}
	was := c.n
	if c.cut = now; c.n <= c.base {
		c.base, c.good = max(1, c.n-1), 0
		c.strict = c.base == 1
	}
	c.keep(now, WhyRefused)
	c.from, c.work, c.settling = now, 0, true
	return WhyRefused, c.n != was
}

// broken takes away an eighth where connections break or time out, at most once a
// second: for a moment where that is rare, as some links always lose some.
func (c *controller) broken(now time.Time) (Why, bool) {
	c.broke += (1 - c.broke) / attempts
	if now.Sub(c.cut) < time.Second {
		return WhyBroken, false
	}
	was := c.n
	c.cut, c.n = now, max(1, c.n-max(1, c.n/8))
	if c.broke >= muchBroken {
		c.restart(now)
	} else {
		c.from, c.work, c.settling = now, 0, true
	}
	return WhyBroken, c.n != was
}

// arrived counts an attempt that did not break.
func (c *controller) arrived() { c.broke -= c.broke / attempts }

// restart makes the number the base, to be measured again and kept for a while.
func (c *controller) restart(now time.Time) {
	c.base, c.trial, c.quick, c.good, c.least = c.n, none, false, 0, 0
	c.from, c.work, c.settling = now, 0, true
	c.until = now.Add(c.hold)
	c.hold = min(2*c.hold, holdMost)
}
