package upload_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// link is a sink behind a link that is emulated in fake time: a round trip, a
// rate of each connection and of all together, and what goes wrong.
type link struct {
	*sink
	trip    time.Duration
	each    float64 // bytes per second of a connection
	all     float64 // and of all of them
	knee    int     // beyond so many, all of them together are slower; 0: never
	refuse  int     // beyond so many, 503; 0: never
	loss    float64 // the share of parts whose connection breaks half way
	changes func(l *link, since time.Duration)
	piece   int // bytes that are read of a body at once
	waiting int // bytes of a part that the kernel takes ahead of the link

	mu     sync.Mutex
	began  time.Time
	active int
	most   int
	got    int64 // bytes that came over it, without those that come again
	lost   int64
	dice   *rand.Rand
}

func newLink(parts, size int64) *link {
	return &link{sink: &sink{parts: parts, size: size}, trip: 50 * time.Millisecond, dice: rand.New(rand.NewPCG(1, 2))}
}

// rate is that of one connection now.
func (l *link) rate() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes != nil {
		l.changes(l, time.Since(l.began))
	}
	all := l.all
	if l.knee > 0 && l.active > l.knee {
		all *= float64(l.knee) / float64(l.active)
	}
	return min(l.each, all/float64(max(1, l.active)))
}

func (l *link) Put(ctx context.Context, _ upload.Upload, _ upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	wait := func(d time.Duration) error {
		if d <= 0 { // with a timer that is over at once, the race detector of Go 1.26 crashes in a bubble
			return nil
		}
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	l.mu.Lock()
	if l.began.IsZero() {
		l.began = time.Now()
	}
	breaks := l.dice.Float64() < l.loss
	refused := l.refuse > 0 && l.active >= l.refuse
	if !refused {
		l.active++
		l.most = max(l.most, l.active)
		defer func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.active--
		}()
	}
	l.mu.Unlock()
	if err := wait(l.trip); err != nil {
		return upload.Receipt{}, err
	}
	if refused {
		return upload.Receipt{}, &transport.Error{Op: "test", Status: 503, Retry: true}
	}
	buf := make([]byte, cmp.Or(l.piece, 64<<10))
	var sent int64
	ahead := 0
	for {
		n, err := body.Read(buf)
		sent += int64(n)
		ahead += n
		now := max(0, ahead-l.waiting)
		if err == io.EOF {
			now = ahead
		}
		ahead -= now
		if wait(time.Duration(float64(now)/l.rate()*float64(time.Second))) != nil {
			l.lose(sent)
			return upload.Receipt{}, context.Cause(ctx)
		}
		l.take(int64(n))
		if breaks && sent > p.Size/2 {
			l.lose(sent)
			return upload.Receipt{}, &transport.Error{Op: "test", Err: errors.New("connection reset"), Retry: true}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return upload.Receipt{}, err
		}
	}
	err := wait(l.trip)
	return upload.Receipt{Value: tokenETag(p.Number, nil)}, err
}

func (l *link) lose(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += n
	if time.Since(l.began) < measuredFor {
		l.got -= n
	}
}

func (l *link) take(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got += n
}

// measuredFor is how long goodput is measured.
const measuredFor = time.Minute

// links are those that the search is measured on.
var links = map[string]struct {
	part int64
	set  func(l *link)
}{
	"long and fat":       {part: 4 * mib, set: func(l *link) { l.trip, l.each, l.all = 80*time.Millisecond, 1e6, 40e6 }},
	"slow":               {part: 5 * mib, set: func(l *link) { l.each, l.all = 1e6, 1e6 }},
	"slower than a part": {part: 8 * mib, set: func(l *link) { l.each, l.all = 200e3, 200e3 }},
	"a knee at four":     {part: 5 * mib, set: func(l *link) { l.each, l.all, l.knee = 8e6, 30e6, 4 }},
	"refuses beyond six": {part: 5 * mib, set: func(l *link) { l.each, l.all, l.refuse = 4e6, 100e6, 6 }},
	"refuses beyond one": {part: 5 * mib, set: func(l *link) { l.each, l.all, l.refuse = 5e6, 100e6, 1 }},
	"lossy":              {part: 2 * mib, set: func(l *link) { l.each, l.all, l.loss = 2e6, 30e6, 0.02 }},
	"near":               {part: 4 * mib, set: func(l *link) { l.trip, l.each, l.all = time.Millisecond, 15e6, 25e6 }},
	"rate-limited":       {part: 8 * mib, set: func(l *link) { l.trip, l.each, l.all = 10*time.Millisecond, 50e6, 8e6 }},
	"faster after 20 s": {part: 4 * mib, set: func(l *link) {
		l.each, l.all = 2e6, 4e6
		l.changes = func(l *link, since time.Duration) {
			if l.all = 4e6; since > 20*time.Second {
				l.all = 30e6
			}
		}
	}},
	"slower after 20 s": {part: 4 * mib, set: func(l *link) {
		l.each, l.all = 2e6, 30e6
		l.changes = func(l *link, since time.Duration) {
			if l.all = 30e6; since > 20*time.Second {
				l.all = 4e6
			}
		}
	}},
}

