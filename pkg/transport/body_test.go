package transport

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// A body is as fast as its limit, whatever its source gives at once.
func TestLimitCountsWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 200_000
		b := &meteredBody{
			ctx: t.Context(), body: iotest.HalfReader(strings.NewReader(strings.Repeat("x", size))),
			left: size, limit: rate.NewLimiter(size/2, size/20), watch: &watch{},
		}
		start := time.Now()
		if n, err := io.Copy(io.Discard, b); n != size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		if took := time.Since(start); took < 1800*time.Millisecond || took > 2*time.Second {
			t.Errorf("it took %s, want 1.9s", took)
		}
	})
}
