package upload

import (
	"fmt"
	"math"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
)

// This file is pure: times, bytes and rates in, an answer out.

const (
	// evidence is how long a rate is measured before it is used, or a tenth of the
	// available time, if that is less.
	evidence = 10 * time.Second
	// spare is the share of the time that a plan counts on. A rate varies.
	spare = 0.8
	// fast is the rate in bytes per second, 10 Mbit/s, from which on it is worth
	// saying that an upload needs it, where nothing is known of the network.
	fast = 1.25e6
)

// Lack is a time that does not suffice.
type Lack struct {
	Rate       float64 // bytes per second
	Left       int64   // bytes that are still to be sent
	Need, Have time.Duration
	URLs       bool // the last parts begin after the presigned URLs expire; else the upload ends too soon
}

// schedule compares what is to be sent with the time there is for it: the
// upload's own life, and that of presigned URLs that cannot be renewed. A store
// looks at a URL when a part begins, so only the beginning of the last parts
// counts.
type schedule struct {
	begin   time.Time // by when every part must have begun; zero: no such time
	end     time.Time // by when all must be stored; zero: not known
	bytes   int64     // of all parts
	tail    int64     // of those that begin last
	largest int64     // of one part
}

// scheduleOf is that of parts of which n are in flight at once.
func scheduleOf(up Upload, urls []Presigned, parts []Part, n int) schedule {
	s := schedule{end: up.Expires, tail: tail(parts, n)}
	for _, p := range parts {
		s.bytes += p.Size
		s.largest = max(s.largest, p.Size)
	}
	if !up.Renewable {
		s.begin = firstExpiry(urls, parts)
	}
	return s
}

// firstExpiry is when the first presigned URL of these parts expires; zero if
// none does.
func firstExpiry(urls []Presigned, parts []Part) (first time.Time) {
	expiry := make(map[int]time.Time, len(urls))
	for _, u := range urls {
		expiry[u.Part] = u.Expires
	}
	for _, p := range parts {
		if e := expiry[p.Number]; !e.IsZero() && (first.IsZero() || e.Before(first)) {
			first = e
		}
	}
	return first
}

// tail is the bytes of the parts that begin last: parts of one size go out in
// waves of n.
func tail(parts []Part, n int) (bytes int64) {
	if len(parts) == 0 {
		return 0
	}
	for _, p := range parts[(len(parts)-1)/n*n:] {
		bytes += p.Size
	}
	return bytes
}

// lacking says which time does not suffice at a rate, moved bytes being sent.
func (s schedule) lacking(rate float64, moved int64, now time.Time) (Lack, bool) {
	left := max(0, s.bytes-moved)
	if !s.begin.IsZero() && left > s.tail { // else the last ones have begun
		if l := (Lack{rate, left, takes(left-s.tail, rate), s.begin.Sub(now), true}); l.Need > l.Have {
			return l, true
		}
	}
	if !s.end.IsZero() {
		if l := (Lack{rate, left, takes(left, rate), s.end.Sub(now), false}); l.Need > l.Have {
			return l, true
		}
	}
	return Lack{}, false
}

// needs is the rate that it takes, if that is much.
func (s schedule) needs(now time.Time) (n NeedsRate, much bool) {
	n.Bytes = s.bytes
	at := func(bytes int64, end time.Time, urls bool) {
		left := end.Sub(now)
		if end.IsZero() || left <= 0 {
			return
		}
		if rate := float64(bytes) / left.Seconds(); rate > n.Rate {
			n.Rate, n.Have, n.URLs = rate, left, urls
		}
	}
	at(s.bytes-s.tail, s.begin, true)
	at(s.bytes, s.end, false)
	return n, n.Rate >= fast
}

// nearest is how long after from the first of its times is.
func (s schedule) nearest(from time.Time) time.Duration {
	have := time.Duration(math.MaxInt64)
	for _, t := range []time.Time{s.begin, s.end} {
		if !t.IsZero() {
			have = min(have, t.Sub(from))
		}
	}
	return have
}

// betterPartSize is a size of parts of which all begin within life at a rate, n
// at once: fewer and larger ones.
//
// In w waves of parts of one size, the last one begins when all but its share of
// the file is stored: (w-1)/w of it.
func betterPartSize(size int64, rate float64, life time.Duration, n int, l Limits) int64 {
	waves := int64(1)
	if stored := spare * rate * life.Seconds() / float64(size); stored < 1 {
		waves = max(1, int64(1/(1-stored)))
	}
	const mib = 1 << 20
	ps := divUp(divUp(size, waves*int64(n)), mib) * mib
	if l.MaxPart > 0 {
		ps = min(ps, l.MaxPart)
	}
	return max(ps, l.MinPart)
}

// partTime is how long a part shall take on a slow link, so that an interruption
// costs seconds.
const partTime = 8 * time.Second

// fittingPartSize is a part size for a rate that is known, where the client
// chooses: smaller than the default on a slow link, of whole MiB, and not so small
// that there are very many parts; 0: the default suits.
func fittingPartSize(size int64, rate float64, l Limits) int64 {
	const (
		mib      = 1 << 20
		least    = 5 * mib // what most stores take
		fewParts = 10_000
	)
	most := int64(fewParts)
	if l.MaxParts > 0 {
		most = min(most, int64(l.MaxParts))
	}
	ps := divUp(max(int64(rate*partTime.Seconds()), divUp(size, most), least, l.MinPart), mib) * mib
	if ps >= DefaultPartSize || l.MaxPart > 0 && ps > l.MaxPart {
		return 0
	}
	return ps
}

// rateOf is the rate of an earlier run in bytes per second, by what it stored
// since the upload was created; 0: not known. Pauses make it too low, which makes
// plans careful.
func rateOf(rec *Record) float64 {
	var bytes int64
	for _, p := range rec.Upload.Parts {
		if _, ok := rec.Receipts[p.Number]; ok {
			bytes += p.Size
		}
	}
	if d := rec.Updated.Sub(rec.Started); d >= time.Second {
		return float64(bytes) / d.Seconds()
	}
	return 0
}

func takes(bytes int64, rate float64) time.Duration {
	s := float64(max(0, bytes)) / rate
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

// tooSlow is an upload that cannot be finished in time as it is planned, where
// another plan would do.
type tooSlow struct{ Lack }

func (e *tooSlow) Error() string {
	end := "have expired by now"
	if e.Have > 0 {
		end = fmt.Sprintf("expire in %s", text.Duration(e.Have))
	}
	return fmt.Sprintf("at %s the last parts would begin in %s, and their presigned URLs %s", text.Rate(e.Rate), text.Duration(e.Need), end)
}

func (e *tooSlow) Unwrap() []error { return []error{errStartOver, ErrExpired} }
