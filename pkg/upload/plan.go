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

// Split plans the parts of a file for a provider that leaves it to the client:
// numbered from 1, all of one size but the last. want is in bytes, 0 for the
// default. An empty file is one empty part.
func Split(size, want int64, l Limits) ([]Part, error) {
	if err := checkPartSize(want, l); err != nil {
		return nil, err
	}
	ps := want
	if ps == 0 {
		ps = DefaultPartSize
		if l.MaxPart > 0 {
			ps = min(ps, l.MaxPart)
		}
		ps = max(ps, l.MinPart)
		if most := int64(l.MaxParts); most > 0 {
			// Fewer and larger parts, in whole MiB, when the count is limited.
			const mib = 1 << 20
			least := (size + most - 1) / most
			if least > ps {
				ps = (least + mib - 1) / mib * mib
			}
		}
		if l.MaxPart > 0 && ps > l.MaxPart {
			return nil, fmt.Errorf("%d parts of %d bytes do not hold a file of %d bytes: %w", l.MaxParts, l.MaxPart, size, ErrLimit)
		}
	}
	count := max(1, (size-1)/ps+1)
	if size == 0 {
		count = 1
	}
	if l.MaxParts > 0 && count > int64(l.MaxParts) {
		return nil, fmt.Errorf("parts of %d bytes make %d parts, and the provider takes %d: %w", ps, count, l.MaxParts, ErrPartSize)
	}
	if count > math.MaxInt32 {
		return nil, fmt.Errorf("parts of %d bytes make %d parts: %w", ps, count, ErrPartSize)
	}
	parts := make([]Part, count)
	for i := range parts {
		off := int64(i) * ps
		parts[i] = Part{Number: i + 1, Offset: off, Size: min(ps, size-off)}
	}
	return parts, nil
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
		what string
	}
	pieces := make([]piece, 0, len(parts)+len(held))
	numbers := make(map[int]bool, len(parts))
	for _, p := range parts {
		if numbers[p.Number] {
			return bad("it names part %d twice", p.Number)
		}
		numbers[p.Number] = true
		pieces = append(pieces, piece{Range{p.Offset, p.Size}, fmt.Sprintf("part %d", p.Number)})
	}
	for _, h := range held {
		pieces = append(pieces, piece{h, "a range it already has"})
	}
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size))
	})
	slices.SortStableFunc(parts, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size))
	})
	var end int64
	for _, p := range pieces {
		switch {
		case p.Offset < 0 || p.Size < 0:
			return bad("%s is %d bytes at byte %d", p.what, p.Size, p.Offset)
		case p.Size == 0 && (size > 0 || len(pieces) > 1):
			return bad("%s is empty", p.what)
		case p.Offset > end:
			return bad("nothing covers bytes %d to %d", end, p.Offset-1)
		case p.Offset < end:
			return bad("%s begins at byte %d, where another goes on to byte %d", p.what, p.Offset, end-1)
		case p.Size > size-p.Offset:
			// Compared this way round, huge numbers cannot wrap.
			return bad("%s goes on beyond the end of the file, which has %d bytes", p.what, size)
		}
		end = p.Offset + p.Size
	}
	if end != size {
		return bad("it ends at byte %d of %d", end, size)
	}
	return nil
}
