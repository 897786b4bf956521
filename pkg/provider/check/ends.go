package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	"github.com/multiput/multiput/pkg/upload"
)

// partMissing completes without a part, and then with it.
func (t *trial) partMissing() {
	f, body := file("part missing.bin", t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	last := len(u.Parts) - 1
	// The first is sent last, so that what is missing is not the end.
	rs := t.putAll(p, u, gs, u.Parts[1:], body)
	if result, err := t.tryComplete(p, u, rs, digests(u, body)); err == nil {
		t.Fatalf("complete with %d of %d parts: %q", last, last+1, result.Value)
	} else {
		t.refused("complete without a part", err)
	}
	if _, err := t.tryComplete(p, u, nil, digests(u, body)); err == nil {
		t.Fatalf("complete without any part: no error")
	} else {
		t.refused("complete without any part", err)
	}
	// A no loses nothing: what is stored stays.
	rs = append(t.putAll(p, u, gs, u.Parts[:1], body), rs...)
	t.complete(p, u, rs, body)
}

// forgedReceipt completes with a receipt that no store gave.
func (t *trial) forgedReceipt() {
	f, body := file("forged.bin", 100)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	forged := slices.Clone(rs)
	forged[0].Value = mutated(forged[0].Value)
	if _, err := t.tryComplete(p, u, forged, digests(u, body)); err == nil {
		t.Fatalf("complete with the receipt %q instead of %q: no error", forged[0].Value, rs[0].Value)
	} else {
		t.refused("complete with a forged receipt", err)
	}
	t.complete(p, u, rs, body)
}

// mutated is another token of the same form: its last letter or digit is
// another.
func mutated(s string) string {
	b := []byte(s)
	for i, c := range slices.Backward(b) {
		switch {
		case c >= '0' && c <= '9':
			b[i] = '0' + (c-'0'+1)%10
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F': // it may be hexadecimal
			first := c&^0x1f | 1
			b[i] = first + (c-first+1)%6
		case c >= 'g' && c <= 'z', c >= 'G' && c <= 'Z':
			first := c&^0x1f | 7
			b[i] = first + (c-first+1)%20
		default:
			continue
		}
		break
	}
	return string(b)
}

// otherDigest completes with the digest of another file.
func (t *trial) otherDigest() {
	f, body := file("other digest.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	if u.Digest == "" {
		t.Logf("nothing to try: this API takes no digest of the whole file")
		return
	}
	rs := t.putAll(p, u, gs, u.Parts, body)
	other := bytes.Clone(body)
	other[500] ^= 1
	// Not every API says why it says no.
	no := func(what string, err error) {
		if !errors.Is(err, upload.ErrChecksum) {
			t.refused(what, err)
		}
	}
	if _, err := t.tryComplete(p, u, rs, digests(u, other)); err == nil {
		t.Fatalf("complete with the digest of another file: no error")
	} else {
		no("complete with the digest of another file", err)
	}
	// Some APIs mark the upload as corrupt then, others let it be repaired.
	if result, err := t.tryComplete(p, u, rs, digests(u, body)); err == nil {
		t.object(u, result, body)
	} else {
		no("complete after that with the right digest", err)
	}
}

// completedTwice completes again, as is done when the answer was lost: the
// provider says the same or that there is no such upload, and nothing else.
func (t *trial) completedTwice() {
	f, body := file("completed twice.bin", 100)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	first := t.complete(p, u, rs, body)
	again, err := t.tryComplete(p, u, rs, digests(u, body))
	switch {
	case err != nil:
		t.refused("complete again", err)
	case again.Value != first.Value:
		t.Errorf("complete again: %q, and the first time %q", again.Value, first.Value)
	}
	t.object(u, first, body)
}

// probe asks whether an upload was completed: one that was, one that was not,
// and one that never was.
func (t *trial) probe() {
	if !t.Probes {
		t.Logf("nothing to try: the provider is no Prober, as open checks each time")
		return
	}
	f, body := file("asked for.bin", t.PartSize+1)
	p := t.open()
	u, gs := t.create(p, f)
	t.notSaidCompleted("before a part is stored", u)
	rs := t.putAll(p, u, gs, u.Parts, body)
	t.notSaidCompleted("before complete", u)
	t.notSaidCompleted("of an unknown upload", t.stranger(u))
	first := t.complete(p, u, rs, body)
	for range 2 { // to ask changes nothing
		answer, result, err := t.tryProbe(t.open(), kept(t, u))
		if err != nil || answer != upload.Completed || result.Value != first.Value {
			t.Errorf("asked after complete: %v, %q, %v; want that it was completed, as %q", answer, result.Value, err, first.Value)
		}
		t.result(result)
	}
	t.object(u, first, body)
	_, _, err := t.tryProbe(t.openWith(Opening{Key: t.BadKey}), u)
	t.denied("probe", err)
}

func (t *trial) tryProbe(p upload.Provider, u upload.Upload) (answer upload.Answer, r upload.Result, err error) {
	t.Helper()
	err = t.try(func() (err error) {
		answer, r, err = p.(upload.Prober).Probe(t.Context(), u)
		return err
	})
	return answer, r, err
}

// notSaidCompleted holds that an upload that was not completed is not said to
// have been.
func (t *trial) notSaidCompleted(when string, u upload.Upload) {
	t.Helper()
	if answer, r, err := t.tryProbe(t.open(), kept(t, u)); err != nil || answer == upload.Completed || r.Value != "" {
		t.Errorf("asked %s: %v, %q, %v; want that it was not completed or cannot be told", when, answer, r.Value, err)
	}
}

// abort aborts an upload, twice; nothing goes to it any more.
func (t *trial) abort() {
	f, body := file("aborted.bin", 1000)
	p := t.open()
	u, gs := t.create(p, f)
	if !t.Aborts {
		t.silent("abort", func() {
			if err := p.Abort(t.Context(), u); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("abort where the API has no call for it: %v, want errors.ErrUnsupported", err)
			}
		})
		return
	}
	urls := t.urls(p, u, gs, u.Parts)
	part := u.Parts[0]
	stored := t.put(p, u, urls[part.Number], part, body)
	for range 2 {
		if err := t.tryAbort(t.open(), kept(t, u)); err != nil {
			t.Errorf("abort: %v", err)
		}
	}
	_, err := t.tryPut(p, u, urls[part.Number], part, body)
	t.refused("put after abort", err)
	t.nothingGoes(p, u, []upload.Receipt{stored}, body)
}

