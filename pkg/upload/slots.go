package upload

import (
	"context"
	"slices"
	"sync"
)

// Slots are how many parts several Uploaders send at once together. Each upload
// has one from its beginning to its end, and as many more as are free for its
// parts; what waits for one gets it in the order of the uploads, so that a large
// file is not slowed down by those after it, and small ones go side by side. It
// may be used by several goroutines.
type Slots struct {
	n int // how many there are

	mu      sync.Mutex
	taken   int
	waiting []slotWait // by rank, then by age
}

// slotWait is one who waits. got has room for what it waits for.
type slotWait struct {
	rank int
	got  chan<- struct{}
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

// Take waits for one. The lower rank comes first.
func (s *Slots) Take(ctx context.Context, rank int) error {
	got := make(chan struct{}, 1)
	s.ask(rank, got)
	select {
	case <-got:
		return nil
	case <-ctx.Done():
	}
	if s.withdraw(got) == 0 { // it came at the same moment
		s.Give()
	}
	return context.Cause(ctx)
}

// Give gives one back.
func (s *Slots) Give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.taken--
		return
	}
	s.waiting[0].got <- struct{}{}
	s.waiting = slices.Delete(s.waiting, 0, 1)
}

// ask has one sent on got, now or when it is its turn.
func (s *Slots) ask(rank int, got chan<- struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken < s.n && len(s.waiting) == 0 {
		s.taken++
		got <- struct{}{}
		return
	}
	at, _ := slices.BinarySearchFunc(s.waiting, rank, func(w slotWait, rank int) int {
		if w.rank <= rank {
			return -1
		}
		return 1
	})
	s.waiting = slices.Insert(s.waiting, at, slotWait{rank, got})
}

// withdraw takes back what was asked for on got and did not come yet, and says
// how many that were.
func (s *Slots) withdraw(got chan<- struct{}) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, func(w slotWait) bool { return w.got == got })
	return n - len(s.waiting)
}
