package upload_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// reader reads each part before it sends it, from a slow disk.
type reader struct{ *cloud }

func (a reader) Put(ctx context.Context, u upload.Upload, to upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	if err := body.(upload.Hashable).Hash(slow{}); err != nil {
		return upload.Receipt{}, err
	}
	return a.cloud.Put(ctx, u, to, p, body)
}

type slow struct{}

func (slow) Write(p []byte) (int, error) {
	pass(time.Second)
	return len(p), nil
}

// The reading of a part ahead of its sending is told, and ends with an interruption.
func TestReadingAheadIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 1_000_000)
		r.cloud.partSize, r.concurrency, r.provider = 500_000, 1, reader{r.cloud}
		r.ok()
		most := int64(0)
		for _, e := range told[upload.Hashing](r) {
			if e.Why != upload.ReadAhead || e.Of != 500_000 || e.Done >= e.Of {
				t.Errorf("%+v", e)
			}
			most = max(most, e.Done)
		}
		if most < 400_000 {
			t.Errorf("at most %d of 500,000 bytes were told", most)
		}

		r = newRig(t, 1_000_000)
		r.cloud.partSize, r.concurrency, r.provider = 500_000, 1, reader{r.cloud}
		_, took, err := r.interrupted(2500 * time.Millisecond)
		if !errors.Is(err, errCtrlC) || took > 5*time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}
