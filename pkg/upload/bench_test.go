package upload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// sink is a provider that takes everything at once and keeps nothing.
type sink struct {
	parts, size int64
	first       func() // called at the first Put
	put         atomic.Bool
}

func (s *sink) Create(_ context.Context, f upload.File, _ upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u := upload.Upload{ID: "u1", File: f, Renewable: true, Data: json.RawMessage(`{}`)}
	for i := range s.parts {
		u.Parts = append(u.Parts, upload.Part{Number: int(i) + 1, Offset: i * s.size, Size: s.size})
	}
	return u, nil, nil
}

func (s *sink) Presign(_ context.Context, _ upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	gs := make([]upload.Presigned, len(parts))
	for i, p := range parts {
		gs[i] = upload.Presigned{Part: p.Number, URL: "https://store/" + strconv.Itoa(p.Number), Expires: time.Now().Add(time.Hour)}
	}
	return gs, nil
}

func (s *sink) Put(_ context.Context, _ upload.Upload, _ upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	if s.first != nil && !s.put.Swap(true) {
		s.first()
	}
	_, err := io.Copy(io.Discard, body)
	return upload.Receipt{Value: tokenETag(p.Number, nil)}, err
}

func (s *sink) Complete(context.Context, upload.Upload, []upload.Receipt, upload.Digests) (upload.Result, error) {
	return upload.Result{Value: "x"}, nil
}

func (s *sink) Abort(context.Context, upload.Upload) error { return nil }

// checkpointingSink takes receipts early too.
type checkpointingSink struct{ *sink }

func (checkpointingSink) Checkpoint(context.Context, upload.Upload, []upload.Receipt) error {
	return nil
}

func (s *sink) provider(checkpoints bool) upload.Provider {
	if checkpoints {
		return checkpointingSink{s}
	}
	return s
}

// sparse makes a file without content.
func sparse(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "file.bin")
	err := os.WriteFile(path, nil, 0o600)
	if err == nil {
		err = os.Truncate(path, size)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkEngine10000Parts is what the engine itself costs: parts of 1 KiB, a
// provider and a journal that cost nothing.
func BenchmarkEngine10000Parts(b *testing.B) {
	for _, checkpoints := range []bool{false, true} {
		b.Run(fmt.Sprintf("checkpoints=%t", checkpoints), func(b *testing.B) {
			const parts, size = 10_000, 1 << 10
			path := sparse(b, parts*size)
			b.ReportAllocs()
			for b.Loop() {
				s := &sink{parts: parts, size: size}
				u := &upload.Uploader{Provider: s.provider(checkpoints), Journal: newMemory(new(process))}
				if _, err := u.Upload(b.Context(), upload.File{Path: path}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*parts), "µs/part")
		})
	}
}

// BenchmarkResume9999of10000 is the time from the call to the first byte of the
// one part that is missing.
func BenchmarkResume9999of10000(b *testing.B) {
	const parts, size = 10_000, 1 << 10
	path := sparse(b, parts*size)
	for _, checkpoints := range []bool{false, true} {
		b.Run(fmt.Sprintf("checkpoints=%t", checkpoints), func(b *testing.B) {
			j := newMemory(new(process))
			s := &sink{parts: parts, size: size}
			u := &upload.Uploader{Provider: s.provider(checkpoints), Journal: j}
			if _, err := u.Upload(b.Context(), upload.File{Path: path}); err != nil {
				b.Fatal(err)
			}
			full := *j.of("u1")
			var toFirst time.Duration
			for b.Loop() {
				rec := clone(full)
				rec.State, rec.Outcome = upload.Sending, nil
				for n, receipt := range rec.Receipts {
					receipt.Checkpointed = false
					rec.Receipts[n] = receipt
				}
				delete(rec.Receipts, 5000)
				j.records[key(full.Target, full.Path)] = rec
				start := time.Now()
				s.put.Store(false)
				s.first = func() { toFirst += time.Since(start) }
				if _, err := u.Upload(b.Context(), upload.File{Path: path}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(toFirst.Microseconds())/1000/float64(b.N), "ms/first-put")
		})
	}
}

// TestMemoryDoesNotGrowWithBytes: what is allocated depends on the parts, not
// on what is in them.
func TestMemoryDoesNotGrowWithBytes(t *testing.T) {
	const parts = 16
	allocated := func(size int64) uint64 {
		path := sparse(t, parts*size)
		s := &sink{parts: parts, size: size}
		u := &upload.Uploader{Provider: s, Journal: newMemory(new(process)), Observe: func(upload.Event) {}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := u.Upload(t.Context(), upload.File{Path: path}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1) // whatever is allocated once
	small, large := allocated(1<<10), allocated(4<<20)
	if grown := int64(large) - int64(small); grown > parts*16<<10 {
		t.Errorf("%d bytes for parts of 1 KiB, %d for parts of 4 MiB", small, large)
	}
}
