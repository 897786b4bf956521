package check

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// trial is one case under way.
type trial struct {
	TB
	Subject
}

// answerWithin bounds what must end by itself: far longer than it takes, so
// that a slow machine does not make it fail.
const answerWithin = 30 * time.Second

// open opens the provider with a key that is taken.
func (t *trial) open() upload.Provider {
	t.Helper()
	return t.openWith(Opening{Key: t.Key})
}

func (t *trial) openWith(o Opening) upload.Provider {
	t.Helper()
	p, err := t.Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if _, ok := p.(upload.Checkpointer); ok != t.Checkpoints {
		t.Fatalf("the provider is a Checkpointer: %t, want %t", ok, t.Checkpoints)
	}
	if _, ok := p.(upload.Prober); ok != t.Probes {
		t.Fatalf("the provider is a Prober: %t, want %t", ok, t.Probes)
	}
	return p
}

// file is one whose bytes are those of its name and size, and of no other.
func file(name string, size int64) (upload.File, []byte) {
	seed := sha256.Sum256(fmt.Appendf(nil, "%d %s", size, name))
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body) // it never fails
	return upload.File{
		Path: "/check/file", Name: name, Type: "application/octet-stream", Size: size,
		ModTime: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC),
	}, body
}

// try makes a call as often as the subject allows, and looks at every error.
func (t *trial) try(call func() error) error {
	t.Helper()
	for n := 1; ; n++ {
		err := call()
		t.clean("an error", err)
		var passes upload.Temporary
		if n >= t.Tries || !errors.As(err, &passes) || !passes.Temporary() {
			return err
		}
		t.Logf("try %d: %v", n, err)
	}
}

// clean holds that no key is in what is shown or kept.
func (t *trial) clean(what string, v any) {
	t.Helper()
	if v == nil {
		return
	}
	text := ""
	if err, ok := v.(error); ok {
		text = err.Error()
	} else {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s is not JSON: %v", what, err)
		}
		text = string(b)
	}
	for _, key := range []string{t.Key, t.BadKey} {
		if strings.Contains(text, key) {
			t.Errorf("%s has the key in it: %s", what, strings.ReplaceAll(text, key, "KEY"))
		}
	}
}

// kept is v as the journal gives it back: all that a later process has.
func kept[V any](t *trial, v V) V {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%T is not JSON: %v", v, err)
	}
	var back V
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatalf("%T does not come back from JSON: %v", v, err)
	}
	return back
}

// refused holds that an error is a clear no: the upload is gone or the
// provider refuses.
func (t *trial) refused(what string, err error) {
	t.Helper()
	if !errors.Is(err, upload.ErrGone) && !errors.Is(err, upload.ErrRefused) {
		t.Errorf("%s: %v; want an error that is ErrGone or ErrRefused", what, err)
	}
}

// silent holds that a call sends nothing.
func (t *trial) silent(what string, call func()) {
	t.Helper()
	t.sends(what, 0, call)
}

// sends holds that a call makes so many requests, to the API alone.
func (t *trial) sends(what string, want int, call func()) {
	t.Helper()
	if t.Wire == nil {
		t.Logf("%s: not seen on the wire", what)
		call()
		return
	}
	before := len(t.Wire.Exchanges())
	call()
	sent := t.Wire.Exchanges()[before:]
	if len(sent) != want {
		t.Errorf("%s sent %d requests, want %d: %v", what, len(sent), want, sent)
	}
	for _, x := range sent {
		if x.At != API {
			t.Errorf("%s sent something to the store: %v", what, x)
		}
	}
}

// checkpointed marks receipts as the engine does once they were handed over.
func checkpointed(rs []upload.Receipt) []upload.Receipt {
	out := make([]upload.Receipt, len(rs))
	for i, r := range rs {
		r.Checkpointed = true
		out[i] = r
	}
	return out
}
