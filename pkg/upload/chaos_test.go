package upload_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

var chaosSeeds = flag.Int("chaos", 15, "how many seeds of each kind TestChaos plays: go test ./pkg/upload -run Chaos -v -args -chaos 1000")

// TestChaos lets everything go wrong at random: troubles, lost answers, refused
// URLs, damaged parts, interrupts and kills, at random moments, for many seeds
// and all kinds of API. In the end there is one object that is the file. The
// rig looks on.
func TestChaos(t *testing.T) {
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.Run(kind, func(t *testing.T) {
			runs := 0
			for seed := range *chaosSeeds {
				bubble(t, func(t *testing.T) { runs += chaos(t, kinds[kind], uint64(seed)) })
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Logf("%d uploads took %d runs", *chaosSeeds, runs)
		})
	}
}

// chaos plays one upload to its end and gives how many processes that took.
func chaos(t *testing.T, set func(*rig), seed uint64) (runs int) {
	dice := rand.New(rand.NewPCG(seed, 99))
	var mu sync.Mutex
	in := func(n int) bool { // one time in n
		mu.Lock()
		defer mu.Unlock()
		return dice.IntN(n) == 0
	}
	r := newRig(t, 20_300)
	set(r)
	r.cloud.already = true
	r.cloud.takes = time.Second
	r.cloud.life = time.Hour
	if r.cloud.renewable {
		r.cloud.life = 11 * time.Second
	}
	calm := false
	fails := func() error {
		switch {
		case calm:
			return nil
		case in(40):
			r.journal.killed.Store(true)
			return errKilled
		case in(8):
			return trouble(503)
		case in(20):
			return answered(429, "Retry-After", "2")
		case in(20):
			return silence()
		}
		return nil
	}
	lost := func(int) error {
		if !calm && in(20) {
			return silence()
		}
		return nil
	}
	r.cloud.onCreate = func(int) error { return fails() }
	r.cloud.onPut = func(int, upload.Part) error { return fails() }
	r.cloud.onPresign = func(int, []upload.Part) error { return fails() }
	r.cloud.onCheckpoint = func(int, []upload.Receipt) error { return fails() }
	r.cloud.onComplete = func(int) error { return fails() }
	r.cloud.loseComplete, r.cloud.loseCheckpoint = lost, lost
	r.cloud.losePut = func(n int, _ upload.Part) error { return lost(n) }
	r.cloud.refuseURL = func(upload.Part, int) bool { return r.cloud.renewable && !calm && in(15) }
	if r.cloud.etag == nil && r.checksum != upload.ChecksumOff {
		r.cloud.damage = func(int, upload.Part) bool { return !calm && in(25) }
	}
	for runs = 1; ; runs++ {
		if runs > 200 {
			t.Fatal("it does not end")
		}
		calm = runs > 100
		r.journal.restart()
		if !calm && in(3) {
			r.journal.killAt, r.journal.killAfter = 1+dice.IntN(30), in(2)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if !calm && in(4) {
			time.AfterFunc(time.Duration(dice.IntN(20_000))*time.Millisecond, cancel)
		}
		rep, err := r.run(ctx)
		cancel()
		if killed := r.journal.killed.Load(); err == nil && !killed {
			r.check(rep)
			break
		} else if killed {
			if s := r.journal.state(fmt.Sprintf("u%d", r.cloud.ids)); s == upload.Delivered {
				break // killed right after
			}
			continue
		}
		switch {
		case errors.Is(err, context.Canceled), errors.Is(err, upload.ErrUnfinished), errors.Is(err, upload.ErrDoubt), errors.Is(err, upload.ErrChecksum):
		default:
			t.Fatalf("life %d: %v", runs, err)
		}
	}
	if len(r.cloud.objects) != 1 || len(r.delivered) == 0 {
		t.Errorf("%d objects, delivered %d times", len(r.cloud.objects), len(r.delivered))
	}
	if !slices.Equal(r.cloud.objects[0], r.content) {
		t.Error("the object is not the file")
	}
	return runs
}
