package handoff

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

// Shard is one of Of runs of neighboring parts, counted from 1.
type Shard struct{ Index, Of int }

// whole is the shard of all parts.
var whole = Shard{1, 1}

// maxShards keeps the arithmetic of shards from wrapping.
const maxShards = 1_000_000_000

// ParseShard reads I/N; empty: all parts.
func ParseShard(s string) (Shard, error) {
	if s == "" {
		return whole, nil
	}
	i, n, _ := strings.Cut(s, "/")
	index, err := strconv.ParseUint(i, 10, 31)
	of, err2 := strconv.ParseUint(n, 10, 31)
	if err != nil || err2 != nil || index < 1 || index > of || of > maxShards {
		return Shard{}, fmt.Errorf("%q is not I/N, a shard from 1/N to N/N", s)
	}
	return Shard{int(index), int(of)}, nil
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Of) }

// bounds are the places of the shard's parts among n. There may be none.
func (s Shard) bounds(n int) (from, to int) {
	at := func(i int) int { return int(int64(i) * int64(n) / int64(s.Of)) }
	return at(s.Index - 1), at(s.Index)
}

// Count is how many of n parts the shard has.
func (s Shard) Count(n int) int {
	from, to := s.bounds(n)
	return to - from
}

// Shard are the parts of a shard.
func (p *Plan) Shard(s Shard) []upload.Part {
	from, to := s.bounds(len(p.Parts))
	return p.parts()[from:to]
}

// runs are the numbers of parts as people write them: 3-5, 8.
func runs(numbers []int) string {
	slices.Sort(numbers)
	var b strings.Builder
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(numbers[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(numbers[j]))
		}
		i = j + 1
	}
	return b.String()
}