// goodput is what comes over a link in a minute with so many parts at once, 0 for
// auto, in bytes per second.
func goodput(tb testing.TB, name string, j int) (l *link, rate float64) {
	tb.Helper()
	spec := links[name]
	parts := int64(2.6e9) / spec.part
	l = newLink(parts, spec.part)
	spec.set(l)
	u := &upload.Uploader{Provider: l, Concurrency: j, Checksum: upload.ChecksumOff}
	u.Observe = func(e upload.Event) {
		if c, ok := e.(upload.Concurrency); ok {
			tb.Logf("%6.2fs: %d -> %d (%s, %.2f MB/s)", time.Since(l.began).Seconds(), c.Was, c.Is, c.Why, c.Goodput/1e6)
		}
	}
	ctx, cancel := context.WithTimeout(tb.Context(), measuredFor)
	defer cancel()
	if _, err := u.Upload(ctx, upload.File{Path: sparse(tb, parts*spec.part)}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		tb.Error(err)
	}
	return l, float64(l.got) / min(time.Since(l.began), measuredFor).Seconds()
}

// TestConcurrencyFindsTheLink: without being told, as much comes over each link
// as with the number of parts at once that suits it best.
func TestConcurrencyFindsTheLink(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures, for a minute: with -short, TestAKillOnASlowLinkCostsTwoParts has some of its links")
	}
	for name := range links {
		t.Run(name, func(t *testing.T) {
			var best, auto float64
			at, most := 0, 0
			for _, j := range []int{1, 2, 4, 8, 16, 32, 64, 0} {
				bubble(t, func(t *testing.T) {
					l, rate := goodput(t, name, j)
					switch {
					case j == 0:
						auto, most = rate, l.most
					case rate > best:
						best, at = rate, j
					}
				})
			}
			t.Logf("auto %.2f MB/s (up to %d at once), best %.2f MB/s with %d: %.3f", auto/1e6, most, best/1e6, at, auto/best)
			if auto < 0.88*best {
				t.Errorf("%.2f of the best", auto/best)
			}
		})
	}
}

// A kill at any moment costs at most two parts on a slow link.
func TestAKillOnASlowLinkCostsTwoParts(t *testing.T) {
	for _, rate := range []float64{200e3, 1e6, 5e6, 9e6} {
		t.Run(fmt.Sprintf("%.1f MB/s", rate/1e6), func(t *testing.T) {
			for second := range 12 {
				bubble(t, func(t *testing.T) {
					l := newLink(400, 5*mib)
					l.each, l.all = rate, rate
					l.piece, l.waiting = 256<<10, 256<<10
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(second)*5062*time.Millisecond)
					defer cancel()
					u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff}
					if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 400*5*mib)}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					// What was sent and is not stored, less what arrived in the grace.
					if l.active > 0 {
						t.Errorf("%d parts are still in flight", l.active)
					}
					if l.lost > 2*5*mib+mib {
						t.Errorf("after %s: %.1f MB were sent for nothing", time.Since(l.began), float64(l.lost)/1e6)
					}
				})
			}
		})
	}
}

