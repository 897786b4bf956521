package s3

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	// MD5 says that parts carry their MD5, since they carry no other checksum, and
	// ETags are none.
	MD5 bool `json:"md5,omitempty"`
	// Plain says that it was planned before the checksums of its parts were known.
	Plain bool `json:"plain,omitempty"`
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
		d.Plain = p.set.sum == sumAuto
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
	id, known, encrypted, err := p.create(ctx, f, d)
	if d.Sum != "" && p.set.sum == sumAuto && unknownSum(err) {
		d.Sum = ""
		id, known, encrypted, err = p.create(ctx, f, d)
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
	u.Digest, d.MD5 = d.Sum, d.Sum == "" && (encrypted || byKMS(p.set.object))
	u.Data, err = json.Marshal(d)
	return u, nil, err
}

// unknownSum reports whether a store refused a request because of the checksum, or
// perhaps did.
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
// checksum, encrypted whether it encrypts so that ETags are no MD5s: the bucket may
// do that by itself.
func (p *Provider) create(ctx context.Context, f upload.File, d data) (id string, known, encrypted bool, err error) {
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
		return "", false, false, err
	}
	var x struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		UploadID string   `xml:"UploadId"`
	}
	if err := parseReply(a, c.what, &x); err != nil {
		return "", false, false, err
	}
	if x.UploadID == "" {
		return "", false, false, &unusable{title + ": " + c.what, "it has no upload id"}
	}
	return x.UploadID, d.Sum != "" && strings.EqualFold(a.Header.Get("X-Amz-Checksum-Algorithm"), d.Sum), byKMS(a.Header), nil
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
		header := http.Header{}
		if b, err := base64.StdEncoding.DecodeString(part.Digest); d.Sum != "" && err == nil && len(b) > 0 {
			header.Set(sumHeader(d.Sum), part.Digest)
		}
		s, err := p.signPart(ctx, u.File, d, part, header)
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

// signPart signs the request of a part with the header that has its checksums, if
// there are any.
func (p *Provider) signPart(ctx context.Context, f upload.File, d data, part upload.Part, sums http.Header) (signed, error) {
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
	maps.Copy(header, sums)
	return p.sign(ctx, call{method: http.MethodPut, key: d.Key, region: d.Region, query: query, header: header}, p.now(), urlLife)
}

// Put sends one part. Where the store compares a checksum, the part is read
// once before: the checksum is signed with the request.
func (p *Provider) Put(ctx context.Context, u upload.Upload, g upload.Presigned, part upload.Part, body io.Reader) (r upload.Receipt, err error) {
	d, err := dataOf(u)
	if err != nil {
		return r, err
	}
	op := opOf(part)
	if !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
		return r, &unsent{fmt.Errorf("%s: %w", op, upload.ErrExpired)}
	}
	s, fresh, err := p.authorize(ctx, u, d, g, part, body)
	if err != nil {
		return r, &unsent{err}
	}
	c := call{action: "s3:PutObject", method: http.MethodPut, key: d.Key, region: d.Region, created: !d.Single, fresh: fresh}
	t := transport.Request{Op: op, Method: c.method, URL: s.url, Header: s.header, Body: body, Size: part.Size, Bulk: true, Signed: true}
	a, err := p.exchange(ctx, t, c)
	if err != nil {
		return p.notStored(ctx, u, d, s, fresh, err)
	}
	return receiptOf(d, part, s, a)
}

func opOf(part upload.Part) string { return fmt.Sprintf("%s: send part %d", title, part.Number) }

