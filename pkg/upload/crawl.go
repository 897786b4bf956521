package upload

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// crawlFactor is how many times longer a part may take than those that are
	// stored while it is under way, and crawlLeast how long it may in any case.
	crawlFactor = 10
	crawlLeast  = 10 * time.Second
	// patientFactor and patientLeast are the same by those that were stored
	// before it began: the network may have become slower since.
	patientFactor = 30
	patientLeast  = time.Minute
	// crawlSiblings is how many parts say what is usual. One or two say little,
	// unless there are no more.
	crawlSiblings = 3
	// maxCrawls is how often a part is sent again because it crawls. Perhaps
	// the way it has to go is slow.
	maxCrawls = 2
)

// siblings are the parts under way. One that takes far longer than those that
// are stored meanwhile hangs on a bad connection or a bad server, which no idle
// timeout sees as long as some byte moves: it is sent again on another one.
// If all have always been slow, none is given up.
type siblings struct {
	mu     sync.Mutex
	enough int // of them stored, to say what is usual
	stored []landing
	flying map[*flight]bool
	crawls map[int]int // by part: how often it was given up
}

// landing is a part that was stored.
type landing struct {
	size int64
	took time.Duration
}

// flight is one attempt to send a part.
type flight struct {
	part   Part
	began  time.Time
	others int // siblings that were stored meanwhile
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newSiblings(parts int) *siblings {
	return &siblings{enough: max(1, min(crawlSiblings, parts-1)), flying: make(map[*flight]bool), crawls: make(map[int]int)}
}

// fly sends a part by send, whose context ends if the part crawls; then the
// error is a *crawling.
func (s *siblings) fly(ctx context.Context, p Part, send func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &flight{part: p, began: time.Now(), cancel: cancel}
	s.mu.Lock()
	if s.crawls[p.Number] < maxCrawls {
		s.flying[f] = true
		s.expect(f, s.enough, patientFactor, patientLeast)
	}
	s.mu.Unlock()

	err := send(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, f)
	if f.timer != nil {
		f.timer.Stop()
	}
	if err == nil {
		s.landed(p, time.Since(f.began))
		return nil
	}
	if c, ok := context.Cause(ctx).(*crawling); ok { //nolint:errorlint // it is ours, as we gave it
		s.crawls[p.Number]++
		return c
	}
	return err
}

// landed notes what p took, by which those still under way are measured. s.mu is
// held.
func (s *siblings) landed(p Part, took time.Duration) {
	s.stored = append(s.stored, landing{p.Size, took})
	for f := range s.flying {
		if f.others++; f.others >= s.enough {
			s.expect(f, f.others, crawlFactor, crawlLeast)
		}
	}
}

// expect has a part given up that takes factor times as long as is usual, by
// the last n that were stored. s.mu is held.
func (s *siblings) expect(f *flight, n int, factor, least time.Duration) {
	if n > len(s.stored) {
		return
	}
	last := make([]time.Duration, n)
	for i, l := range s.stored[len(s.stored)-n:] {
		last[i] = l.took
		if f.part.Size > l.size && l.size > 0 {
			last[i] = time.Duration(float64(l.took) * float64(f.part.Size) / float64(l.size))
		}
	}
	slices.Sort(last)
	usual := last[len(last)/2]
	most := max(factor*usual, least)
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer = time.AfterFunc(most-time.Since(f.began), func() {
		f.cancel(&crawling{part: f.part.Number, took: most, usual: usual})
	})
}

// crawling is a part that was given up because it crawled.
type crawling struct {
	part        int
	took, usual time.Duration
}

func (e *crawling) Error() string {
	return fmt.Sprintf("part %d crawls: it is under way for %s, and the parts beside it took %s", e.part, e.took.Round(time.Second), e.usual.Round(time.Millisecond))
}
func (e *crawling) Temporary() bool           { return true }
func (e *crawling) RetryAfter() time.Duration { return 0 }
