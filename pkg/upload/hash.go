package upload

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/source"
)

// hashed is a range of the file that was read for its digest.
type hashed struct {
	Range
	number int // of the part
	md5    bool
	nvme   bool // whether its CRC-64/NVME is wanted
	source.Digest
}

// hash reads ranges of the file side by side and fills in their digests. Hashing
// tells how far it is where it takes long.
func (s *session) hash(ctx context.Context, why Reading, ranges []hashed) error {
	if len(ranges) == 0 {
		return nil
	}
	var of int64
	for _, r := range ranges {
		of += r.Size
	}
	var done counter
	return s.beside(ctx, func() { s.observe(Hashing{Why: why, Done: done.Load(), Of: of}) }, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i := range ranges {
			g.Go(func() (err error) {
				r := &ranges[i]
				r.Digest, err = s.src.Hash(r.Offset, r.Size, r.md5, r.nvme, ctx.Err)
				done.Add(r.Size)
				return err
			})
		}
		return g.Wait()
	})
}

// beside runs work in a goroutine of its own and, while it lasts, tick a few
// times a second in the owner's.
func (s *session) beside(ctx context.Context, tick func(), work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	t := time.NewTicker(tickMost)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			tick()
		}
	}
}

// crc64 reports whether the upload takes a CRC-64/NVME of the whole.
func (s *session) crc64() bool {
	return s.ledger.rec.Upload.Digest == DigestCRC64NVME
}

// wantsMD5 reports whether the MD5 of parts is wanted: not where a digest of the whole
// that costs less proves them.
func (s *session) wantsMD5() bool { return s.Checksum != ChecksumOff && !s.crc64() }

// differing are the numbers of the stored parts that the file no longer holds.
func (s *session) differing(ctx context.Context, rec Record) (differ []int, _ error) {
	var ranges []hashed
	for _, p := range rec.Upload.Parts {
		if r, ok := rec.Receipts[p.Number]; ok {
			ranges = append(ranges, hashed{Range: Range{p.Offset, p.Size}, number: p.Number, md5: r.MD5 != nil, nvme: r.CRC64NVME != 0})
		}
	}
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return nil, err
	}
	for _, h := range ranges {
		if r := rec.Receipts[h.number]; h.CRC32C != r.CRC32C || r.CRC64NVME != 0 && h.CRC64NVME != r.CRC64NVME || !bytes.Equal(h.MD5, r.MD5) {
			differ = append(differ, h.number)
		}
	}
	slices.Sort(differ)
	return differ, nil
}

// hashUnhashed reads the parts again that were stored with verification off,
// where it is on now and there is something to compare them with.
func (s *session) hashUnhashed(ctx context.Context) error {
	if s.Checksum == ChecksumOff || s.crc64() || s.Checksum == ChecksumAuto && !s.ledger.verifier.md5 {
		return nil
	}
	var ranges []hashed
	for _, p := range s.ledger.rec.Upload.Parts {
		if r, ok := s.ledger.rec.Receipts[p.Number]; ok && r.MD5 == nil && looksLikeMD5(r) {
			ranges = append(ranges, hashed{Range: Range{p.Offset, p.Size}, number: p.Number, md5: true})
		}
	}
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return err
	}
	for _, h := range ranges {
		r := s.ledger.rec.Receipts[h.number]
		if h.CRC32C != r.CRC32C {
			return fmt.Errorf("%s: %w: part %d is not what was sent", s.src, ErrChanged, h.number)
		}
		r.MD5 = h.MD5
		s.ledger.keep(r)
	}
	return nil
}

// digests computes the whole-file digest that the upload takes at its end. The
// CRC comes from those of the parts; only ranges that this client did not send
// are read for it. The others read all.
func (s *session) digests(ctx context.Context) (d Digests, err error) {
	up := s.ledger.rec.Upload
	switch up.Digest {
	case DigestMD5:
		whole := []hashed{{Range: Range{0, s.file.Size}, md5: true}}
		err = s.hash(ctx, ReadForDigests, whole)
		d.MD5 = whole[0].MD5
	case DigestSHA1, DigestSHA256:
		h, done := NewHash(up.Digest), new(counter)
		err = s.beside(ctx, func() { s.observe(Hashing{Why: ReadForDigests, Done: done.Load(), Of: s.file.Size}) }, func(ctx context.Context) error {
			section := s.src.Section(0, s.file.Size, false)
			defer section.Close()
			_, err := io.Copy(h, &untilDone{ctx, section, done})
			return err
		})
		*map[string]*[]byte{DigestSHA1: &d.SHA1, DigestSHA256: &d.SHA256}[up.Digest] = h.Sum(nil)
	case DigestCRC32C, DigestCRC64NVME:
		held := make([]hashed, len(up.Existing))
		for i, h := range up.Existing {
			held[i].Range, held[i].nvme = h, s.crc64()
		}
		if err := s.hash(ctx, ReadForDigests, held); err != nil {
			return d, err
		}
		for _, p := range up.Parts {
			r := s.ledger.rec.Receipts[p.Number]
			held = append(held, hashed{Range: Range{p.Offset, p.Size}, Digest: source.Digest{CRC32C: r.CRC32C, CRC64NVME: r.CRC64NVME}})
		}
		slices.SortFunc(held, func(a, b hashed) int { return cmp.Compare(a.Offset, b.Offset) })
		var crc uint32
		var nvme uint64
		for _, h := range held {
			crc = source.CombineCRC32C(crc, h.CRC32C, h.Size)
			nvme = source.CombineCRC64NVME(nvme, h.CRC64NVME, h.Size)
		}
		if up.Digest == DigestCRC32C {
			d.CRC32C = binary.BigEndian.AppendUint32(nil, crc)
		} else {
			d.CRC64NVME = binary.BigEndian.AppendUint64(nil, nvme)
		}
	}
	return d, err
}

// untilDone reads until its context is done, and counts.
type untilDone struct {
	ctx  context.Context //nolint:containedctx // one copy's, no longer
	r    io.Reader
	done *counter
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	n, err := u.r.Read(p)
	u.done.Add(int64(n))
	return n, err
}
