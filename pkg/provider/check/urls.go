package check

import (
	"errors"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// urlsAgain asks for urls of some parts, in any order, and of one part
// twice; or proves that there are none to be had.
func (t *trial) urlsAgain() {
	if !t.Renewable {
		t.urlsOnce()
		return
	}
	f, body := file("urls again.bin", 2*t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	t.alive(gs)
	first, second, last := u.Parts[0], u.Parts[1], u.Parts[2]
	old := t.urls(p, u, gs, u.Parts)
	t.presigned(p, u, []upload.Part{second})
	t.presigned(p, u, []upload.Part{last, first})
	fresh := map[int]upload.Presigned{}
	for _, g := range t.presigned(p, u, []upload.Part{second, last, second}) {
		fresh[g.Part] = g
		t.alive([]upload.Presigned{g})
	}
	// An older presigned URL is good until its end.
	rs := []upload.Receipt{t.put(p, u, old[first.Number], first, body)}
	for _, part := range []upload.Part{second, last} {
		g, ok := fresh[part.Number]
		if !ok {
			g = t.presigned(p, u, []upload.Part{part})[0]
		}
		rs = append(rs, t.put(p, u, g, part, body))
	}
	t.complete(p, u, rs, body)
}

// alive holds that urls can be used, as far as they say until when.
func (t *trial) alive(gs []upload.Presigned) {
	t.Helper()
	for _, g := range gs {
		if !g.Expires.IsZero() && !g.Expires.After(time.Now()) {
			t.Errorf("the presigned URL of part %d ended at %s, before it could be used", g.Part, g.Expires)
		}
	}
}

// urlsOnce asks a provider that issues urls only once: it says no, and
// sends nothing.
func (t *trial) urlsOnce() {
	f, body := file("urls once.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	t.alive(gs)
	t.silent("presign", func() {
		if again, err := p.Presign(t.Context(), u, u.Parts); err == nil {
			t.Errorf("presign: %d urls and no error from a provider that issues none again", len(again))
		}
	})
	t.complete(p, u, t.putAll(p, u, gs, u.Parts, body), body)
}

// lapsed uses a presigned URL that is past its end.
func (t *trial) lapsed() {
	if t.Backdate == nil {
		t.Logf("not tried: no expired presigned URL can be made here")
		return
	}
	f, body := file("lapsed.bin", 1000)
	p := t.open()
	undo := t.Backdate()
	u, gs := t.create(p, f)
	part := u.Parts[0]
	g := t.urls(p, u, gs, u.Parts)[part.Number]
	undo()
	if g.URL == "" {
		t.Logf("nothing to try: parts go to the API itself, without a presigned URL that ends")
		return
	}
	if _, err := t.tryPut(p, u, g, part, body); !errors.Is(err, upload.ErrExpired) {
		t.Errorf("put with a presigned URL past its end: %v; want ErrExpired", err)
	}
	if t.Renewable {
		g = t.presigned(p, u, u.Parts[:1])[0]
		t.complete(p, u, []upload.Receipt{t.put(p, u, g, part, body)}, body)
	}
}
