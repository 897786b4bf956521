package upload

import (
	"cmp"
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
)

// foresee plans for the rate that is known, before the first byte: the presigned
// URLs are valid for life, and the parts that begin last have tail bytes. It
// reports whether it has a better plan than that.
func (s *session) foresee(life time.Duration, tail int64) bool {
	rate, ok := s.foreseen(evidence)
	if !ok || life <= 0 || s.hint > 0 || float64(s.file.Size-tail) <= spare*rate*life.Seconds() {
		return false
	}
	better := s.better(rate, life)
	if better == 0 || tail > 0 && better*int64(s.concurrency()) <= tail {
		return false
	}
	s.hint = better
	s.observe(LargerParts{Rate: rate, Life: life, PartSize: better})
	return true
}

// better is betterPartSize where the client has a say in it, else 0.
func (s *session) better(rate float64, life time.Duration) int64 {
	if !s.limits.TakesHint || s.PartSize > 0 {
		return 0
	}
	return betterPartSize(s.file.Size, rate, life, s.concurrency(), s.limits)
}

// mayStartOver decides, when an upload came to the end of its time, whether a new one
// would finish in time, and plans it so. Its error says why not.
func (s *session) mayStartOver(parts []Part) error {
	enough := evidence
	if life := max(s.urlLife, s.uploadLife); life > 0 {
		enough = min(enough, life/10)
	}
	rate, ok := s.foreseen(enough)
	if !ok {
		return nil // nothing is known that speaks against it
	}
	size := s.file.Size
	if need := takes(size, rate); s.uploadLife > 0 && need > s.uploadLife {
		return fmt.Errorf("%s takes %s at %s, and the provider ends an upload after %s: %w",
			text.Bytes(size), text.Duration(need), text.Rate(rate), text.Duration(s.uploadLife), ErrTooSlow)
	}
	last := tail(parts, s.concurrency())
	if s.urlLife <= 0 || takes(size-last, rate) <= s.urlLife {
		return nil
	}
	if s.hint = s.better(rate, s.urlLife); s.hint > 0 && len(parts) > 0 && s.hint > parts[0].Size {
		return nil
	}
	larger := "and does not let the client choose larger parts"
	if s.PartSize > 0 {
		larger = "and the part size was set by the user"
	} else if s.limits.TakesHint {
		larger = "and larger parts do not help"
	}
	return fmt.Errorf("at %s only %s of %s begin within the %s that the presigned URLs are valid; this provider issues no new ones, %s: %w",
		text.Rate(rate), text.Bytes(min(size, int64(rate*s.urlLife.Seconds())+last)), text.Bytes(size), text.Duration(s.urlLife), larger, ErrTooSlow)
}

// tellLate compares what is to be sent with the time there is, before the first
// byte: at the rate that is known from elsewhere, or else at the rate that it
// takes. It reports whether the time does not suffice.
func (s *session) tellLate(sc schedule) (late bool) {
	if rate, ok := s.foreseen(evidence); ok {
		lack, late := sc.lacking(rate, 0, time.Now())
		if late {
			s.observe(Late{Lack: lack})
		}
		return late
	}
	if n, much := sc.needs(time.Now()); much {
		s.observe(n)
	}
	return false
}

// foreseen is the rate to expect: what was seen for at least d, or else what the
// network is held to, or what an earlier run got to.
func (s *session) foreseen(d time.Duration) (float64, bool) {
	if rate, ok := s.meter.rate(d); ok {
		return rate, true
	}
	rate := s.earlier
	if limit := float64(s.Rate); limit > 0 && (rate <= 0 || limit < rate) {
		rate = limit
	}
	return rate, rate > 0
}

// partSize is the one to split the file by, where the client plans; 0: the default.
func (s *session) partSize() int64 {
	if s.PartSize > 0 || s.hint > 0 {
		return cmp.Or(s.PartSize, s.hint)
	}
	if rate, ok := s.foreseen(evidence); ok {
		return fittingPartSize(s.file.Size, rate, s.limits)
	}
	return 0
}
