package check

import (
	"slices"

	"github.com/multiput/multiput/pkg/upload"
)

func (t *trial) checkpoint(p upload.Provider, u upload.Upload, rs []upload.Receipt) {
	t.Helper()
	if err := t.tryCheckpoint(p, u, rs); err != nil {
		t.Fatalf("checkpoint: %v", err)
	}
}

func (t *trial) tryCheckpoint(p upload.Provider, u upload.Upload, rs []upload.Receipt) error {
	t.Helper()
	c, ok := p.(upload.Checkpointer)
	if !ok {
		t.Fatalf("the provider takes no checkpoints")
	}
	return t.try(func() error { return c.Checkpoint(t.Context(), u, rs) })
}

// checkpoints hands receipts over early, some of them and then all, and some
// again.
func (t *trial) checkpoints() {
	if !t.Checkpoints {
		t.Logf("nothing to try: the provider is no Checkpointer, as open checks each time")
		return
	}
	t.someCheckpointed()
	t.allCheckpointed()
}

func (t *trial) someCheckpointed() {
	f, body := file("some checkpointed.bin", 2*t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	forged := slices.Clone(rs[1:2])
	forged[0].Value = mutated(forged[0].Value)
	t.refused("checkpoint of a forged receipt", t.tryCheckpoint(p, u, forged))
	t.checkpoint(p, u, rs[1:2])
	t.checkpoint(p, u, rs[1:2]) // repeating one is not an error
	rs = slices.Concat(rs[:1], checkpointed(rs[1:2]), rs[2:])
	t.complete(p, u, rs, body)
}

func (t *trial) allCheckpointed() {
	f, body := file("all checkpointed.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	t.checkpoint(p, u, rs)
	t.complete(p, u, checkpointed(rs), body)
}

// takeOver resumes an upload of which only the file is known: the
// provider has what was checkpointed, and gives the rest.
func (t *trial) takeOver() {
	if t.TakeOver == nil {
		t.Logf("nothing to try: nothing is taken over here")
		return
	}
	f, body := file("taken over.bin", t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	t.checkpoint(p, u, rs[:1])

	p = t.openWith(Opening{Key: t.Key, Options: t.TakeOver})
	again, gs, err := t.tryCreate(p, f)
	if err != nil {
		t.Fatalf("create that takes over: %v", err)
	}
	first := u.Parts[0]
	switch {
	case again.ID != u.ID:
		t.Fatalf("create: the upload %s, want %s to be taken over", again.ID, u.ID)
	case !slices.Equal(again.Existing, []upload.Range{{Offset: first.Offset, Size: first.Size}}):
		t.Fatalf("create: the provider has %v, want the one part that was checkpointed", again.Existing)
	case !slices.Equal(again.Parts, u.Parts[1:]):
		t.Fatalf("create: the parts %v are left, want %v", again.Parts, u.Parts[1:])
	}
	again = kept(t, again)
	// Only a digest can vouch for bytes that this client did not send.
	rs = t.putAll(p, again, gs, again.Parts, body)
	t.silent("complete without a digest", func() {
		if _, err := p.Complete(t.Context(), again, rs, upload.Digests{}); err == nil {
			t.Errorf("complete of ranges whose content is unverified: no error")
		}
	})
	t.complete(p, again, rs, body)
}
