package manifest

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/multiput/multiput/pkg/upload"
)

// readParts reads the plan: ranges that the provider gave, or numbers to which
// its part size gives the ranges. Each part lies within the file; that they
// tile it is the engine's to check.
func (p *speaker) readParts(ctx context.Context, c *createStep, a *answer, s *scope, u *upload.Upload) error {
	e := c.parts
	list, err := e.list(ctx, a.value, s)
	if err != nil {
		return p.misread(a, e, err)
	}
	ranges := 0
	seen := make(map[int]bool, len(list))
	parts := make([]upload.Part, 0, len(list))
	for _, v := range list {
		m, err := object(v, "number", "offset", "size")
		if err != nil {
			return p.unusable(a, e.key, "%v", err)
		}
		part := upload.Part{}
		if part.Number, err = partNumber(m["number"]); err != nil {
			return p.unusable(a, e.key, "%v", err)
		}
		if seen[part.Number] {
			return p.unusable(a, e.key, "part %d is listed twice", part.Number)
		}
		seen[part.Number] = true
		if m["offset"] != nil || m["size"] != nil {
			var ok, ok2 bool
			part.Offset, ok = toInt64(m["offset"])
			part.Size, ok2 = toInt64(m["size"])
			if !ok || !ok2 {
				return p.unusable(a, e.key, "part %d has the offset %s and the size %s", part.Number, show(m["offset"]), show(m["size"]))
			}
			if part.Offset < 0 || part.Size < 0 || part.Offset > u.File.Size || part.Size > u.File.Size-part.Offset {
				return p.misfit(a, "part %d is %d bytes at %d, and the file has %d", part.Number, part.Size, part.Offset, u.File.Size)
			}
			ranges++
		}
		parts = append(parts, part)
	}
	switch {
	case ranges == len(parts):
		slices.SortFunc(parts, func(a, b upload.Part) int {
			return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), cmp.Compare(a.Number, b.Number))
		})
	case ranges > 0:
		return p.unusable(a, e.key, "only %d of %d parts have an offset and a size", ranges, len(parts))
	default:
		if err := p.divide(ctx, c, a, s, parts, u.File.Size); err != nil {
			return err
		}
	}
	u.Parts = parts
	return nil
}

// divide gives parts that have only numbers their ranges, in the order of the
// numbers: all of the provider's part size but the last.
func (p *speaker) divide(ctx context.Context, c *createStep, a *answer, s *scope, parts []upload.Part, size int64) error {
	if c.partSize == nil {
		return p.unusable(a, c.parts.key, "the parts have no offset and no size, and the manifest has no create.part_size")
	}
	each, err := p.partSize(ctx, c, a, s)
	if err != nil {
		return err
	}
	need := max(1, size/each)
	if need*each < size {
		need++
	}
	if int64(len(parts)) != need {
		return p.misfit(a, "%d parts of %d bytes are planned, and a file of %d bytes makes %d", len(parts), each, size, need)
	}
	slices.SortFunc(parts, func(a, b upload.Part) int { return cmp.Compare(a.Number, b.Number) })
	for i := range parts {
		parts[i].Offset = int64(i) * each
		parts[i].Size = min(each, size-parts[i].Offset)
	}
	return nil
}

// partSize is the size of all parts but the last, as the API says.
func (p *speaker) partSize(ctx context.Context, c *createStep, a *answer, s *scope) (int64, error) {
	each, err := p.whole(ctx, c.partSize, a, s)
	if err == nil && each <= 0 {
		err = p.unusable(a, c.partSize.key, "the parts are to be of %d bytes", each)
	}
	return each, err
}

// gaps are the ranges of a file that no part covers.
func gaps(size int64, parts []upload.Part) []upload.Range {
	var out []upload.Range
	at := int64(0)
	for _, part := range parts {
		if part.Offset > at {
			out = append(out, upload.Range{Offset: at, Size: part.Offset - at})
		}
		at = max(at, part.Offset+part.Size)
	}
	if at < size {
		out = append(out, upload.Range{Offset: at, Size: size - at})
	}
	return out
}

// partNumber reads the number of a part.
func partNumber(v any) (int, error) {
	n, ok := toInt64(v)
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0, &numberError{v}
	}
	return int(n), nil
}

type numberError struct{ v any }

func (e *numberError) Error() string { return "a part has the number " + show(e.v) }
