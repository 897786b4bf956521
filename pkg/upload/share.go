package upload

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/multiput/multiput/pkg/source"
)

func rangesOf(parts []Part) []hashed {
	ranges := make([]hashed, len(parts))
	for i, p := range parts {
		ranges[i] = hashed{Range: Range{p.Offset, p.Size}, number: p.Number}
	}
	return ranges
}

// Shared is what other machines need to send the parts of an upload.
type Shared struct {
	Upload   Upload // its parts have digests, where their URLs are signed with them
	URLs     []Presigned
	CRC32C   map[int]uint32       // of parts, by number; nil: not computed
	Requests map[string]Presigned // see EndSigner; nil: none
}

// DigestSigner is a Provider that may sign the digest of a part with its URL.
type DigestSigner interface {
	// SignsDigests reports whether it does so for this upload: Upload.Digest is
	// the one, and other machines need Part.Digest to be known.
	SignsDigests(u Upload) bool
	// WouldSign reports whether it does not, but would have done so if Hint.Digests
	// had been set when the upload was created.
	WouldSign(u Upload) bool
}

// EndSigner is a Provider that can presign the requests that end an upload, so
// that no other machine needs a key. Digests are of the whole file, if they are known.
type EndSigner interface {
	SignEnd(ctx context.Context, u Upload, d Digests) (map[string]Presigned, error)
}

// Share makes the upload one whose parts other machines may send: with new
// presigned URLs, where they can be had, and with those of the requests that end
// the upload, if ends says so. With PartDigests, and where URLs are signed with
// digests, it reads the file. An upload of an earlier run that the provider no
// longer has is replaced by a new one.
func (u *Uploader) Share(ctx context.Context, p *Plan, ends bool) (Shared, error) {
	sh, err := p.share(ctx, ends)
	if errors.Is(err, ErrGone) && !p.s.ours && ctx.Err() == nil {
		if err = p.startOver(ctx, p.s.lost(err)); err == nil {
			sh, err = p.share(ctx, ends)
		}
	}
	if err != nil {
		_, err = p.end(ctx, err)
	}
	return sh, err
}

func (p *Plan) share(ctx context.Context, ends bool) (sh Shared, err error) {
	s := p.s
	rec := s.ledger.rec
	switch {
	case rec.Upload.Whole:
		return sh, fmt.Errorf("the provider takes this file in one request, which cannot be shared: %w", ErrLimit)
	case rec.State != Sending:
		return sh, fmt.Errorf("all parts of %s are sent already: %w", s.src, ErrNothing)
	}
	if !s.ours {
		if err := s.isThere(ctx, rec.Upload); err != nil {
			return sh, err
		}
	}
	sh.Upload = rec.Upload
	signer, is := s.Provider.(DigestSigner)
	signs := is && signer.SignsDigests(rec.Upload)
	if signs || s.PartDigests {
		if err := s.digestParts(ctx, &sh, signs); err != nil {
			return sh, err
		}
	}
	if sh.URLs = rec.Presigned; rec.Upload.Renewable && (!s.ours || signs || !complete(sh.URLs, rec.Upload.Parts)) {
		if sh.URLs, err = s.renew(ctx, sh.Upload); err != nil {
			return sh, err
		}
	}
	if ends {
		if sh.Requests, err = s.signEnd(ctx, sh.Upload); err != nil {
			return sh, err
		}
	}
	if err := s.src.Same(); err != nil {
		return sh, err
	}
	if !rec.Upload.Planned {
		planned := *rec
		planned.Upload.Planned = true
		if err := s.ledger.entry.Begin(context.WithoutCancel(ctx), planned); err != nil {
			return sh, err
		}
		rec.Upload.Planned = true
	}
	p.show()
	return sh, nil
}

// isThere asks once whether the provider still has an upload, where presigning
// does not tell, as nothing is sent. It says so only where it is certain: what asks
// may need other permissions.
func (s *session) isThere(ctx context.Context, up Upload) error {
	signer, signs := s.Provider.(Signer)
	keeper, keeps := s.Provider.(Keeper)
	if !signs || !keeps || !signer.Signs(OpPresign, up) || signer.Signs(OpCreate, up) {
		return nil
	}
	if _, err := keeper.Stored(ctx, up); errors.Is(err, ErrGone) {
		return fmt.Errorf("the provider no longer has upload %s: %w", up.ID, err)
	}
	return nil
}

