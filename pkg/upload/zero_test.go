package upload_test

import (
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// An Uploader with only a provider is complete: its journal is in memory, it has
// slots and a rate limit, and it reports its events nowhere.
func TestZeroValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 100_000)
		r.cloud.spyPut, r.cloud.spyComplete = nil, nil
		failed := time.Duration(0)
		start := time.Now()
		r.cloud.onPut = func(int, upload.Part) error {
			if failed = time.Since(start); failed < 14*time.Minute {
				return trouble(503)
			}
			return nil
		}
		u := &upload.Uploader{Provider: r.cloud}
		rep, err := u.Upload(t.Context(), upload.File{Path: r.path})
		if err != nil || rep.Result.Value != "object-u1" || rep.PartsStored != rep.Parts {
			t.Errorf("%+v: %v", rep, err)
		}
		if failed < 14*time.Minute {
			t.Errorf("it was retried for %s", failed)
		}
		// A journal of one call remembers nothing for the next.
		if rep, err := u.Upload(t.Context(), upload.File{Path: r.path}); err != nil || rep.Upload != "u2" {
			t.Errorf("again: %+v: %v", rep, err)
		}
	})
}

// Retries alone count: without limit an outage has as many tries as any other
// error, and the next one has as many again.
func TestRetriesWithoutPatience(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.partSize, r.concurrency = 1000, 1
		r.retry = transport.Policy{Retries: 3}
		tries := 0
		r.cloud.onPut = func(n int, p upload.Part) error {
			if tries++; p.Number%3 == 1 && n <= 3 {
				return unreachable()
			}
			return nil
		}
		if rep := r.ok(); rep.Parts != 10 || tries < 10+3*3 {
			t.Errorf("%d tries: %+v", tries, rep)
		}
	})
}
