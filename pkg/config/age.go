package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseAge reads a duration as Go has it, with days before it or alone: 90m,
// 7d, 1d12h.
func ParseAge(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration (such as 90m, 12h, 7d)", s)
	rest, days := s, 0
	if d, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || int64(n) > math.MaxInt64/int64(24*time.Hour) {
			return 0, bad
		}
		rest, days = after, n
		if rest == "" {
			rest = "0s"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || rest[0] == '+' {
		return 0, bad
	}
	if d += time.Duration(days) * 24 * time.Hour; d < 0 {
		return 0, bad
	}
	return d, nil
}
