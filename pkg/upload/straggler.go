package upload

import (
	"fmt"
	"slices"
	"time"
)

const (
	// A part is a straggler if it takes this many times as long as the parts that
	// were stored while it was in flight, and at least so long.
	stragglerFactor = 10
	stragglerLeast  = 10 * time.Second
	// The same by parts that were stored before it began: the network may have
	// become slower since.
	earlierFactor = 30
	earlierLeast  = time.Minute
	// siblings is how many parts say what is usual. One or two say little, unless
	// there are no more. More than manySiblings say nothing new.
	siblings     = 3
	manySiblings = 32
	// maxStragglers is how often a part is re-sent as a straggler. The way it has
	// to take may be slow.
	maxStragglers = 2
)

// stragglers finds parts that take far longer than those that are stored
// meanwhile: they hang on a bad connection or a bad server, which no stall
// timeout sees as long as some bytes move. If all parts have always been slow,
// none is a straggler.
type stragglers struct {
	enough int      // parts that say what is usual
	stored int      // parts so far
	last   []timing // the last ones of them
}

// timing is a part that was stored.
type timing struct {
	size int64
	took time.Duration
	at   time.Time
}

func newStragglers(parts int) stragglers {
	return stragglers{enough: max(1, min(siblings, parts-1))}
}

// timed counts a part that was stored.
func (s *stragglers) timed(size int64, took time.Duration) {
	s.stored++
	if len(s.last) == manySiblings {
		s.last = slices.Delete(s.last, 0, 1)
	}
	s.last = append(s.last, timing{size, took, time.Now()})
}

// is reports whether an attempt that began when before parts were stored is a
// straggler now, and what is usual. Where more than a few parts are in flight, others
// have to have been stored lately, and faster: if not, the link has become slow for
// all of them, and to send them again would only cost what they have sent.
func (s *stragglers) is(size int64, before, inFlight int, began, now time.Time) (usual time.Duration, is bool) {
	took := now.Sub(began)
	most, usual, limited := s.limit(size, before)
	if !limited || took < most || inFlight <= siblings {
		return usual, limited && took >= most
	}
	lately := 0
	for _, l := range s.last {
		if l.at.After(began.Add(took / 2)) {
			lately++
		}
	}
	if lately < s.enough {
		return 0, false
	}
	usual = s.usual(size, lately)
	return usual, took >= max(stragglerFactor*usual, stragglerLeast)
}

// limit is how long an attempt at size bytes may take, which began when before
// parts were stored; false: there is no limit.
func (s *stragglers) limit(size int64, before int) (most, usual time.Duration, limited bool) {
	switch meanwhile := s.stored - before; {
	case meanwhile >= s.enough:
		usual = s.usual(size, min(meanwhile, len(s.last)))
		return max(stragglerFactor*usual, stragglerLeast), usual, true
	case s.stored >= s.enough:
		usual = s.usual(size, s.enough)
		return max(earlierFactor*usual, earlierLeast), usual, true
	}
	return 0, 0, false
}

// usual is the median of what the last n parts took, as if they had size bytes.
func (s *stragglers) usual(size int64, n int) time.Duration {
	took := make([]time.Duration, n)
	for i, l := range s.last[len(s.last)-n:] {
		took[i] = l.took
		if size > l.size && l.size > 0 {
			took[i] = time.Duration(float64(l.took) * float64(size) / float64(l.size))
		}
	}
	slices.Sort(took)
	return took[n/2]
}

// straggler is why an attempt was ended.
type straggler struct {
	part        int
	took, usual time.Duration
}

func (e *straggler) Error() string {
	return fmt.Sprintf("part %d is a straggler (%s, others took %s): re-sending it on a new connection", e.part, e.took.Round(time.Second), e.usual.Round(time.Millisecond))
}
func (e *straggler) Temporary() bool           { return true }
func (e *straggler) RetryAfter() time.Duration { return 0 }
