package upload

import (
	"context"
	"slices"
	"sync"
)

// Slots are how many parts are sent at once by several Uploaders together. Each
// upload has one from its beginning to its end, and as many more as are free
// for its parts; what waits for one gets it in the order of the uploads, so
// that a large file is not slowed down by those after it, and small ones go
// side by side. It may be used by several goroutines.
type Slots struct {
	n int // how many there are

	mu      sync.Mutex
	taken   int
	waiting []*slotWait // by rank, then by age
}

type slotWait struct {
	rank int
	got  chan struct{} // closed when it is its turn
}

// NewSlots gives n of them; n below 1: DefaultConcurrency.
func NewSlots(n int) *Slots {
	if n < 1 {
		n = DefaultConcurrency
	}
	return &Slots{n: n}
}

// Len is how many there are.
func (s *Slots) Len() int { return s.n }

// Take waits for one. Whoever has the lower rank comes first.
func (s *Slots) Take(ctx context.Context, rank int) error {
	s.mu.Lock()
	if s.taken < s.n && len(s.waiting) == 0 {
		s.taken++
		s.mu.Unlock()
		return nil
	}
	w := &slotWait{rank, make(chan struct{})}
	at, _ := slices.BinarySearchFunc(s.waiting, rank, func(w *slotWait, rank int) int {
		if w.rank <= rank {
			return -1
		}
		return 1
	})
	s.waiting = slices.Insert(s.waiting, at, w)
	s.mu.Unlock()
	select {
	case <-w.got:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return context.Cause(ctx)
	}
	s.give() // it came at the same moment
	return context.Cause(ctx)
}

// Give gives one back.
func (s *Slots) Give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.give()
}

func (s *Slots) give() {
	if len(s.waiting) == 0 {
		s.taken--
		return
	}
	close(s.waiting[0].got)
	s.waiting = s.waiting[1:]
}
