package upload_test

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// Something is done to the file that its size and time do not show, and its
// bytes are the same: the stored parts are compared, and it is no error.
func TestTouchedAndTheSame(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is nothing to be seen of it on Windows")
	}
	for _, between := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.checkpoints()
			chmod := func() {
				if err := os.Chmod(r.path, 0o400); err != nil {
					t.Error(err)
				}
			}
			if between {
				r.half(5)
				chmod()
			} else {
				r.cloud.onPut = func(_ int, p upload.Part) error {
					if p.Number == 4 {
						chmod()
					}
					return nil
				}
			}
			r.ok()
			r.once("u1")
		})
	}
}

// What a run saw change is not forgotten, whatever the file's time is when the
// next one looks.
func TestChangeIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.concurrency = 1
		was := r.content
		r.cloud.onPut = func(_ int, p upload.Part) error {
			if p.Number == 3 {
				r.write(flipped(r.content, 2500), 1) // this part goes out as it is now
			}
			return nil
		}
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrChanged) {
			t.Fatal(err)
		}
		r.cloud.onPut = nil
		r.write(was, 0) // and comes back as it was
		rep := r.ok()
		if n := r.cloud.counts("u1")[3]; n != 2 || rep.PartsReused != 2 {
			t.Errorf("part 3 was stored %d times, %+v", n, rep)
		}
	})
}