// digestParts reads the file for the digests of its parts: the CRC-32C, if asked
// for, and what their URLs are signed with.
func (s *session) digestParts(ctx context.Context, sh *Shared, signs bool) error {
	ranges := rangesOf(sh.Upload.Parts)
	for i := range ranges {
		ranges[i].nvme = signs && s.crc64()
	}
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return err
	}
	if s.PartDigests {
		sh.CRC32C = make(map[int]uint32, len(ranges))
	}
	// The journal's parts have none: the process that sends them reads them then.
	sh.Upload.Parts = slices.Clone(sh.Upload.Parts)
	for i, r := range ranges {
		if s.PartDigests {
			sh.CRC32C[r.number] = r.CRC32C
		}
		switch {
		case !signs:
		case s.crc64():
			sh.Upload.Parts[i].Digest = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, r.CRC64NVME))
		default:
			sh.Upload.Parts[i].Digest = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, r.CRC32C))
		}
	}
	return nil
}

// signEnd has the requests presigned that end an upload.
func (s *session) signEnd(ctx context.Context, up Upload) (requests map[string]Presigned, err error) {
	signer, ok := s.Provider.(EndSigner)
	if !ok {
		return nil, fmt.Errorf("this provider cannot presign the requests that end an upload: %w", ErrRefused)
	}
	var d Digests
	crc, nvme, known := uint32(0), uint64(0), len(up.Parts) > 0
	for _, p := range up.Parts {
		switch b, err := base64.StdEncoding.DecodeString(p.Digest); {
		case err == nil && len(b) == 8:
			nvme = source.CombineCRC64NVME(nvme, binary.BigEndian.Uint64(b), p.Size)
		case err == nil && len(b) == 4:
			crc = source.CombineCRC32C(crc, binary.BigEndian.Uint32(b), p.Size)
		default:
			known = false
		}
	}
	switch {
	case !known:
	case up.Digest == DigestCRC64NVME:
		d.CRC64NVME = binary.BigEndian.AppendUint64(nil, nvme)
	default:
		d.CRC32C = binary.BigEndian.AppendUint32(nil, crc)
	}
	err = s.call(ctx, OpPresign, func(ctx context.Context) (err error) {
		requests, err = signer.SignEnd(ctx, up, d)
		return err
	})
	return requests, err
}

// complete reports whether there is a URL for each part.
func complete(urls []Presigned, parts []Part) bool {
	return len(missing(urls, parts)) == 0
}

func missing(urls []Presigned, parts []Part) []Part {
	have := make(map[int]bool, len(urls))
	for _, x := range urls {
		have[x.Part] = true
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p Part) bool { return have[p.Number] })
}

// Renew requests new presigned URLs for all parts of an upload, wherever it was
// planned, and for what ends it, if ends says so. Where the provider issues none,
// the error wraps ErrRefused.
func (u *Uploader) Renew(ctx context.Context, up Upload, ends bool) (sh Shared, err error) {
	s := u.withoutFile()
	sh.Upload = up
	if err = s.isThere(ctx, up); err == nil {
		sh.URLs, err = s.renew(ctx, up)
	}
	if err == nil && ends {
		sh.Requests, err = s.signEnd(ctx, up)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return sh, err
}

// atOnce is for how many parts one request asks for URLs, where the provider
// does not say.
const atOnce = 1000

func (s *session) renew(ctx context.Context, up Upload) (urls []Presigned, err error) {
	if !up.Renewable {
		return nil, fmt.Errorf("this provider issues presigned URLs only when an upload is created: %w", ErrRefused)
	}
	most := atOnce
	if n := s.limits.URLsAtOnce; n > 1 {
		most = min(n, most)
	}
	for todo := up.Parts; len(todo) > 0; todo = missing(urls, up.Parts) {
		ask := todo[:min(most, len(todo))]
		var got []Presigned
		err := s.call(ctx, OpPresign, func(ctx context.Context) (err error) {
			got, err = s.Provider.Presign(ctx, up, ask)
			return err
		})
		if err != nil {
			return nil, err
		}
		wanted := make(map[int]bool, len(todo))
		for _, p := range todo {
			wanted[p.Number] = true
		}
		got = slices.DeleteFunc(got, func(x Presigned) bool { return !wanted[x.Part] })
		if len(got) == 0 {
			return nil, fmt.Errorf("the provider presigned other parts than were requested: %w", ErrReply)
		}
		urls = append(urls, got...)
	}
	slices.SortFunc(urls, func(a, b Presigned) int { return cmp.Compare(a.Part, b.Part) })
	return urls, nil
}
