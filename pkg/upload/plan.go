package upload

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// DefaultPartSize is used where neither the provider nor the user says, in
// bytes. It is what OpenAI's own client uses.
const DefaultPartSize int64 = 64 << 20

// maxPlanned is the most parts that we plan where the provider has no limit:
// each costs a request, and a place in the journal.
const maxPlanned = 100_000

// Split plans the parts of a file for a provider that leaves it to the client:
// numbered from 1, all of one size but the last. want is in bytes, 0 for the
// default. An empty file is one empty part.
func Split(size, want int64, l Limits) ([]Part, error) {
	if size < 0 {
		return nil, fmt.Errorf("a file of %d bytes: %w", size, ErrLimit)
	}
	if err := checkPartSize(want, l); err != nil {
		return nil, err
	}
	most := int64(maxPlanned)
	if l.MaxParts > 0 {
		most = int64(l.MaxParts)
	}
	ps := want
	if ps == 0 {
		var err error
		if ps, err = partSize(size, most, l); err != nil {
			return nil, err
		}
	}
	ps = roundPart(ps, l)
	count := max(1, divUp(size, ps))
	if count > most {
		return nil, fmt.Errorf("parts of %d bytes make %d parts of a file of %d, but at most %d are allowed: %w", ps, count, size, most, ErrPartSize)
	}
	parts := make([]Part, count)
	for i := range parts {
		off := int64(i) * ps
		parts[i] = Part{Number: i + 1, Offset: off, Size: min(ps, size-off)}
	}
	return parts, nil
}

// partSize is that of a file's parts where none was requested: the default
// as far as the limits let it, and larger where there would be too many.
func partSize(size, most int64, l Limits) (int64, error) {
	largest := int64(math.MaxInt64)
	if l.MaxPart > 0 {
		largest = l.MaxPart
	}
	least := divUp(size, most)
	if least > largest {
		return 0, fmt.Errorf("%d parts of %d bytes do not cover a file of %d bytes: %w", most, largest, size, ErrLimit)
	}
	ps := max(DefaultPartSize, l.MinPart)
	if least > ps {
		const mib = 1 << 20
		ps = least
		if up := mib - least%mib; up < mib && least <= math.MaxInt64-up {
			ps += up // in whole MiB, for the eye
		}
	}
	return min(ps, largest), nil
}

// roundPart is a part size that the provider takes: the next multiple of what
// it asks for, within its maximum.
func roundPart(ps int64, l Limits) int64 {
	if l.Multiple <= 0 || ps%l.Multiple == 0 {
		return ps
	}
	multiples := divUp(ps, l.Multiple)
	if l.MaxPart > 0 && multiples > l.MaxPart/l.Multiple {
		multiples = l.MaxPart / l.Multiple
	}
	return max(1, multiples) * l.Multiple
}

// divUp is a/b, rounded up, without wrapping.
func divUp(a, b int64) int64 {
	if a <= 0 {
		return 0
	}
	return (a-1)/b + 1
}

func checkPartSize(want int64, l Limits) error {
	switch {
	case want == 0:
	case want < 0:
		return fmt.Errorf("a part size of %d bytes: %w", want, ErrPartSize)
	case l.MaxPart > 0 && want > l.MaxPart:
		return fmt.Errorf("a part size of %d bytes is above the provider's %d: %w", want, l.MaxPart, ErrPartSize)
	case want < l.MinPart:
		return fmt.Errorf("a part size of %d bytes is below the provider's %d: %w", want, l.MinPart, ErrPartSize)
	}
	return nil
}

// Tile checks that the parts, with the ranges that the provider already has,
// cover a file of size bytes exactly once, and sorts parts by offset. An error
// is a *PlanError.
func Tile(size int64, parts []Part, held []Range) error {
	bad := func(format string, args ...any) error { return &PlanError{Reason: fmt.Sprintf(format, args...)} }
	type piece struct {
		Range
		part *Part // nil: a range the provider has
	}
	pieces := make([]piece, 0, len(parts)+len(held))
	numbers := make(map[int]bool, len(parts))
	slices.SortStableFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size))
	})
	for i, p := range parts {
		if numbers[p.Number] {
			return bad("part %d is listed twice", p.Number)
		}
		numbers[p.Number] = true
		pieces = append(pieces, piece{Range{p.Offset, p.Size}, &parts[i]})
	}
	for _, h := range held {
		pieces = append(pieces, piece{Range: h})
	}
	what := func(p piece) string {
		if p.part == nil {
			return "a range it already has"
		}
		return fmt.Sprintf("part %d", p.part.Number)
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size))
	})
	var end int64
	last := -1 // number
	for _, p := range pieces {
		if p.part != nil {
			// A store puts parts together by their numbers.
			if p.part.Number <= last {
				return bad("part %d comes before part %d in the file", last, p.part.Number)
			}
			last = p.part.Number
		}
		switch {
		case p.Offset < 0 || p.Size < 0:
			return bad("%s is %d bytes at byte %d", what(p), p.Size, p.Offset)
		case p.Size == 0 && (size > 0 || len(pieces) > 1):
			return bad("%s is empty", what(p))
		case p.Offset > end:
			return bad("no part covers bytes %d to %d", end, p.Offset-1)
		case p.Offset < end:
			return bad("%s starts at byte %d, but another one ends at byte %d", what(p), p.Offset, end-1)
		case p.Size > size-p.Offset:
			// Compared this way round, huge numbers cannot wrap.
			return bad("%s extends beyond the end of the file, which has %d bytes", what(p), size)
		}
		end = p.Offset + p.Size
	}
	if end != size {
		return bad("it ends at byte %d of %d", end, size)
	}
	return nil
}
