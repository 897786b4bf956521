package main

import (
	"crypto/sha256"
)

// seen remembers strings by their digests: there may be millions.
type seen struct {
	sums  map[[16]byte]struct{}
	first map[[16]byte]string
}

// mostFirst is how many strings are remembered in full.
const mostFirst = 1 << 14

// add remembers a string, and what it is of. twice: it was there before; first is
// what it was of then, empty where that is not remembered.
func (s *seen) add(key, of string) (first string, twice bool) {
	if s.sums == nil {
		s.sums, s.first = make(map[[16]byte]struct{}), make(map[[16]byte]string)
	}
	whole := sha256.Sum256([]byte(key))
	sum := [16]byte(whole[:16])
	if _, twice = s.sums[sum]; twice {
		return s.first[sum], true
	}
	s.sums[sum] = struct{}{}
	if len(s.first) < mostFirst {
		s.first[sum] = of
	}
	return "", false
}
