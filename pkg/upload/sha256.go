package upload

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

// sha256 computes the SHA-256 of what was sent, for which the file is read once
// more, and compares what is read with the receipts. A file that is no longer what
// was sent is ErrChanged.
func (s *session) sha256(ctx context.Context) error {
	if s.src.Once() {
		s.report.SHA256 = s.src.SHA256()
		return nil
	}
	rec := s.ledger.rec
	ranges := make([]hashed, 0, len(rec.Upload.Parts)+len(rec.Upload.Existing))
	for _, p := range rec.Upload.Parts {
		ranges = append(ranges, hashed{Range: Range{p.Offset, p.Size}, number: p.Number})
	}
	for _, r := range rec.Upload.Existing {
		ranges = append(ranges, hashed{Range: r, number: -1})
	}
	slices.SortFunc(ranges, func(a, b hashed) int { return cmp.Compare(a.Offset, b.Offset) })
	h, done := sha256.New(), new(counter)
	err := s.beside(ctx, func() { s.observe(Hashing{Why: ReadForDigests, Done: done.Load(), Of: s.file.Size}) }, func(ctx context.Context) error {
		for _, r := range ranges {
			section := s.src.Section(r.Offset, r.Size, false)
			_, err := io.Copy(h, &untilDone{ctx, section, done})
			section.Close()
			if err != nil {
				return err
			}
			digest, _ := section.Digest()
			if sent, known := rec.Receipts[r.number]; known && r.number >= 0 && sent.CRC32C != digest.CRC32C {
				return fmt.Errorf("%s: %w: part %d is not what was sent", s.src, ErrChanged, r.number)
			}
		}
		return s.src.Same()
	})
	if err == nil {
		s.report.SHA256 = h.Sum(nil)
	}
	return err
}
