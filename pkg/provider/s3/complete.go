package s3

import (
	"cmp"
	"context"
	"crypto/md5" // what ETags are made of
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// reply is the provider's answer to complete, as --json has it.
type reply struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	ETag      string `json:"etag"`
	VersionID string `json:"version_id,omitempty"`
	CRC64NVME string `json:"checksum_crc64nvme,omitempty"` // base64
	CRC32C    string `json:"checksum_crc32c,omitempty"`    // base64
}

func (p *Provider) result(d data, etag, version, sum string) (upload.Result, error) {
	r := reply{Bucket: p.place.bucket, Key: d.Key, ETag: etag, VersionID: version}
	if d.Sum == upload.DigestCRC32C {
		r.CRC32C = sum
	} else {
		r.CRC64NVME = sum
	}
	b, err := json.Marshal(r)
	return upload.Result{Value: p.address(d.Key), Reply: b}, err
}

// completedPart is a part as complete names it.
type completedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string `xml:",omitempty"`
	ChecksumCRC32C    string `xml:",omitempty"`
	ChecksumCRC64NVME string `xml:",omitempty"`
	ChecksumSHA1      string `xml:",omitempty"`
	ChecksumSHA256    string `xml:",omitempty"`
}

// Complete has the store put the object together. One that was put together
// before, of the same parts, is not an error.
func (p *Provider) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, sums upload.Digests) (r upload.Result, err error) {
	d, err := dataOf(u)
	if err != nil {
		return r, err
	}
	if d.Single {
		return p.completeSingle(ctx, d, rs)
	}
	// A store takes any of the parts for the whole.
	if len(rs) != len(u.Parts) {
		return r, &unsent{fmt.Errorf("%s: complete the upload: %w: there are receipts of %d of %d parts", title, upload.ErrRefused, len(rs), len(u.Parts))}
	}
	var list struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUpload"`
		Part    []completedPart
	}
	for _, r := range rs {
		part := completedPart{PartNumber: r.Part, ETag: r.Value}
		part.setSum(d.PartSum, r.Known)
		switch d.Sum {
		case upload.DigestCRC32C:
			part.ChecksumCRC32C = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, r.CRC32C))
		case upload.DigestCRC64NVME:
			part.ChecksumCRC64NVME = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, r.CRC64NVME))
		}
		list.Part = append(list.Part, part)
	}
	body, err := xml.Marshal(list)
	if err != nil {
		return r, &unsent{fmt.Errorf("%s: complete the upload: %w", title, err)}
	}
	whole := wholeSum(d, sums)
	c := p.completeCall(u, d, whole)
	c.body = body
	a, err := p.do(ctx, c)
	switch {
	case errors.Is(err, upload.ErrGone), p.set.ifNoneMatch && code(err) == "PreconditionFailed" && p.gone(ctx, d):
		if r, is, looked := p.completedBefore(ctx, u, d, rs, whole); is || mayPass(looked) {
			return r, looked
		}
		return r, err
	case err != nil:
		return r, err
	}
	var x struct {
		XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag              string
		ChecksumCRC64NVME string
		ChecksumCRC32C    string
	}
	if err := parseReply(a, c.what, &x); err != nil {
		return r, err
	}
	if x.ETag == "" {
		return r, &unusable{title + ": " + c.what, "it has no ETag"}
	}
	sum := x.ChecksumCRC64NVME
	if d.Sum == upload.DigestCRC32C {
		sum = x.ChecksumCRC32C
	}
	return p.result(d, x.ETag, a.Header.Get("X-Amz-Version-Id"), cmp.Or(sum, a.Header.Get(sumHeader(cmp.Or(d.Sum, upload.DigestCRC64NVME)))))
}

func (p *Provider) completeCall(u upload.Upload, d data, whole string) call {
	c := call{
		what: "complete the upload", action: "s3:PutObject", method: http.MethodPost, key: d.Key, region: d.Region, query: url.Values{"uploadId": {d.ID}},
		header: http.Header{"Content-Type": {"application/xml"}}, slow: true, created: true, step: "complete",
	}
	if whole != "" {
		c.header.Set(sumHeader(d.Sum), whole)
		c.header.Set("X-Amz-Checksum-Type", fullObject)
		c.header.Set("X-Amz-Mp-Object-Size", strconv.FormatInt(u.File.Size, 10))
	}
	if p.set.ifNoneMatch {
		c.header.Set("If-None-Match", "*")
	}
	return c
}

// SignsDigests says that a part's URL is signed with its checksum, if the upload
// takes one.
func (p *Provider) SignsDigests(u upload.Upload) bool {
	d, err := dataOf(u)
	return err == nil && d.Sum != "" && !d.Single
}

// WouldSign says so of an upload that was planned without the checksums of its parts.
func (p *Provider) WouldSign(u upload.Upload) bool {
	d, err := dataOf(u)
	return err == nil && d.Plain
}

// SignEnd presigns what completes and aborts the upload, and what finds out how a
// completion ended whose answer was lost. One PUT needs none of them.
func (p *Provider) SignEnd(ctx context.Context, u upload.Upload, sums upload.Digests) (map[string]upload.Presigned, error) {
	d, err := dataOf(u)
	if err != nil || d.Single {
		return nil, err
	}
	requests := make(map[string]upload.Presigned)
	for _, c := range []call{p.completeCall(u, d, wholeSum(d, sums)), abortCall(d), headCall(d), goneCall(d)} {
		if c.query == nil {
			c.query = url.Values{}
		}
		s, err := p.sign(ctx, c, p.now(), urlLife)
		if err != nil {
			return nil, err
		}
		requests[c.step] = s.presigned()
	}
	return requests, nil
}

