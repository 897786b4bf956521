package transport

import (
	"math"
	"testing"
	"time"
)

// Doubled forever, a bound must not wrap round to a negative wait.
func TestBoundsCannotWrap(t *testing.T) {
	for _, p := range []Policy{{Base: 1, Cap: math.MaxInt64}, {Base: time.Hour, Cap: math.MaxInt64 - 1}, {Base: math.MaxInt64, Cap: math.MaxInt64}, {Base: 3, Cap: 10}} {
		last := time.Duration(0)
		for try := range 200 {
			b := p.bound(try)
			if b < last || b > p.Cap {
				t.Fatalf("%+v: try %d is bound by %d, the one before by %d", p, try, b, last)
			}
			last = b
		}
		if last != p.Cap {
			t.Errorf("%+v: the bound ends at %d", p, last)
		}
	}
}
