package s3

import (
	"cmp"
	"context"
	"crypto/sha1" // what other clients' parts carry
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// data is what an upload keeps.
type data struct {
	ID  string `json:"id,omitempty"` // of the multipart upload
	Key string `json:"key"`
	Sum string `json:"sum,omitempty"` // the checksum that parts carry: one of upload's Digest constants, or none
	// PartSum is the checksum that parts carry of an upload that another client
	// began, where none is given of the whole: see composite.go.
	PartSum string `json:"part_sum,omitempty"`
	// Single says that the one part is a PUT of the object: ID is ours, and there
	// is nothing to complete.
	Single bool      `json:"single,omitempty"`
	Began  time.Time `json:"began"`
	// Region is where AWS has it: another machine may be configured for another.
	Region string `json:"region,omitempty"`
}

func dataOf(u upload.Upload) (d data, err error) {
	if err := json.Unmarshal(u.Data, &d); err != nil || d.Key == "" {
		return d, &unsent{fmt.Errorf("%s: the journal's entry of upload %s has no key", title, u.ID)}
	}
	return d, nil
}

// Create opens a multipart upload, if the file needs more than one part.
func (p *Provider) Create(ctx context.Context, f upload.File, h upload.Hint) (upload.Upload, []upload.Presigned, error) {
	if err := ctx.Err(); err != nil {
		return upload.Upload{}, nil, context.Cause(ctx)
	}
	d := data{Key: p.place.keyOf(f.Name), Began: time.Now().UTC()}
	if p.named == "" {
		d.Region = p.store.region
	}
	if reason := badKey(d.Key); reason != "" {
		return upload.Upload{}, nil, &unsent{fmt.Errorf("%s: %w: %s", title, upload.ErrRefused, reason)}
	}
	u := upload.Upload{File: f, Renewable: true}
	parts, err := upload.Split(f.Size, h.PartSize, limits)
	if err != nil {
		return u, nil, err
	}
	if p.set.resume != "" {
		if is, err := p.takeOver(ctx, &u, d, h); is || err != nil {
			return u, nil, err
		}
	}
	switch {
	case p.single(f.Size, len(parts)) && (!h.Shared || f.Size == 0):
		// Whether the store compares its checksum shows in its answer.
		if d.Single = true; p.set.sum != sumETag {
			d.Sum = upload.DigestCRC64NVME
			if p.set.sum != sumAuto {
				d.Sum = p.set.sum
			}
		}
		if _, err := p.keys(ctx); err != nil {
			return u, nil, &unsent{err}
		}
		u.ID, u.Parts = "put "+p.address(d.Key), parts
		p.puts.create(d)
		u.Data, err = json.Marshal(d)
		return u, nil, err
	case h.Shared && !h.Digests:
		// The URL of a part would be signed with its checksum: ETags have to do.
		if p.set.sum == upload.DigestCRC64NVME || p.set.sum == upload.DigestCRC32C {
			return u, nil, &unsent{fmt.Errorf("%s: %w: the %s of each part is signed with its URL, so the plan needs the checksums of the parts", title, upload.ErrRefused, p.set.sum)}
		}
	case p.set.sum == sumAuto:
		d.Sum = upload.DigestCRC64NVME
	case p.set.sum != sumETag:
		d.Sum = p.set.sum
	}
	if p.set.ifNoneMatch { // better now than when all is sent; complete is what prevents it
		if o, err := p.head(ctx, d); err == nil && o.etag != "" {
			return u, nil, &unsent{fmt.Errorf("%s: %w: %s exists already, and must not be overwritten", title, upload.ErrRefused, p.address(d.Key))}
		}
	}
	id, known, err := p.create(ctx, f, d)
	if d.Sum != "" && p.set.sum == sumAuto && unknownSum(err) {
		d.Sum = ""
		id, known, err = p.create(ctx, f, d)
	}
	if err != nil {
		return u, nil, err
	}
	u.ID, d.ID = id, id
	if !known && p.set.sum != sumAuto && d.Sum != "" {
		return u, nil, fmt.Errorf("%s: %w: the store does not know the checksum %s", title, upload.ErrRefused, p.set.sum)
	}
	if !known {
		d.Sum = ""
	}
	u.Digest = d.Sum
	u.Data, err = json.Marshal(d)
	return u, nil, err
}

// unknownSum reports whether a store refused to create because of the checksum,
// or perhaps did.
func unknownSum(err error) bool {
	var e *transport.Error
	if !errors.As(err, &e) || errors.Is(err, upload.ErrDenied) {
		return false
	}
	switch e.Code {
	case "NotImplemented", "InvalidRequest", "InvalidArgument", "InvalidHeader", "XNotImplemented":
		return true
	}
	return e.Status == http.StatusNotImplemented
}

// create opens a multipart upload. known says whether the store takes the
// checksum.
func (p *Provider) create(ctx context.Context, f upload.File, d data) (id string, known bool, err error) {
	c := call{
		what: "create the upload", action: "s3:PutObject", method: http.MethodPost, key: d.Key, region: d.Region,
		query: url.Values{"uploads": {""}}, header: p.objectHeader(f),
	}
	if d.Sum != "" {
		c.header.Set("X-Amz-Checksum-Algorithm", strings.ToUpper(d.Sum))
		c.header.Set("X-Amz-Checksum-Type", fullObject)
	}
	a, err := p.do(ctx, c)
	if err != nil {
		return "", false, err
	}
	var x struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		UploadID string   `xml:"UploadId"`
	}
	if err := parseReply(a, c.what, &x); err != nil {
		return "", false, err
	}
	if x.UploadID == "" {
		return "", false, &unusable{title + ": " + c.what, "it has no upload id"}
	}
	return x.UploadID, d.Sum != "" && strings.EqualFold(a.Header.Get("X-Amz-Checksum-Algorithm"), d.Sum), nil
}

