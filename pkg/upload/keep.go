package upload

import (
	"bytes"
	"context"
)

// keepStored takes over the parts that the provider already has of a new upload, or of
// one that other machines send: those whose digests are the file's, which is read for it.
func (s *session) keepStored(ctx context.Context) error {
	k, ok := s.Provider.(Keeper)
	up := s.ledger.rec.Upload
	if !ok || !up.TakenOver && !up.Planned || len(up.Existing) > 0 {
		return nil
	}
	var stored []Receipt
	err := s.call(ctx, OpCreate, func(ctx context.Context) (err error) {
		stored, err = k.Stored(ctx, up)
		return err
	})
	if err != nil && !up.TakenOver && ctx.Err() == nil {
		return nil // all parts are sent from here; that shows what is wrong, if anything is
	}
	if err != nil {
		return err
	}
	has := make(map[int]Receipt, len(stored))
	for _, r := range stored {
		has[r.Part] = r
	}
	var ranges []hashed
	for _, p := range up.Parts {
		if r, ok := has[p.Number]; ok {
			ranges = append(ranges, hashed{Range: Range{p.Offset, p.Size}, number: p.Number, nvme: s.crc64() || r.CRC64NVME != 0, md5: r.MD5 != nil && r.CRC64NVME == 0})
		}
	}
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return err
	}
	var kept []Receipt
	var differ []int
	for _, h := range ranges {
		r := has[h.number]
		same, known := false, true
		switch {
		case r.CRC64NVME != 0:
			same = r.CRC64NVME == h.CRC64NVME
		case r.MD5 != nil:
			same = bytes.Equal(r.MD5, h.MD5)
		case r.CRC32C != 0:
			same = r.CRC32C == h.CRC32C
		default:
			known = false
		}
		if !same && (known || up.TakenOver) {
			differ = append(differ, h.number)
		}
		if !same {
			continue
		}
		r.CRC32C, r.CRC64NVME, r.MD5 = h.CRC32C, h.CRC64NVME, h.MD5
		kept = append(kept, r)
	}
	if up.Planned && len(kept)+len(differ) == 0 {
		return nil
	}
	s.observe(TookOver{Upload: up.ID, Parts: len(kept), Differ: differ})
	if len(kept) == 0 {
		return nil
	}
	return s.ledger.record(ctx, kept)
}
