package upload

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Slots are how many parts several Uploaders have in flight together. Each upload
// has one from its beginning to its end, and as many more as are free for its
// parts; what waits for one gets it in the order of the uploads, so that a large
// file is not slowed down by those after it, and small ones go side by side. It
// may be used by several goroutines.
type Slots struct {
	mu      sync.Mutex
	n       int         // how many there are
	most    int         // of all that were given out at a time
	control *controller // finds n; nil: n is fixed
	taken   int
	waiting []slotWait // by rank, then by age
}

// slotWait is one who waits. got has room for what it waits for.
type slotWait struct {
	rank int
	got  chan<- struct{}
}

// NewSlots gives n of them; n below 1: as many as fill the link, up to
// MaxConcurrency.
func NewSlots(n int) *Slots {
	if n > 0 {
		return &Slots{n: n}
	}
	c := newController()
	return &Slots{n: c.n, control: c}
}

// Len is how many there are now.
func (s *Slots) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// Most is how many were taken at a time.
func (s *Slots) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// bound is how many there may ever be.
func (s *Slots) bound() int {
	if s.control != nil {
		return MaxConcurrency
	}
	return s.n
}

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
	s.taken--
	s.handOut()
}

// ask has one sent on got, now or when it is its turn.
func (s *Slots) ask(rank int, got chan<- struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearchFunc(s.waiting, rank, func(w slotWait, rank int) int {
		if w.rank <= rank {
			return -1
		}
		return 1
	})
	s.waiting = slices.Insert(s.waiting, at, slotWait{rank, got})
	s.handOut()
}

// handOut gives what is free to those who wait. s.mu is held.
func (s *Slots) handOut() {
	for s.taken < s.n && len(s.waiting) > 0 {
		s.waiting[0].got <- struct{}{}
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.taken++
	}
	s.most = max(s.most, s.taken)
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

// excess is how many were taken beyond what there is now.
func (s *Slots) excess() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.taken-s.n)
}

// limit tells of a rate in bytes per second that is not to be exceeded; 0: there is
// none.
func (s *Slots) limit(rate int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil || rate == 0 {
		return
	}
	s.control.limited(float64(rate))
	s.n = s.control.n
}

// costly reports whether an interruption shall not cost more parts than there are
// slots.
func (s *Slots) costly() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.control != nil && s.control.costly()
}

// overlaps reports whether one part fills the link, so that the next one may go
// while its answer is under way.
func (s *Slots) overlaps() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.control != nil && s.control.costly() && !s.control.strict
}

// trouble is what may say that there is too much in flight.
type trouble int

const (
	noTrouble trouble = iota
	refusal           // 503, 429: there is too much
	breakage          // a reset or a timeout: there may be too much
)

// moved tells of bytes that were sent, answered of a request that was answered,
// troubled of one that failed. They say whether the number changed.
func (s *Slots) moved(bytes int64) (Concurrency, bool) {
	return s.change(func(c *controller, now time.Time) (Why, bool) { return c.moved(bytes, s.taken, now) })
}

func (s *Slots) answered() (Concurrency, bool) {
	return s.change(func(c *controller, now time.Time) (Why, bool) {
		c.arrived()
		return c.moved(requestWork, s.taken, now)
	})
}

func (s *Slots) troubled(t trouble) (Concurrency, bool) {
	return s.change(func(c *controller, now time.Time) (Why, bool) {
		switch t {
		case refusal:
			return c.refused(now)
		case breakage:
			return c.broken(now)
		case noTrouble:
		}
		return "", false
	})
}

func (s *Slots) change(by func(*controller, time.Time) (Why, bool)) (Concurrency, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil {
		return Concurrency{}, false
	}
	was := s.n
	why, changed := by(s.control, time.Now())
	s.n = s.control.n
	s.handOut()
	return Concurrency{Was: was, Is: s.n, Why: why, Goodput: s.control.good}, changed
}
