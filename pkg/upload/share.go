package upload

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// Share is what a machine knows of an upload that another one planned.
type Share struct {
	// Name tells the share from others of the upload, in the journal. Empty: the
	// upload is joined to be completed, and Path may be of no file.
	Name   string
	Plan   string // what tells the upload from others of the file
	Target Target // of the upload
	Path   string // of the file, on this machine
	Upload Upload
	URLs   []Presigned
	Parts  []Part         // of the upload, that are this machine's
	CRC32C map[int]uint32 // of the bytes of parts, by number; nil: not known

	Restart bool // forget what was sent of it
}

// Join opens an upload that another machine planned, creating nothing. The file
// has to be the planned one: by size, and by modification time or, where that
// differs, by the checksums of this machine's parts; else the error wraps
// ErrNotPlanned. Send and Finish follow.
func (u *Uploader) Join(ctx context.Context, sh Share) (*Plan, error) {
	p, err := u.join(ctx, sh)
	if err != nil && p != nil {
		_, err = p.end(ctx, err)
		return nil, errors.Join(err, p.Close())
	}
	return p, err
}

func (u *Uploader) join(ctx context.Context, sh Share) (p *Plan, err error) {
	src, err := sh.open()
	if err != nil {
		return nil, err
	}
	was := sh.Upload.File
	p = new(Plan)
	p.s, err = u.newSession(src, File{Path: sh.Path, Name: was.Name, Type: was.Type})
	s := p.s
	s.shared, s.joined = sh.Name != "", true
	s.target = sh.Target
	if sh.Name != "" {
		s.target.Share = sh.Plan + " " + sh.Name
	}
	s.report.Target, s.report.Upload = s.target, sh.Upload.ID
	if err != nil {
		return p, err
	}
	if err := s.isPlanned(ctx, sh); err != nil {
		return p, err
	}
	if s.ledger.entry, err = s.Journal.Open(ctx, s.target, s.file.Path); err != nil {
		return p, err
	}
	rec, err := s.ledger.entry.Load(ctx)
	if err == nil && sh.Name == "" && rec != nil && rec.Upload.ID != sh.Upload.ID {
		// Another upload of this file began here meanwhile.
		s.target.Share = sh.Plan
		if err = s.ledger.entry.Close(); err == nil {
			s.ledger.entry, err = s.Journal.Open(ctx, s.target, s.file.Path)
		}
		if err == nil {
			rec, err = s.ledger.entry.Load(ctx)
		}
	}
	if err == nil {
		err = s.enter(ctx, sh, rec)
	}
	if err != nil {
		return p, err
	}
	p.show()
	return p, nil
}

// open opens the file. To complete an upload it need not be there.
func (sh Share) open() (*source.File, error) {
	was := sh.Upload.File
	src, err := source.Open(sh.Path)
	if sh.Name != "" {
		return src, err
	}
	if err == nil {
		if src.Info.Size == was.Size && src.Info.ModTime.Equal(was.ModTime) {
			return src, nil
		}
		err = src.Close()
	}
	if err != nil && !errors.Is(err, ErrNoInput) {
		return nil, err
	}
	return source.Absent(sh.Path, source.Info{Size: was.Size, ModTime: was.ModTime, ID: was.ID}), nil
}

// isPlanned makes certain that the file is the one that was planned.
func (s *session) isPlanned(ctx context.Context, sh Share) error {
	was := sh.Upload.File
	switch {
	case s.file.Size != was.Size:
		return fmt.Errorf("%s has %d bytes, and %d were planned: %w", s.src, s.file.Size, was.Size, ErrNotPlanned)
	case s.file.ModTime.Equal(was.ModTime):
		return nil
	case sh.CRC32C == nil:
		return fmt.Errorf("%s was modified at %s, and the file that was planned at %s: %w",
			s.src, s.file.ModTime.UTC().Format(time.RFC3339Nano), was.ModTime.UTC().Format(time.RFC3339Nano), ErrNotPlanned)
	}
	ranges := rangesOf(sh.Parts)
	if err := s.hash(ctx, ReadToCompare, ranges); err != nil {
		return err
	}
	for _, r := range ranges {
		if r.CRC32C != sh.CRC32C[r.number] {
			return fmt.Errorf("%s: part %d has other bytes than were planned: %w", s.src, r.number, ErrNotPlanned)
		}
	}
	return nil
}

func rangesOf(parts []Part) []hashed {
	ranges := make([]hashed, len(parts))
	for i, p := range parts {
		ranges[i] = hashed{Range: Range{p.Offset, p.Size}, number: p.Number}
	}
	return ranges
}

// enter makes rec, or a new record of the share where it is nil, the ledger's.
func (s *session) enter(ctx context.Context, sh Share, rec *Record) error {
	if rec != nil && rec.State == Corrupt {
		return fmt.Errorf("the checksum of the whole file did not match at the provider: %w", ErrChecksum)
	}
	if rec == nil || rec.State == Delivered || sh.Restart {
		now := time.Now()
		up := sh.Upload
		up.File = s.file
		fresh := Record{Target: s.target, Path: s.file.Path, State: Sending, Started: now, Updated: now, Upload: up}
		if err := s.ledger.begin(ctx, fresh, nil); err != nil {
			return err
		}
	} else {
		s.ledger.use(rec)
		was := rec.Upload.File
		if sh.Name != "" && (!was.ModTime.Equal(s.file.ModTime) || was.ID != s.file.ID) {
			differ, err := s.differing(ctx, *rec)
			if err == nil {
				err = s.ledger.drop(ctx, s.file, differ)
			}
			if err != nil {
				return err
			}
		}
	}
	// The plan may have newer URLs than the journal.
	s.ledger.rec.Presigned = sh.URLs
	s.ledger.rec.Upload.Renewable = sh.Upload.Renewable
	return nil
}

// Stored are the receipts that the journal has of the upload, in its order.
func (p *Plan) Stored() []Receipt {
	rec := p.s.ledger.rec
	var rs []Receipt
	for _, part := range rec.Upload.Parts {
		if rec.has(part.Number) {
			rs = append(rs, rec.Receipts[part.Number])
		}
	}
	return rs
}

// merge takes the receipts of other machines into the record. All ETags have to
// be the MD5s of their parts, or none.
func (s *session) merge(ctx context.Context, rs []Receipt) error {
	for _, r := range rs {
		if old, ok := s.ledger.rec.Receipts[r.Part]; ok {
			if old.CRC32C != r.CRC32C {
				return fmt.Errorf("part %d was sent with other bytes from this machine than from another: %w", r.Part, ErrChecksum)
			}
		}
		s.ledger.keep(r)
	}
	s.count()
	if bad := s.ledger.mismatched(); len(bad) > 0 {
		return fmt.Errorf("of part %d the store has other bytes than were sent: %w", bad[0], ErrChecksum)
	}
	if len(rs) > 0 {
		if err := s.ledger.receive(ctx, rs); err != nil {
			return err
		}
	}
	// An upload of the file that was begun may have told the provider of some.
	c := s.newCheckpoints(ctx)
	defer c.stop()
	return c.settle(ctx)
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
	c := *u
	c.Slots = NewSlots(1)
	s := &session{Uploader: &c, started: time.Now(), budget: &transport.Budget{Most: u.Retry.Retries}}
	if l, ok := u.Provider.(Limiter); ok {
		s.limits = l.Limits()
	}
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

// has reports whether a part is stored.
func (rec *Record) has(part int) bool {
	r, ok := rec.Receipts[part]
	return ok && r.Unconfirmed == nil
}
