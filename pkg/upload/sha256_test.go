package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// The SHA-256 is of what was sent, also by an earlier run.
func TestSHA256(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_007)
		r.half(4)
		u := r.uploader()
		u.SHA256 = true
		rep, err := u.Upload(t.Context(), upload.File{Path: r.path})
		if want := sha256.Sum256(r.content); err != nil || !bytes.Equal(rep.SHA256, want[:]) {
			t.Errorf("%x, %v; want %x", rep.SHA256, err, want)
		}
		r.check(rep)

		s := upload.Spool{Dir: t.TempDir(), Limit: 1 << 20, SHA256: true}
		rep, err = u.UploadStream(t.Context(), bytes.NewReader(r.content), -1, s, upload.File{Name: "stream"})
		if want := sha256.Sum256(r.content); err != nil || !bytes.Equal(rep.SHA256, want[:]) {
			t.Errorf("of a stream: %x, %v; want %x", rep.SHA256, err, want)
		}
	})
}

// A file that changes when its parts are stored has no SHA-256, and its result all
// the same.
func TestSHA256OfAChangedFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		u := r.uploader()
		u.SHA256 = true
		u.Observe = func(e upload.Event) {
			if _, ok := e.(upload.Finishing); ok {
				r.write(flipped(r.content, 2500), 0)
			}
		}
		delivered := 0
		u.Deliver = func(_ context.Context, rep upload.Report) error {
			if delivered++; rep.SHA256 != nil || rep.Result.Value == "" {
				t.Errorf("%+v", rep)
			}
			return nil
		}
		rep, err := u.Upload(t.Context(), upload.File{Path: r.path})
		if !errors.Is(err, upload.ErrChanged) || delivered != 1 || r.journal.state(rep.Upload) != upload.Delivered {
			t.Errorf("%v, delivered %d times, state %q", err, delivered, r.journal.state(rep.Upload))
		}
	})
}
