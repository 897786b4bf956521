package upload

import (
	"testing"
	"time"
)

// On a fast link, more parts may carry no more until there are enough for their MD5s
// to be computed together. Eight are tried too, and kept only if they are not
// slower.
func TestAFastLinkGetsEight(t *testing.T) {
	for name, c := range map[string]struct {
		goodput func(parts int) float64 // MB/s
		want    int
	}{
		"MD5s together from five": {func(n int) float64 {
			if n < 5 {
				return 600
			}
			return 880 - float64(n)
		}, 8},
		"the processor is full with two": {func(int) float64 { return 700 }, 8},
		"more than four are slower": {func(n int) float64 {
			if n > 4 {
				return 400
			}
			return 200 * float64(n)
		}, 4},
		"two fill a link that is not fast": {func(int) float64 { return 118 }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			ctl := newController()
			const step = 100 * time.Millisecond
			now := time.Unix(1_800_000_000, 0)
			var at [MaxConcurrency + 1]int // steps with so many parts
			for range 600 {
				at[ctl.n]++
				now = now.Add(step)
				ctl.moved(int64(c.goodput(ctl.n)*1e6*step.Seconds()), ctl.n, now)
			}
			if share := float64(at[c.want]) / 600; share < 0.7 {
				t.Errorf("%d parts for %.0f %% of the time, want 70 %%: %v", c.want, 100*share, at)
			}
		})
	}
}

// A link that becomes far slower does not get more parts than it has.
func TestACollapseAddsNoPart(t *testing.T) {
	ctl := newController()
	ctl.limited(2e6)
	const step = 100 * time.Millisecond
	now := time.Unix(1_800_000_000, 0)
	for i := range 600 {
		rate := 2e6
		if i > 300 {
			rate = 0.2e6
		}
		was := ctl.n
		now = now.Add(step)
		if why, changed := ctl.moved(int64(rate*step.Seconds()), ctl.n, now); changed && why == WhySlower || ctl.slower && ctl.n > was {
			t.Fatalf("%d parts instead of %d after %s", ctl.n, was, now.Sub(time.Unix(1_800_000_000, 0)))
		}
	}
}
