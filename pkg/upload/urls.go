package upload

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
)

// maxExpired is how often in a row a part's presigned URL may be refused as
// expired.
const maxExpired = 4

// urls are the presigned URLs at hand. They are requested just in time: for the
// parts that need one and the next ones, in one request.
type urls struct {
	renewable bool
	window    int // the most parts of one request
	have      map[int]held
	batches   int
	asking    bool // a request is under way
	alone     int  // the part to ask for alone, as the last answer left it out; 0: none
	isAlone   bool
	tries     transport.Tries
	next      time.Time // when the backoff of the request is over
}

// held is a URL at hand.
type held struct {
	Presigned
	batch int       // those that came together
	until time.Time // when it counts as expired; zero: the store decides
}

// presigned is the answer to a request for URLs.
type presigned struct {
	asked []Part
	urls  []Presigned
	err   error
}

// keep stores URLs. One is renewed a tenth of its life before its end, at most
// ten seconds: the clocks differ a little, and the request takes time. One that
// is past its end when it comes says that the clocks differ a lot: then the store
// decides.
func (u *urls) keep(all []Presigned) {
	u.batches++
	for _, x := range all {
		h := held{Presigned: x, batch: u.batches}
		if left := time.Until(x.Expires); !x.Expires.IsZero() && left > 0 {
			h.until = x.Expires.Add(-min(10*time.Second, left/10))
		}
		u.have[x.Part] = h
	}
}

// valid reports whether there is a URL for a part to try. One that cannot be
// renewed is tried to the end: the store's clock decides, not ours.
func (u *urls) valid(part int, now time.Time) bool {
	h, ok := u.have[part]
	return ok && (!u.renewable || h.until.IsZero() || now.Before(h.until))
}

// refuse forgets a URL that the store refused, unless a newer one came, and those
// that came with it where there are others to be had: they have expired too.
func (u *urls) refuse(x Presigned) {
	h := u.have[x.Part]
	if h.URL != x.URL || !h.Expires.Equal(x.Expires) {
		return
	}
	delete(u.have, x.Part)
	for part, other := range u.have {
		if u.renewable && other.batch == h.batch && !h.Expires.Before(other.Expires) {
			delete(u.have, part)
		}
	}
}

// sign gives a part that has begun the URL at hand, if there is a valid one.
func (l *loop) sign(p *part, now time.Time) {
	switch {
	case l.urls.valid(p.Number, now):
		p.stage = signed
	case !l.urls.renewable:
		l.fail(l.lost(fmt.Errorf("part %d: %w, and this provider issues no new ones", p.Number, ErrExpired)))
	default:
		p.stage = unsigned
	}
}

// request asks for URLs when a part needs one, or soon will.
func (l *loop) request(ctx context.Context, now time.Time) {
	u := &l.urls
	if !u.renewable || u.asking || l.err != nil || u.next.After(now) {
		return
	}
	var ask []Part
	for _, p := range l.begun {
		if p.stage == unsigned {
			ask = append(ask, p.Part)
		}
	}
	missing := 0
	if len(ask) > 0 {
		slices.SortFunc(ask, func(a, b Part) int { return a.Number - b.Number })
		missing = ask[0].Number
	} else if !l.runsLow(now) {
		return
	}
	window := u.window
	if l.oneByOne() { // none waits for more requests than parts are sent
		window = min(window, 2*l.Slots.Len())
	}
	if u.isAlone = missing > 0 && missing == u.alone; u.isAlone {
		ask = ask[:1]
	}
	for _, p := range l.queue {
		if u.isAlone || len(ask) >= window {
			break
		}
		if !u.valid(p.Number, now) {
			ask = append(ask, p)
		}
	}
	if len(ask) == 0 {
		return
	}
	numbers := make([]int, len(ask))
	for i, p := range ask {
		numbers[i] = p.Number
	}
	if !l.signs(OpPresign, l.up) {
		l.observe(Presigning{Parts: numbers, Missing: missing})
	}
	u.asking = true
	go func() {
		got, err := l.Provider.Presign(ctx, l.up, ask)
		l.presign <- presigned{ask, got, err}
	}()
}

// oneByOne reports whether each URL has a request of its own.
func (l *loop) oneByOne() bool { return l.limits.URLsAtOnce == 1 }

// runsLow reports whether fewer URLs are at hand for the next parts than a
// quarter of those that are sent at once, so that none has to wait for one; where
// each has a request of its own, than all of those.
func (l *loop) runsLow(now time.Time) bool {
	ahead := l.Slots.Len()
	if !l.oneByOne() {
		ahead /= 4
	}
	if ahead == 0 || len(l.queue) == 0 {
		return false
	}
	next := l.queue[:min(ahead, len(l.queue))]
	return slices.ContainsFunc(next, func(p Part) bool { return !l.urls.valid(p.Number, now) })
}

// keep takes the answer to a request for URLs.
func (l *loop) keep(ctx context.Context, a presigned) {
	u := &l.urls
	u.asking = false
	l.lookAtClock()
	if (a.err == nil || ctx.Err() == nil) && (a.err != nil || !l.signs(OpPresign, l.up)) {
		l.heard(a.err)
	}
	if a.err != nil {
		if l.err != nil || ctx.Err() != nil {
			return
		}
		wait, again := l.again(&u.tries, OpPresign, 0, a.err)
		if !again {
			l.fail(l.lost(unfinished(a.err)))
		}
		u.next = time.Now().Add(wait)
		return
	}
	u.tries = transport.Tries{}
	u.keep(a.urls)
	first := a.asked[0].Number
	if _, ok := u.have[first]; ok {
		u.alone = 0
		return
	}
	if u.isAlone {
		l.fail(fmt.Errorf("part %d: the provider presigned other parts than this one: %w", first, ErrReply))
	}
	u.alone = first // among others the provider left it out
}

// clockError explains URLs that are refused as soon as they are issued. Asking
// for more of them would not help.
func (s *session) clockError(err error) error {
	why := "do the clocks of the provider and of its store agree?"
	if c, ok := s.Provider.(Clock); ok {
		if skew, ok := c.Skew(); ok && skew.Abs() >= transport.MaxSkew {
			why = text.Skew(skew)
		}
	}
	return &exhausted{fmt.Errorf("new presigned URLs are refused as expired (%s): %w", why, err)}
}
