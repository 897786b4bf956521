package upload_test

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// TestChangeInTheMiddle: an object that mixes two versions of a file is never
// completed. The next run puts it right, and sends only what differs.
func TestChangeInTheMiddle(t *testing.T) {
	at := func(minutes int) time.Time { return time.Date(2026, 11, 1, 12, minutes, 0, 0, time.UTC) }
	for name, test := range map[string]struct {
		change func(r *rig) error
		open   bool // what only works on a file that may be changed while it is open
		id     bool // what only shows where the system tells more than size and time
		after  func(r *rig)
		reused int // at most: of the parts that were stored; -1: it starts over
	}{
		"truncated": {change: func(r *rig) error { return os.Truncate(r.path, 5500) }, after: func(r *rig) { r.write(r.content[:5500], 1) }, reused: -1},
		"emptied":   {change: func(r *rig) error { return os.Truncate(r.path, 0) }, after: func(r *rig) { r.write(nil, 1) }, reused: -1},
		"grown": {change: func(r *rig) error { return os.WriteFile(r.path, random(11_000), 0o600) },
			after: func(r *rig) { r.write(random(11_000), 1) }, reused: -1},
		"modified":                  {change: func(r *rig) error { r.write(flipped(r.content, 1, 9001), 1); return nil }, reused: 9},
		"touched":                   {change: func(r *rig) error { return os.Chtimes(r.path, at(1), at(1)) }, reused: 10},
		"edited, its time set back": {id: true, change: func(r *rig) error { r.write(flipped(r.content, 1), 0); return nil }, reused: 9},
		"replaced": {open: true, change: func(r *rig) error {
			other := r.path + ".new"
			c := flipped(r.content, 2500)
			err := errors.Join(os.WriteFile(other, c, 0o600), os.Chtimes(other, at(0), at(0)), os.Rename(other, r.path))
			r.content = c
			return err
		}, after: func(r *rig) { r.write(r.content, 1) }, reused: 9},
		"deleted": {open: true, change: func(r *rig) error { return os.Remove(r.path) }, after: func(r *rig) { r.write(r.content, 0) }, reused: 10},
		"moved": {open: true, change: func(r *rig) error { return os.Rename(r.path, r.path+".old") },
			after: func(r *rig) { r.write(r.content, 0) }, reused: 10},
	} {
		for when, hook := range map[string]func(r *rig, f func()){
			"as a part is sent": func(r *rig, f func()) {
				r.cloud.onPut = func(_ int, p upload.Part) error {
					if p.Number == 4 {
						f()
					}
					return nil
				}
			},
			"after the last part": func(r *rig, f func()) {
				r.observe = func(e upload.Event) {
					if s, ok := e.(upload.Stored); ok && s.Part.Number == 10 {
						f()
					}
				}
			},
		} {
			for _, digest := range []string{"", upload.DigestMD5, upload.DigestCRC32C} {
				t.Run(name+" "+when+" "+digest, func(t *testing.T) {
					if test.open {
						skipOnWindows(t)
					}
					if test.id && runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
						t.Skip("this system does not tell of an edit whose time was set back")
					}
					bubble(t, func(t *testing.T) {
						r := newRig(t, 10_000)
						r.concurrency = 1
						r.cloud.digest = digest
						changed := false
						hook(r, func() {
							if changed {
								return
							}
							changed = true
							if err := test.change(r); err != nil {
								t.Error(err)
							}
						})
						rep, err := r.run(t.Context())
						if !errors.Is(err, upload.ErrChanged) || r.cloud.completes != 0 {
							t.Fatalf("error %v, %d completes", err, r.cloud.completes)
						}
						stored := rep.PartsStored
						r.cloud.onPut, r.observe = nil, nil
						if test.after != nil {
							test.after(r)
						}
						again := r.ok()
						if test.reused < 0 {
							if again.Upload != "u2" || again.PartsReused != 0 || len(r.cloud.aborted) != 1 {
								t.Errorf("%+v", again)
							}
						} else if again.Upload != "u1" || again.PartsReused < min(stored, test.reused)-1 || again.PartsReused > min(stored, test.reused) {
							t.Errorf("%d were stored, and %d reused", stored, again.PartsReused)
						}
					})
				})
			}
		}
	}
}
