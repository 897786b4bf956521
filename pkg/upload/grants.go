package upload

import (
	"context"
	"fmt"
	"time"
)

// grants hands out leave to send parts. It fetches it just in time: for the
// part asked for and the next ones in the queue, once for all that wait.
type grants struct {
	fetch   func(ctx context.Context, parts []Part) ([]Grant, error)
	regrant bool
	window  int
	next    func(n int) []Part // the parts that will be asked for next
	now     func() time.Time

	turn chan struct{} // holds one token: whoever has it may change have
	have map[int]held
}

type held struct {
	Grant
	until time.Time // when it counts as expired; zero: never
}

func newGrants(first []Grant) *grants {
	g := &grants{turn: make(chan struct{}, 1), have: make(map[int]held), now: time.Now}
	g.turn <- struct{}{}
	for _, x := range first {
		g.add(x)
	}
	return g
}

// add keeps a grant. It is renewed a tenth of its life before its end, at most
// ten seconds: the clocks differ a little, and the request takes time. One that
// comes expired says that a clock is wrong, not when it ends: the store decides.
func (g *grants) add(x Grant) {
	h := held{Grant: x}
	if left := x.Expires.Sub(g.now()); left > 0 {
		h.until = x.Expires.Add(-min(10*time.Second, left/10))
	}
	g.have[x.Part] = h
}

// take gives a grant for p, and whether it is a new one.
func (g *grants) take(ctx context.Context, p Part) (Grant, bool, error) {
	select {
	case <-g.turn:
	case <-ctx.Done():
		return Grant{}, false, ctx.Err()
	}
	defer func() { g.turn <- struct{}{} }()

	h, ok := g.have[p.Number]
	switch {
	case ok && (!g.regrant || h.until.IsZero() || g.now().Before(h.until)):
		// One that cannot be renewed is tried to the end: the server's clock
		// decides, not ours.
		return h.Grant, false, nil
	case !g.regrant:
		return Grant{}, false, fmt.Errorf("part %d: %w, and this provider issues no new ones", p.Number, ErrExpired)
	}
	ask := []Part{p}
	for _, n := range g.next(g.window) {
		if h, ok := g.have[n.Number]; ok && (h.until.IsZero() || g.now().Before(h.until)) {
			continue
		}
		if n.Number != p.Number && len(ask) < g.window {
			ask = append(ask, n)
		}
	}
	got, err := g.fetch(ctx, ask)
	if err != nil {
		return Grant{}, false, err
	}
	for _, x := range got {
		g.add(x)
	}
	h, ok = g.have[p.Number]
	if !ok {
		return Grant{}, false, fmt.Errorf("part %d: the provider granted other parts than this one: %w", p.Number, ErrReply)
	}
	return h.Grant, true, nil
}

// refuse forgets a grant that the store refused, unless a newer one came.
func (g *grants) refuse(x Grant) {
	<-g.turn
	defer func() { g.turn <- struct{}{} }()
	if g.have[x.Part].URL == x.URL {
		delete(g.have, x.Part)
	}
}

// used forgets the grant of a part that is stored.
func (g *grants) used(part int) {
	<-g.turn
	defer func() { g.turn <- struct{}{} }()
	delete(g.have, part)
}

// maxExpired is how often in a row a part's grant may be refused as expired.
const maxExpired = 4

// clockError explains grants that are refused as soon as they are issued.
func clockError(err error) error {
	return fmt.Errorf("new grants are refused as expired (do the clocks of this machine and of the provider agree?): %w: %w", ErrUnfinished, err)
}