const fullObject = "FULL_OBJECT"

// objectHeader is what the object is created with.
func (p *Provider) objectHeader(f upload.File) http.Header {
	h := p.set.object.Clone()
	if f.Type != "" {
		h.Set("Content-Type", f.Type)
	}
	return h
}

// urlLife is how long the presigned URL of a part is valid, if the credentials
// are.
const urlLife = 12 * time.Hour

// Presign signs a URL for each part. Nothing is sent, unless credentials have to
// be renewed.
func (p *Provider) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	d, err := dataOf(u)
	if err != nil {
		return nil, err
	}
	urls := make([]upload.Presigned, 0, len(parts))
	for _, part := range parts {
		s, err := p.signPart(ctx, u.File, d, part, nil)
		if err != nil {
			return nil, err
		}
		g := s.presigned()
		g.Part = part.Number
		urls = append(urls, g)
	}
	return urls, nil
}

// Signs says that URLs are signed here, and that for a single PUT nothing is
// created.
func (p *Provider) Signs(op upload.Op, u upload.Upload) bool {
	d, err := dataOf(u)
	return op == upload.OpPresign || op == upload.OpCreate && err == nil && d.Single
}

// signPart signs the request of a part with this checksum, if there is one.
func (p *Provider) signPart(ctx context.Context, f upload.File, d data, part upload.Part, sum []byte) (signed, error) {
	query, header := url.Values{}, http.Header{}
	if d.Single {
		header = p.objectHeader(f)
		if p.set.ifNoneMatch {
			header.Set("If-None-Match", "*")
		}
	} else {
		query.Set("partNumber", strconv.Itoa(part.Number))
		query.Set("uploadId", d.ID)
	}
	if b, err := base64.StdEncoding.DecodeString(part.Digest); sum == nil && d.Sum != "" && err == nil && len(b) > 0 {
		sum = b
	}
	if sum != nil {
		header.Set(sumHeader(d.carries()), base64.StdEncoding.EncodeToString(sum))
	}
	return p.sign(ctx, call{method: http.MethodPut, key: d.Key, region: d.Region, query: query, header: header}, p.now(), urlLife)
}

func sumHeader(name string) string { return http.CanonicalHeaderKey("x-amz-checksum-" + name) }

// hashes make the checksums that parts carry.
var hashes = map[string]func() hash.Hash{
	upload.DigestCRC32C:    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	upload.DigestCRC64NVME: func() hash.Hash { return crc64nvme.New() },
	"crc32":                func() hash.Hash { return crc32.NewIEEE() },
	"sha1":                 sha1.New,
	"sha256":               sha256.New,
}

