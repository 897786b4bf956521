//go:build !race

package journal

// raceDetector reports whether the race detector looks on.
const raceDetector = false
