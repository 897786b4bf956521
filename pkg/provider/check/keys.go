package check

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

// refusedKey creates with a key that the API refuses: it says so, and nothing
// else is sent.
func (t *trial) refusedKey() {
	f, _ := file("refused key.bin", 100)
	p := t.openWith(Opening{Key: t.BadKey})
	t.sends("create with a refused key", 1, func() {
		u, gs, err := p.Create(t.Context(), f, upload.Hint{PartSize: t.PartSize})
		t.denied("create", err)
		if u.ID != "" || len(gs) > 0 {
			t.Errorf("create: the upload %q and %d urls from a key that is refused", u.ID, len(gs))
		}
	})
}

func (t *trial) denied(what string, err error) {
	t.Helper()
	t.clean("an error", err)
	if !errors.Is(err, upload.ErrDenied) {
		t.Errorf("%s with a refused key: %v; want ErrDenied", what, err)
	}
}

// keyRefusedLater does each later step with a key that is refused: that ends
// nothing, and the right key goes on.
func (t *trial) keyRefusedLater() {
	f, body := file("key refused later.bin", 1000)
	p, bad := t.open(), t.openWith(Opening{Key: t.BadKey})
	u, gs := t.create(p, f)
	urls := t.urls(p, u, gs, u.Parts)
	part := u.Parts[0]
	fixed := urls[part.Number].URL == ""
	if t.Renewable && !fixed {
		_, err := bad.Presign(t.Context(), u, u.Parts)
		t.denied("presign", err)
	}
	if fixed { // otherwise a part goes to the store, which asks for no key
		_, err := bad.Put(t.Context(), u, urls[part.Number], part, bytes.NewReader(body[:part.Size]))
		t.denied("put", err)
	}
	rs := t.putAll(p, u, gs, u.Parts, body)
	if c, ok := bad.(upload.Checkpointer); ok {
		t.denied("checkpoint", c.Checkpoint(t.Context(), u, rs[:1]))
	}
	_, err := bad.Complete(t.Context(), u, rs, digests(u, body))
	t.denied("complete", err)
	if t.Aborts {
		t.denied("abort", bad.Abort(t.Context(), u))
	}
	t.complete(p, u, rs, body)
}

// whereTheKeyWent looks at everything that was sent: the key went to the API,
// in one header of each request, and nowhere else.
func (t *trial) whereTheKeyWent() {
	if t.Wire == nil {
		t.Logf("not checked: the requests are not recorded")
		return
	}
	const header = "a header"
	seen := map[string]int{}
	for _, x := range t.Wire.Exchanges() {
		places := t.places(x)
		seen[x.At]++
		switch {
		case x.At == Store && len(places) > 0:
			t.Errorf("%v: the key is in %v", x, places)
		case x.At == API && (len(places) != 1 || places[0] != header):
			t.Errorf("%v: the key is in %v, want it in one header", x, places)
		}
	}
	if seen[API] == 0 {
		t.Errorf("nothing was sent to the API, so nothing is proven")
	}
	t.Logf("%d requests to the API had the key, %d to the store had not", seen[API], seen[Store])
}

// places are where a request has one of the keys.
func (t *trial) places(x Exchange) (all []string) {
	has := func(s string) bool { return strings.Contains(s, t.Key) || strings.Contains(s, t.BadKey) }
	if has(x.URI) || has(x.Host) {
		all = append(all, "the URL")
	}
	for name, values := range x.Header {
		for _, v := range values {
			if has(v) || has(name) {
				all = append(all, "a header")
			}
		}
		if x.At == Store && http.CanonicalHeaderKey(name) == "Authorization" {
			all = append(all, "an Authorization header of any kind")
		}
	}
	if has(string(x.Body)) {
		all = append(all, "the body")
	}
	return all
}