// Put sends one part. Where the store compares a checksum, the part is read
// once before: the checksum is signed with the request.
func (p *Provider) Put(ctx context.Context, u upload.Upload, g upload.Presigned, part upload.Part, body io.Reader) (r upload.Receipt, err error) {
	d, err := dataOf(u)
	if err != nil {
		return r, err
	}
	c := call{what: fmt.Sprintf("send part %d", part.Number), action: "s3:PutObject", method: http.MethodPut, key: d.Key, region: d.Region, created: !d.Single}
	op := title + ": " + c.what
	if !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
		return r, &unsent{fmt.Errorf("%s: %w", op, upload.ErrExpired)}
	}
	t := transport.Request{Op: op, Method: c.method, URL: g.URL, Header: http.Header{}, Body: body, Size: part.Size, Bulk: true, Signed: true}
	for k, v := range g.Header {
		t.Header.Set(k, v)
	}
	var sum []byte
	if d.Sum != "" {
		sum, _ = base64.StdEncoding.DecodeString(g.Header[sumHeader(d.Sum)])
	}
	// What a plan authorizes is sent as it is: the credentials of this machine may
	// be of another account.
	if d.carries() != "" && len(sum) == 0 && (!d.Single || !u.Planned || g.URL == "") {
		if sum, err = ahead(hashes[d.carries()](), body, part.Size); err != nil {
			return r, &unsent{fmt.Errorf("%s: %w", op, err)}
		}
		s, err := p.signPart(ctx, u.File, d, part, sum)
		switch {
		case err == nil:
			t.URL, t.Header, c.fresh = s.url, s.header, true
		case ctx.Err() != nil || !errors.Is(err, upload.ErrDenied) && !u.Planned || g.URL == "":
			return r, &unsent{err}
		default: // without credentials the presigned URL is all there is
			sum = nil
		}
	}
	a, err := p.exchange(ctx, t, c)
	if err != nil {
		if d.Single && p.set.ifNoneMatch && code(err) == "PreconditionFailed" && p.puts.mayHaveStored(d) {
			return p.perhapsOurs(ctx, u, d, sum, err)
		}
		if x := errorOf(err); d.Single && x != nil && (x.Status == 0 && !x.Unsent || x.Status >= http.StatusInternalServerError) {
			p.puts.doubt(d)
		}
		if code(err) == "RequestExpired" || tokenExpired(err) && (p.renewed(ctx, t.URL) || p.Keyless()) {
			return r, expired(err)
		}
		if x := errorOf(err); x != nil && strings.Contains(x.Message, "Request has expired") {
			return r, expired(err)
		}
		return r, err
	}
	r = upload.Receipt{Part: part.Number, Value: a.Header.Get("ETag")}
	if r.Value == "" {
		return r, &retried{unusable{op, "the store sent no ETag, so there is no proof that the part is stored"}}
	}
	if len(sum) > 0 {
		switch {
		case d.PartSum != "":
			r.Known = known(base64.StdEncoding.EncodeToString(sum))
		case d.Sum == upload.DigestCRC32C:
			r.CRC32C = binary.BigEndian.Uint32(sum)
		default:
			r.CRC64NVME = binary.BigEndian.Uint64(sum)
		}
		if r.Verified = a.Header.Get(sumHeader(d.carries())) == base64.StdEncoding.EncodeToString(sum); r.Verified {
			r.VerifiedBy = d.Sum
		}
	}
	if d.Single {
		r.ETag = r.Value
		r.Value, err = single{ETag: r.ETag, Version: a.Header.Get("X-Amz-Version-Id"), Sum: a.Header.Get(sumHeader(cmp.Or(d.Sum, upload.DigestCRC64NVME)))}.encode()
	}
	return r, err
}

// retried is an unusable answer after which the same exchange may go better.
type retried struct{ unusable }

func (e *retried) Temporary() bool           { return true }
func (e *retried) MostTries() int            { return 3 }
func (e *retried) RetryAfter() time.Duration { return 0 }
func (e *retried) Unwrap() error             { return &e.unusable }

func errorOf(err error) *transport.Error {
	var e *transport.Error
	errors.As(err, &e)
	return e
}

// expired is a part whose presigned URL the store no longer takes.
func expired(err error) error {
	return &failure{means: upload.ErrExpired, err: errorOf(err)}
}

// ahead is the checksum of a part that is still to be sent.
func ahead(h hash.Hash, body io.Reader, size int64) ([]byte, error) {
	switch b := body.(type) {
	case upload.Hashable:
		if err := b.Hash(h); err != nil {
			return nil, err
		}
	case io.ReadSeeker:
		n, err := io.Copy(h, io.LimitReader(b, size))
		if err == nil {
			_, err = b.Seek(-n, io.SeekCurrent)
		}
		if err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("the part cannot be read before it is sent")
	}
	return h.Sum(nil), nil
}

// single is what is kept of the answer to a PUT of an object.
type single struct {
	ETag    string `json:"etag"`
	Version string `json:"version,omitempty"`
	Sum     string `json:"sum,omitempty"`
}

func (s single) encode() (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

// Abort ends a multipart upload; the store deletes its parts. Of a single PUT
// there is nothing to abort.
func (p *Provider) Abort(ctx context.Context, u upload.Upload) error {
	d, err := dataOf(u)
	if err != nil || d.Single {
		return err
	}
	return ignoreGone(p.abort(ctx, d))
}

func ignoreGone(err error) error {
	if errors.Is(err, upload.ErrGone) {
		return nil
	}
	return err
}

func (p *Provider) abort(ctx context.Context, d data) error {
	_, err := p.do(ctx, abortCall(d))
	return err
}

func abortCall(d data) call {
	return call{
		what: "abort the upload", action: "s3:AbortMultipartUpload", method: http.MethodDelete, key: d.Key, region: d.Region,
		query: url.Values{"uploadId": {d.ID}}, created: true, step: "abort",
	}
}