func (t *trial) tryAbort(p upload.Provider, u upload.Upload) error {
	t.Helper()
	return t.try(func() error { return p.Abort(t.Context(), u) })
}

// nothingGoes holds that an upload takes nothing that needs it.
func (t *trial) nothingGoes(p upload.Provider, u upload.Upload, rs []upload.Receipt, body []byte) {
	t.Helper()
	if t.Renewable {
		var gs []upload.Presigned
		err := t.try(func() (err error) {
			gs, err = p.Presign(t.Context(), u, u.Parts)
			return err
		})
		if err != nil {
			t.refused("presign", err)
		} else {
			// Where parts go to the API itself no URL is requested, and the part is
			// refused instead.
			_, err := t.tryPut(p, u, gs[0], u.Parts[0], body)
			t.refused("put", err)
		}
	}
	if c, ok := p.(upload.Checkpointer); ok {
		t.refused("checkpoint", t.try(func() error { return c.Checkpoint(t.Context(), u, rs) }))
	}
	_, err := t.tryComplete(p, u, rs, digests(u, body))
	t.refused("complete", err)
}

// abortCompleted aborts an upload that is complete: its object stays,
// whatever the provider says.
func (t *trial) abortCompleted() {
	if !t.Aborts {
		t.Logf("nothing to try: this API has no call that aborts an upload")
		return
	}
	f, body := file("abort completed.bin", 100)
	p := t.open()
	u, gs := t.create(p, f)
	result := t.complete(p, u, t.putAll(p, u, gs, u.Parts, body), body)
	if err := t.tryAbort(p, u); err != nil && !errors.Is(err, upload.ErrCompleted) {
		t.refused("abort after complete", err)
	}
	t.object(u, result, body)
}

// unknownUpload continues an upload that the provider never had.
func (t *trial) unknownUpload() {
	f, body := file("unknown.bin", 100)
	p := t.open()
	u, gs := t.create(p, f)
	rs := t.putAll(p, u, gs, u.Parts, body)
	stranger := t.stranger(u)
	t.nothingGoes(p, stranger, rs, body)
	if t.Aborts {
		if err := t.tryAbort(p, stranger); err != nil {
			t.Errorf("abort of an upload that is gone: %v, want none", err)
		}
	}
	t.complete(p, u, rs, body)
}

// stranger is an upload like u with another id of the same form, wherever the
// provider keeps it.
func (t *trial) stranger(u upload.Upload) upload.Upload {
	t.Helper()
	b, err := json.Marshal(u)
	if err != nil {
		t.Fatalf("the upload is not JSON: %v", err)
	}
	var other upload.Upload
	if err := json.Unmarshal(bytes.ReplaceAll(b, []byte(u.ID), []byte(mutated(u.ID))), &other); err != nil {
		t.Fatalf("the upload does not come back from JSON: %v", err)
	}
	if other.ID == u.ID || bytes.Equal(other.Data, u.Data) {
		t.Fatalf("the id %q cannot be made another", u.ID)
	}
	return other
}