// wholeSum is the checksum of the whole object, in base64; empty: the upload
// takes none.
func wholeSum(d data, sums upload.Digests) string {
	b := sums.CRC64NVME
	if d.Sum == upload.DigestCRC32C {
		b = sums.CRC32C
	}
	if d.Sum == "" || b == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// completeSingle is the end of an upload whose one PUT stored the object.
func (p *Provider) completeSingle(ctx context.Context, d data, rs []upload.Receipt) (r upload.Result, err error) {
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	var s single
	if len(rs) != 1 || json.Unmarshal([]byte(rs[0].Value), &s) != nil || s.ETag == "" || s.ETag != rs[0].ETag {
		return r, &unsent{fmt.Errorf("%s: complete the upload: %w: the receipt is not that of a PUT", title, upload.ErrRefused)}
	}
	return p.result(d, s.ETag, s.Version, s.Sum)
}

// completedBefore looks whether the object is the one that these parts make: an
// earlier request completed the upload, and its answer was lost.
func (p *Provider) completedBefore(ctx context.Context, u upload.Upload, d data, rs []upload.Receipt, whole string) (r upload.Result, is bool, err error) {
	o, err := p.head(ctx, d)
	if err != nil || o.size != u.File.Size || o.etag == "" {
		return r, false, err
	}
	if tag := joinedETag(rs); tag == "" || strings.Trim(o.etag, `"`) != tag {
		if whole == "" || o.sum != whole || o.modified.Before(d.Began.Truncate(time.Second)) {
			return r, false, nil
		}
	}
	r, err = p.result(d, o.etag, o.version, o.sum)
	return r, err == nil, err
}

// mayPass reports whether the same request may get another answer later.
func mayPass(err error) bool {
	e := errorOf(err)
	return e != nil && e.Temporary()
}

// joinedETag is the ETag of an object of these parts, where ETags are MD5s;
// empty: they are not.
func joinedETag(rs []upload.Receipt) string {
	h := md5.New()
	for _, r := range rs {
		b, err := hex.DecodeString(strings.Trim(r.Value, `"`))
		if err != nil || len(b) != md5.Size {
			return ""
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(rs))
}

// object is what the store says of an object.
type object struct {
	size               int64
	etag, version, sum string
	modified           time.Time
}

func (p *Provider) head(ctx context.Context, d data) (o object, err error) {
	a, err := p.do(ctx, headCall(d))
	if err != nil {
		return o, err
	}
	o = object{
		size: -1, etag: a.Header.Get("ETag"), version: a.Header.Get("X-Amz-Version-Id"),
		sum: a.Header.Get(sumHeader(cmp.Or(d.Sum, upload.DigestCRC64NVME))),
	}
	if n, err := strconv.ParseInt(a.Header.Get("Content-Length"), 10, 64); err == nil {
		o.size = n
	}
	o.modified, _ = http.ParseTime(a.Header.Get("Last-Modified"))
	return o, nil
}

func headCall(d data) call {
	return call{
		what: "look at the object", action: "s3:GetObject", method: http.MethodHead, key: d.Key, region: d.Region,
		header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}, step: "look",
	}
}

func goneCall(d data) call {
	return call{
		what: "list the parts", action: "s3:ListMultipartUploadParts", method: http.MethodGet, key: d.Key, region: d.Region,
		query: url.Values{"uploadId": {d.ID}, "max-parts": {"1"}}, created: true, step: "parts",
	}
}

// gone reports whether the store no longer has the parts: they became an object.
func (p *Provider) gone(ctx context.Context, d data) bool {
	_, err := p.do(ctx, goneCall(d))
	return errors.Is(err, upload.ErrGone)
}

// puts remembers of each upload with one PUT whether an object may be its own,
// although it is not to overwrite any.
type puts struct{ began, doubted sync.Map }

func (s *puts) create(d data) { s.began.Store(d.Began.UnixNano(), true) }
func (s *puts) doubt(d data)  { s.doubted.Store(d.Began.UnixNano(), true) }

// mayHaveStored reports whether an earlier PUT may have been acted on: its answer
// did not come, or another process made it.
func (s *puts) mayHaveStored(d data) bool {
	_, here := s.began.Load(d.Began.UnixNano())
	_, doubted := s.doubted.Load(d.Began.UnixNano())
	return doubted || !here
}

// perhapsOurs is a PUT that was refused since the object is there: it may be the
// one that an earlier try stored, whose answer was lost.
func (p *Provider) perhapsOurs(ctx context.Context, u upload.Upload, d data, sum string, refused error) (r upload.Receipt, err error) {
	o, err := p.head(ctx, d)
	if mayPass(err) {
		return r, err
	}
	if err != nil || sum == "" || o.size != u.File.Size || o.modified.Before(d.Began.Truncate(time.Second)) || o.sum != sum {
		return r, refused
	}
	r = upload.Receipt{Part: u.Parts[0].Number, ETag: o.etag, Verified: true, VerifiedBy: d.Sum}
	r.Value, err = single{ETag: o.etag, Version: o.version, Sum: o.sum}.encode()
	return r, err
}
