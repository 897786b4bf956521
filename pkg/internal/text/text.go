// Package text writes amounts as people say them, reads sizes as people write them,
// and finds the word that was meant.
package text

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"
)

// Bytes is a number of bytes in decimal units, such as "4.9 GB".
func Bytes(n int64) string { return humanize.Bytes(uint64(max(0, n))) }

// IBytes is a number of bytes in binary units, such as "64 MiB".
func IBytes(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// Rate is bytes per second, such as "412 MB/s".
func Rate(bytesPerSecond float64) string {
	return Bytes(int64(min(bytesPerSecond, math.MaxInt64/2))) + "/s"
}

// Duration rounds to what is worth saying: tenths of seconds below ten seconds,
// minutes above an hour.
func Duration(d time.Duration) time.Duration {
	switch {
	case d > time.Hour:
		return d.Round(time.Minute)
	case d > 10*time.Second:
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

// Skew says how far this machine's clock is ahead of a provider's.
func Skew(d time.Duration) string {
	way := "ahead of"
	if d < 0 {
		way = "behind"
	}
	return fmt.Sprintf("this machine's clock is %s %s the provider's", Duration(d.Abs()), way)
}