// authorize is the request of a part as it was presigned or, where that lacks a
// checksum, signed here with it: fresh says that it was.
func (p *Provider) authorize(ctx context.Context, u upload.Upload, d data, g upload.Presigned, part upload.Part, body io.Reader) (s signed, fresh bool, err error) {
	s = signedAs(g)
	// What a plan authorizes is sent as it is: the credentials of this machine may
	// be of another account.
	carries := d.carries()
	if d.Sum != "" && s.header.Get(sumHeader(d.Sum)) != "" || d.Single && (u.Planned && g.URL != "" || p.noSum.Load()) {
		carries = ""
	}
	if carries == "" && !p.sendsMD5(d) {
		return s, false, nil
	}
	own, err := p.ahead(d, carries, body, part.Size)
	if err != nil {
		return s, false, fmt.Errorf("%s: %w", opOf(part), err)
	}
	if carries != "" || !u.Planned {
		again, err := p.signPart(ctx, u.File, d, part, own)
		switch {
		case err == nil:
			return again, true, nil
		case ctx.Err() != nil || !errors.Is(err, upload.ErrDenied) && !u.Planned || g.URL == "":
			return s, false, err
		}
	}
	if sum := own.Get(md5Header); sum != "" { // without credentials the presigned URL is all there is, and need not have it signed
		s.header.Set(md5Header, sum)
	}
	return s, false, nil
}

// notStored says what the error of a part's request means. A PUT that was refused
// as the object is there may have stored it before: that gives its receipt.
func (p *Provider) notStored(ctx context.Context, u upload.Upload, d data, s signed, fresh bool, err error) (r upload.Receipt, _ error) {
	x, sum := errorOf(err), s.header.Get(sumHeader(d.carries()))
	switch {
	case d.Single && fresh && sum != "" && p.set.sum == sumAuto && unknownSum(err):
		p.noSum.Store(true)
		x.Retry = true // without the checksum
		return r, x
	case d.Single && p.set.ifNoneMatch && code(err) == "PreconditionFailed" && p.puts.mayHaveStored(d):
		return p.perhapsOurs(ctx, u, d, sum, err)
	case x == nil:
		return r, err
	}
	if d.Single && (x.Status == 0 && !x.Unsent || x.Status >= http.StatusInternalServerError) {
		p.puts.doubt(d)
	}
	if x.Code == "RequestExpired" || tokenExpired(err) && (p.renewed(ctx, s.url) || p.Keyless()) || strings.Contains(x.Message, "Request has expired") {
		err = &failure{means: upload.ErrExpired, err: x}
	}
	return r, err
}

// receiptOf is the receipt of a part that was sent as s has it.
func receiptOf(d data, part upload.Part, s signed, a *transport.Reply) (r upload.Receipt, err error) {
	r = upload.Receipt{Part: part.Number, Value: a.Header.Get("ETag")}
	if r.Value == "" {
		reason := "the store sent no ETag, so there is no proof that the part is stored"
		if d.Single { // the first request of the upload
			reason += ": " + errNotS3.Error()
		}
		return r, &retried{unusable{opOf(part), reason}}
	}
	sum := s.header.Get(sumHeader(d.carries()))
	if b, _ := base64.StdEncoding.DecodeString(sum); len(b) > 0 {
		switch {
		case d.PartSum != "":
			r.Known = known(sum)
		case d.Sum == upload.DigestCRC32C:
			r.CRC32C = binary.BigEndian.Uint32(b)
		default:
			r.CRC64NVME = binary.BigEndian.Uint64(b)
		}
		if r.Verified = a.Header.Get(sumHeader(d.carries())) == sum; r.Verified {
			r.VerifiedBy = d.Sum
		}
	}
	if !r.Verified && s.header.Get(md5Header) != "" {
		r.Verified, r.VerifiedBy = true, upload.DigestMD5
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
// there is nothing to abort. One that is gone is aborted, unless it became the
// object.
func (p *Provider) Abort(ctx context.Context, u upload.Upload) error {
	d, err := dataOf(u)
	if err != nil || d.Single {
		return err
	}
	if u.Planned { // another machine may have completed it, and some stores abort what they do not have
		_, err = p.do(ctx, goneCall(d))
	}
	if !errors.Is(err, upload.ErrGone) {
		err = p.abort(ctx, d)
	}
	if !errors.Is(err, upload.ErrGone) {
		return err
	}
	o, looked := p.head(ctx, d)
	switch {
	case mayPass(looked):
		return looked
	case looked == nil && o.size == u.File.Size && !o.modified.Before(d.Began.Truncate(time.Second)):
		e := errorOf(err)
		e.Op, e.Message = title+": "+abortCall(d).what, p.address(d.Key)+" was completed meanwhile"
		return &failure{means: upload.ErrCompleted, err: e}
	}
	return nil
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
