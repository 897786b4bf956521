package main

import (
	"strconv"
	"strings"
)

// shard is a share of the files: every n-th, beginning with the i-th.
type shard struct{ i, n int } // i counts from 1; n is 0: all of them

func parseShard(s string) (shard, error) {
	if s == "" {
		return shard{}, nil
	}
	first, of, _ := strings.Cut(s, "/")
	i, err := strconv.ParseUint(first, 10, 31)
	n, err2 := strconv.ParseUint(of, 10, 31)
	if err != nil || err2 != nil || i < 1 || i > n {
		return shard{}, usagef("--shard: %q is not I/N with I from 1 to N (such as 2/8)", s)
	}
	return shard{int(i), int(n)}, nil
}

// has reports whether the file at an index, from 0, is in it.
func (s shard) has(index int) bool { return s.n == 0 || index%s.n == s.i-1 }