// Where one part fills the rate that was given, one is in flight, whatever the rate:
// the next one begins when all bytes of the last are sent.
func TestAGivenRateIsFilledByOnePart(t *testing.T) {
	for _, rate := range []int64{2e6, 12e6, 30e6} {
		t.Run(fmt.Sprintf("%d MB/s", rate/1e6), func(t *testing.T) {
			for _, last := range []time.Duration{time.Second, 3 * time.Second, 11 * time.Second, time.Minute} {
				bubble(t, func(t *testing.T) {
					l := newLink(400, 8*mib)
					l.trip, l.each, l.all = 5*time.Millisecond, 100e6, float64(rate)
					ctx, cancel := context.WithTimeout(t.Context(), last)
					defer cancel()
					u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff, Rate: rate}
					if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 400*8*mib)}); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					if l.most > 2 {
						t.Errorf("after %s there were %d parts in flight", last, l.most)
					}
					if l.lost > 8*mib+mib {
						t.Errorf("after %s: %.1f MB were sent for nothing", last, float64(l.lost)/1e6)
					}
					if got := float64(l.got) / float64(rate) / last.Seconds(); last == time.Minute && got < 0.93 {
						t.Errorf("%.2f of the rate is used", got)
					}
				})
			}
		})
	}
}

// One part that does not fill the rate that was given is not enough.
func TestAGivenRateThatNeedsManyParts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLink(1000, 4*mib)
		l.trip, l.each, l.all = 80*time.Millisecond, 1e6, 12e6
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff, Rate: 12e6}
		if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 1000*4*mib)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if got := float64(l.got) / 60 / 12e6; got < 0.8 {
			t.Errorf("%.2f of the rate is used, with up to %d parts at once", got, l.most)
		}
	})
}

// A link that becomes slow is sent fewer parts at once. Those that are put off say so:
// nothing failed.
func TestSurplusIsPutOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := newLink(600, 4*mib)
		links["slower after 20 s"].set(l)
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		putOff, failed := 0, 0
		u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff, Observe: func(e upload.Event) {
			if e, is := e.(upload.Sent); is && e.Bytes < 0 && ctx.Err() == nil {
				if e.Later {
					putOff++
				} else {
					failed++
				}
			}
		}}
		if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 600*4*mib)}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if putOff == 0 || failed > 0 {
			t.Errorf("%d attempts were put off, and %d failed", putOff, failed)
		}
	})
}

// A link that becomes fifty times slower, also while more parts are tried, is found out
// about from the beginning: it soon has few of them in flight.
func TestALinkThatCollapses(t *testing.T) {
	for _, at := range []time.Duration{time.Second, 1600 * time.Millisecond, 3 * time.Second, 6 * time.Second, 15 * time.Second} {
		bubble(t, func(t *testing.T) {
			l := newLink(600, 4*mib)
			l.trip, l.each, l.all = 20*time.Millisecond, 10e6, 80e6
			l.changes = func(l *link, since time.Duration) {
				if since > at {
					l.all = 1.6e6
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), at+12*time.Second)
			defer cancel()
			active := 0
			defer context.AfterFunc(ctx, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				active = l.active
			})()
			u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff}
			if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 600*4*mib)}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if active > 4 {
				t.Errorf("12 s after the link collapsed, at %s, %d parts are in flight", at, active)
			}
		})
	}
}

// A pause of 2.5 seconds says nothing about the link: the search goes on where it was.
func TestALinkThatPauses(t *testing.T) {
	for at := 5 * time.Second; at < 12*time.Second; at += 500 * time.Millisecond {
		bubble(t, func(t *testing.T) {
			l := newLink(600, 4*mib)
			l.trip, l.each, l.all = 20*time.Millisecond, 10e6, 80e6
			l.changes = func(l *link, since time.Duration) {
				if l.all = 80e6; since > at && since < at+2500*time.Millisecond {
					l.all = 2e6
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), at+5*time.Second)
			defer cancel()
			u := &upload.Uploader{Provider: l, Checksum: upload.ChecksumOff, Observe: func(e upload.Event) {
				if c, is := e.(upload.Concurrency); is && c.Why == upload.WhySlower {
					t.Errorf("%s after a pause began: %d parts at once instead of %d", time.Since(l.began)-at, c.Is, c.Was)
				}
			}}
			if _, err := u.Upload(ctx, upload.File{Path: sparse(t, 600*4*mib)}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
}
