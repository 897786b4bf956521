package upload_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Who waits gets a slot by rank, and by age within a rank.
func TestSlotsGoByRank(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := upload.NewSlots(2)
		for range 2 {
			if err := s.Take(t.Context(), 9); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var order []int
		for _, rank := range []int{3, 1, 2, 1} {
			go func() {
				if err := s.Take(t.Context(), rank); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, rank)
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		late := make(chan error, 1)
		go func() { late <- s.Take(ctx, 0) }()
		synctest.Wait()
		cancel()
		if err := <-late; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		for range 4 {
			s.Give()
			synctest.Wait()
		}
		if !slices.Equal(order, []int{1, 1, 2, 3}) {
			t.Errorf("got one in the order %v", order)
		}
	})
}

// Several uploads keep to the slots together; the first has all it can use.
func TestUploadsShareSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slots := upload.NewSlots(4)
		r := newRig(t, 21_000)
		r.cloud.takes = time.Second
		r.slots, r.concurrency = slots, 0
		small := newRig(t, 3000)
		small.cloud.takes = time.Second
		small.slots, small.rank, small.concurrency = slots, 1, 0
		var wg sync.WaitGroup
		start := time.Now()
		var ended [2]time.Duration
		for i, r := range []*rig{r, small} {
			if err := slots.Take(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer slots.Give()
				r.ok()
				ended[i] = time.Since(start)
			})
			synctest.Wait()
		}
		wg.Wait()
		// The large one has four parts at a time, and in its sixth second only
		// one, beside which the small one has two or three: the slot that the
		// large one began with it keeps to its end.
		if r.cloud.mostPutting != 4 || small.cloud.mostPutting < 2 || ended[0] != 6*time.Second || ended[1] > 7*time.Second {
			t.Errorf("%d and %d parts at once, ended after %v", r.cloud.mostPutting, small.cloud.mostPutting, ended)
		}
	})
}

// A stream is uploaded through a spool that it does not fit into, also where
// the network breaks.
func TestUploadFromAStream(t *testing.T) {
	for name, digest := range map[string]string{"plain": "", "crc32c": upload.DigestCRC32C, "md5": upload.DigestMD5} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 200_000)
			r.cloud.digest = digest
			r.retry.Base, r.retry.Cap = time.Millisecond, time.Millisecond
			r.cloud.losePut = func(n int, p upload.Part) error {
				if n == 1 && p.Number%7 == 0 {
					return silence()
				}
				return nil
			}
			rep, err := r.from(t.Context(), 200_000, 20_000)
			if err != nil {
				t.Fatal(err)
			}
			r.check(rep)
			for part, n := range r.cloud.counts("u1") {
				if n > 2 {
					t.Errorf("part %d was stored %d times", part, n)
				}
			}
		})
	}
}

// What is let go cannot be read again for a digest of the whole.
func TestAStreamHasNoSHA1(t *testing.T) {
	r := newRig(t, 20_000)
	r.cloud.digest = upload.DigestSHA1
	if _, err := r.from(t.Context(), 20_000, 5000); !errors.Is(err, upload.ErrLimit) || len(r.cloud.counts("u1")) > 0 {
		t.Errorf("%d parts were stored: %v", len(r.cloud.counts("u1")), err)
	}
}

// What is let go cannot be sent again: it is said, and nothing else is made up.
func TestAStreamCannotStartOver(t *testing.T) {
	r := newRig(t, 20_000)
	r.cloud.onPut = func(_ int, p upload.Part) error {
		if p.Number == 12 {
			r.cloud.uploads["u1"].gone = true
			return upload.ErrGone
		}
		return nil
	}
	if _, err := r.from(t.Context(), 20_000, 5000); !errors.Is(err, upload.ErrGone) || r.cloud.creates != 1 {
		t.Errorf("%d uploads: %v", r.cloud.creates, err)
	}
}

// A part that does not find room would wait for itself.
func TestAPartLargerThanTheSpool(t *testing.T) {
	r := newRig(t, 20_000)
	if _, err := r.from(t.Context(), 20_000, 999); !errors.Is(err, upload.ErrPartSize) || len(r.cloud.aborted) != 1 {
		t.Errorf("aborted %v: %v", r.cloud.aborted, err)
	}
}

// A stream that ends early, or goes on, is never an object.
func TestAStreamOfAnotherSize(t *testing.T) {
	for _, size := range []int64{19_999, 20_001} {
		r := newRig(t, 20_000)
		if _, err := r.from(t.Context(), size, 1<<20); !errors.Is(err, upload.ErrChanged) || len(r.cloud.objects) != 0 {
			t.Errorf("said to have %d: %v, %d objects", size, err, len(r.cloud.objects))
		}
	}
}
