package upload

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// urls hands out the parts to send, and leave to send them. It fetches leave
// just in time: for the part that needs it, all others that wait for theirs,
// and the next ones, in one request.
type urls struct {
	fetch     func(ctx context.Context, parts []Part) ([]Presigned, error)
	renewable bool // whether fetch can be asked
	window    int  // the most parts to ask for at once

	turn   chan struct{} // holds one token: whoever has it may fetch
	failed error         // what the last fetch came to, which ends them all; for whoever has the turn

	mu      sync.Mutex
	queue   []Part       // not begun yet, in order
	waiting map[int]Part // begun, and without leave
	have    map[int]held
	batches int
}

type held struct {
	Presigned
	batch int       // those that came together
	until time.Time // when it counts as expired; zero: the store decides
}

func (h held) valid() bool { return h.until.IsZero() || time.Now().Before(h.until) }

// same reports whether two urls are one.
func same(a, b Presigned) bool {
	return a.Part == b.Part && a.URL == b.URL && a.Expires.Equal(b.Expires)
}

func newURLs(parts []Part, first []Presigned) *urls {
	g := &urls{turn: make(chan struct{}, 1), queue: parts, waiting: make(map[int]Part), have: make(map[int]held)}
	g.turn <- struct{}{}
	g.keep(first)
	return g
}

// keep stores urls. One is renewed a tenth of its life before its end, at
// most ten seconds: the clocks differ a little, and the request takes time.
// One that is past its end when it comes says that the clocks differ a lot:
// then the store decides.
func (g *urls) keep(gs []Presigned) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches++
	for _, x := range gs {
		h := held{Presigned: x, batch: g.batches}
		if left := time.Until(x.Expires); !x.Expires.IsZero() && left > 0 {
			h.until = x.Expires.Add(-min(10*time.Second, left/10))
		}
		g.have[x.Part] = h
	}
}

// next gives the next part to send; false when none is left.
func (g *urls) next() (Part, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return Part{}, false
	}
	p := g.queue[0]
	g.queue = g.queue[1:]
	g.waiting[p.Number] = p
	return p, true
}

// take gives a presigned URL for p.
func (g *urls) take(ctx context.Context, p Part) (Presigned, error) {
	if ctx.Err() != nil {
		return Presigned{}, context.Cause(ctx)
	}
	if x, ok := g.at(p); ok {
		return x, nil
	}
	if !g.renewable {
		return Presigned{}, fmt.Errorf("part %d: %w, and this provider issues no new ones", p.Number, ErrExpired)
	}
	select {
	case <-g.turn:
	case <-ctx.Done():
		return Presigned{}, context.Cause(ctx)
	}
	defer func() { g.turn <- struct{}{} }()
	if x, ok := g.at(p); ok { // whoever had the turn before asked for it too
		return x, nil
	}
	if g.failed != nil {
		return Presigned{}, g.failed
	}
	// Alone, where among others the provider left it out.
	for _, ask := range [][]Part{g.wanted(p), {p}} {
		got, err := g.fetch(ctx, ask)
		if err != nil {
			g.failed = err
			return Presigned{}, err
		}
		g.keep(got)
		if x, ok := g.at(p); ok {
			return x, nil
		}
	}
	return Presigned{}, fmt.Errorf("part %d: the provider signed other parts than this one: %w", p.Number, ErrReply)
}

// at is the presigned at hand for p, if it is one to try. One that cannot be
// renewed is tried to the end: the store's clock decides, not ours.
func (g *urls) at(p Part) (Presigned, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h, ok := g.have[p.Number]
	if !ok || g.renewable && !h.valid() {
		g.waiting[p.Number] = p
		return Presigned{}, false
	}
	delete(g.waiting, p.Number)
	return h.Presigned, true
}

// wanted are the parts to ask for: p, those that wait as it does, those that
// will be sent next.
func (g *urls) wanted(p Part) []Part {
	g.mu.Lock()
	defer g.mu.Unlock()
	ask := []Part{p}
	for n, w := range g.waiting {
		if n != p.Number {
			ask = append(ask, w)
		}
	}
	slices.SortFunc(ask[1:], func(a, b Part) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, q := range g.queue {
		if len(ask) >= g.window {
			break
		}
		if h, ok := g.have[q.Number]; !ok || !h.valid() {
			ask = append(ask, q)
		}
	}
	return ask
}

// refuse forgets a presigned URL that the store refused, unless a newer one came, and
// those that came with it where there are others to be had: they have ended too.
func (g *urls) refuse(x Presigned) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.have[x.Part]
	if !same(h.Presigned, x) {
		return
	}
	delete(g.have, x.Part)
	for part, other := range g.have {
		if g.renewable && other.batch == h.batch && !h.Expires.Before(other.Expires) {
			delete(g.have, part)
		}
	}
}

// used forgets the presigned of a part that is stored.
func (g *urls) used(part int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.have, part)
}

// maxExpired is how often in a row a part's presigned may be refused as expired.
const maxExpired = 4

// clockError explains urls that are refused as soon as they are issued. To
// ask for more of them would help nobody.
func (r *run) clockError(err error) error {
	why := "do the clocks of the provider and of its store agree?"
	if c, ok := r.Provider.(Clock); ok {
		if skew, ok := c.Skew(); ok && skew.Abs() >= maxSkew {
			why = clocks(skew)
		}
	}
	return &exhausted{fmt.Errorf("new urls are refused as expired (%s): %w", why, err)}
}
