package contract

import (
	"errors"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// grantsAgain asks for grants of some parts, in any order, and of one part
// twice; or proves that there are none to be had.
func (t *trial) grantsAgain() {
	if !t.Regrants {
		t.grantsOnce()
		return
	}
	f, body := file("grants again.bin", 2*t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	t.alive(gs)
	first, second, last := u.Parts[0], u.Parts[1], u.Parts[2]
	old := t.grants(p, u, gs, u.Parts)
	t.grant(p, u, []upload.Part{second})
	t.grant(p, u, []upload.Part{last, first})
	fresh := map[int]upload.Grant{}
	for _, g := range t.grant(p, u, []upload.Part{second, last, second}) {
		fresh[g.Part] = g
		t.alive([]upload.Grant{g})
	}
	// An older grant is good until its end.
	rs := []upload.Receipt{t.put(p, u, old[first.Number], first, body)}
	for _, part := range []upload.Part{second, last} {
		g, ok := fresh[part.Number]
		if !ok {
			g = t.grant(p, u, []upload.Part{part})[0]
		}
		rs = append(rs, t.put(p, u, g, part, body))
	}
	t.complete(p, u, rs, body)
}

// alive holds that grants can be used, as far as they say until when.
func (t *trial) alive(gs []upload.Grant) {
	t.Helper()
	for _, g := range gs {
		if !g.Expires.IsZero() && !g.Expires.After(time.Now()) {
			t.Errorf("the grant of part %d ended at %s, before it could be used", g.Part, g.Expires)
		}
	}
}

// grantsOnce asks a provider that issues grants only once: it says no, and
// asks nobody.
func (t *trial) grantsOnce() {
	f, body := file("grants once.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	t.alive(gs)
	t.silent("grant", func() {
		if again, err := p.Grant(t.Context(), u, u.Parts); err == nil {
			t.Errorf("grant: %d grants and no error from a provider that issues none again", len(again))
		}
	})
	t.complete(p, u, t.putAll(p, u, gs, u.Parts, body), body)
}

// lapsed uses a grant that is past its end.
func (t *trial) lapsed() {
	if t.Backdate == nil {
		t.Logf("not tried: nobody can issue a grant that has ended here")
		return
	}
	f, body := file("lapsed.bin", 1000)
	p := t.open()
	undo := t.Backdate()
	u, gs := t.create(p, f)
	part := u.Parts[0]
	g := t.grants(p, u, gs, u.Parts)[part.Number]
	undo()
	if g.URL == "" {
		t.Logf("nothing to try: parts go to the API itself, without a grant that ends")
		return
	}
	if _, err := t.tryPut(p, u, g, part, body); !errors.Is(err, upload.ErrExpired) {
		t.Errorf("put with a grant past its end: %v; want ErrExpired", err)
	}
	if t.Regrants {
		g = t.grant(p, u, u.Parts[:1])[0]
		t.complete(p, u, []upload.Receipt{t.put(p, u, g, part, body)}, body)
	}
}
