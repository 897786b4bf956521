package manifest

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/internal/exact"
)

// fromInt64 is n as gojq wants it: an int, or a *big.Int where int is 32 bits.
func fromInt64(n int64) any {
	if int64(int(n)) == n {
		return int(n)
	}
	return big.NewInt(n)
}

// orNull is s, or null where it is empty.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// maxExact is the first whole number whose successor a float64 cannot hold.
const maxExact = 1 << 53

// toInt64 is v as a whole number; false for anything else, a float that may
// have been rounded included.
func toInt64(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case *big.Int:
		return v.Int64(), v.IsInt64()
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < maxExact {
			return int64(v), true
		}
	}
	return 0, false
}

// toText is v, a string or a whole number, as text.
func toText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case int, *big.Int:
		return fmt.Sprint(v), true
	case float64:
		if n, ok := toInt64(v); ok {
			return strconv.FormatInt(n, 10), true
		}
	}
	return "", false
}

// The magnitudes that tell Unix seconds from milliseconds: as seconds the
// first is the year 5138, as milliseconds it is 1973.
const (
	firstMillis = 100_000_000_000
	lastMillis  = 253_402_300_799_999 // the end of the year 9999
)

var errTime = errors.New("is not a time: RFC 3339, Unix seconds and Unix milliseconds are read")

// toTime reads an RFC 3339 string, or Unix seconds or milliseconds by their
// magnitude, as a number or as text. Null and "" are the zero time.
func toTime(v any) (time.Time, error) {
	if f, ok := v.(float64); ok && f > 0 && f < lastMillis {
		v = int(f) // Unix seconds with a fraction: the second is enough
	}
	if s, ok := v.(string); ok {
		if s == "" {
			return time.Time{}, nil
		}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t, nil
		}
		v = exact.Number(s)
		if _, ok := v.(int); !ok {
			return time.Time{}, errTime
		}
	}
	if v == nil {
		return time.Time{}, nil
	}
	n, ok := toInt64(v)
	switch {
	case !ok || n <= 0 || n > lastMillis:
		return time.Time{}, errTime
	case n >= firstMillis:
		return time.UnixMilli(n).UTC(), nil
	}
	return time.Unix(n, 0).UTC(), nil
}

// show is v as an error message quotes it: JSON, cut short.
func show(v any) string { return gojq.Preview(v) }
