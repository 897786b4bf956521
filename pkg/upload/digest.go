package upload

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/source"
)

// digests computes the whole-file digest that the upload takes at its end. The
// CRC comes from those of the parts; only ranges that this client did not send
// are read for it, and MD5 and SHA-1, which cannot be combined, read all.
func (r *run) digests(ctx context.Context, rec *Record) (Digests, error) {
	switch rec.Upload.Digest {
	case DigestMD5:
		d, err := r.src.Hash(0, r.file.Size, true, ctx.Err)
		return Digests{MD5: d.MD5}, err
	case DigestSHA1:
		section := r.src.Section(0, r.file.Size, false)
		defer section.Close()
		h := sha1.New()
		_, err := io.Copy(h, &untilDone{ctx, section})
		return Digests{SHA1: h.Sum(nil)}, err
	case DigestCRC32C:
		crcs := make(map[int64]uint32)
		sizes := make(map[int64]int64)
		for _, p := range rec.Upload.Parts {
			crcs[p.Offset], sizes[p.Offset] = rec.Receipts[p.Number].CRC32C, p.Size
		}
		for _, h := range rec.Upload.Held {
			d, err := r.src.Hash(h.Offset, h.Size, false, ctx.Err)
			if err != nil {
				return Digests{}, err
			}
			crcs[h.Offset], sizes[h.Offset] = d.CRC32C, h.Size
		}
		var crc uint32
		for off := int64(0); off < r.file.Size; off += sizes[off] {
			crc = source.CombineCRC32C(crc, crcs[off], sizes[off])
		}
		return Digests{CRC32C: binary.BigEndian.AppendUint32(nil, crc)}, nil
	}
	return Digests{}, nil
}

// untilDone reads until its context is done.
type untilDone struct {
	ctx context.Context //nolint:containedctx // one copy's, no longer
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// hashUnhashed reads the parts again that were stored with verification off,
// where it is on now and there is something to compare them with.
func (r *run) hashUnhashed(ctx context.Context, rec *Record) error {
	if r.Checksum == ChecksumOff || r.Checksum == ChecksumAuto && !r.verify.byMD5() {
		return nil
	}
	var found []Receipt
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range rec.Upload.Parts {
		r.storing.Lock()
		receipt, ok := rec.Receipts[p.Number]
		r.storing.Unlock()
		if !ok || receipt.MD5 != nil || !looksLikeMD5(receipt) {
			continue
		}
		g.Go(func() error {
			d, err := r.src.Hash(p.Offset, p.Size, true, ctx.Err)
			if err != nil {
				return err
			}
			if d.CRC32C != receipt.CRC32C {
				return fmt.Errorf("%s: %w: part %d is not what was sent", r.file.Path, ErrChanged, p.Number)
			}
			receipt.MD5 = d.MD5
			r.storing.Lock()
			defer r.storing.Unlock()
			found = append(found, receipt)
			return nil
		})
	}
	if err := g.Wait(); err != nil || len(found) == 0 {
		return err
	}
	r.store(rec, found...)
	return nil
}
