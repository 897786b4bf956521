package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

var (
	_ upload.Keeper = (*Provider)(nil)
	_ spec.Remote   = (*Provider)(nil)
)

// resumeAuto takes over the only upload of a key that the store has.
const resumeAuto = "auto"

// takeOver makes u the unfinished upload that the store has. false: it has none.
func (p *Provider) takeOver(ctx context.Context, u *upload.Upload, d data, h upload.Hint) (bool, error) {
	d.ID = p.set.resume
	if d.ID == resumeAuto {
		all, err := p.uploads(ctx, d.Key)
		if err != nil {
			return false, err
		}
		all = slices.DeleteFunc(all, func(r spec.RemoteUpload) bool { return r.Key != d.Key })
		switch len(all) {
		case 0:
			return false, nil
		case 1:
		default:
			var list strings.Builder
			for _, r := range all {
				fmt.Fprintf(&list, "\n  %s  started %s", r.ID, r.Started.Local().Format(time.DateTime))
			}
			return false, &several{unsent{fmt.Errorf("%s: %w: the store has %d unfinished uploads of %s; say which one is to be resumed:%s", title, upload.ErrRefused, len(all), p.address(d.Key), list.String())}}
		}
		d.ID = all[0].ID
	}
	parts, sums, err := p.parts(ctx, d)
	switch {
	case errors.Is(err, upload.ErrGone):
		return false, &unsent{fmt.Errorf("%s: %w: the store has no unfinished upload %s of %s", title, upload.ErrRefused, d.ID, p.address(d.Key))}
	case err != nil:
		return false, err
	}
	switch name := strings.ToLower(sums.algorithm); {
	case name == "" || name == upload.DigestCRC64NVME || name == upload.DigestCRC32C && sums.kind != composite:
		d.Sum = name
	case hashes[name] == nil || h.Shared:
		where := ""
		if h.Shared {
			where = " in a plan"
		}
		return false, &unsent{fmt.Errorf("%s: %w: upload %s requires the checksum %s of each part, which is not supported%s", title, upload.ErrRefused, d.ID, sums.algorithm, where)}
	default:
		d.PartSum = name
	}
	size := int64(0)
	for _, part := range parts {
		size = max(size, part.Size)
	}
	if size == 0 || size < u.File.Size && size < minPart { // only a last part is stored
		size = h.PartSize
	}
	if u.Parts, err = upload.Split(u.File.Size, size, upload.Limits{MaxPart: maxPart, MaxParts: maxParts}); err != nil {
		return false, err
	}
	u.ID, u.Digest, u.TakenOver = d.ID, d.Sum, true
	u.Data, err = json.Marshal(d)
	return true, err
}

// several is more than one upload that could be resumed.
type several struct{ unsent }

// OptionHint is how one of them is named.
func (*several) OptionHint() (name, value string) { return optResume, "UPLOAD-ID" }

// storedPart is a part that the store has.
type storedPart struct {
	PartNumber        int
	Size              int64
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// parts are all parts of an upload that the store has, and what their checksums are.
func (p *Provider) parts(ctx context.Context, d data) (all []storedPart, sums checksums, err error) {
	for marker := ""; ; {
		c := call{
			what: "list the parts", action: "s3:ListMultipartUploadParts", method: http.MethodGet, key: d.Key, region: d.Region,
			query: url.Values{"uploadId": {d.ID}}, created: true,
		}
		if marker != "" {
			c.query.Set("part-number-marker", marker)
		}
		a, err := p.do(ctx, c)
		if err != nil {
			return nil, sums, err
		}
		var x struct {
			XMLName              xml.Name `xml:"ListPartsResult"`
			ChecksumAlgorithm    string
			ChecksumType         string
			IsTruncated          bool
			NextPartNumberMarker string
			Part                 []storedPart
		}
		if err := parseReply(a, c.what, &x); err != nil {
			return nil, sums, err
		}
		if x.ChecksumAlgorithm == "null" { // versitygw: there is none
			x.ChecksumAlgorithm = ""
		}
		all, sums = append(all, x.Part...), checksums{x.ChecksumAlgorithm, x.ChecksumType}
		if !x.IsTruncated {
			return all, sums, nil
		}
		if x.NextPartNumberMarker == "" || x.NextPartNumberMarker == marker {
			return nil, sums, &unusable{title + ": " + c.what, "the list has more pages, but no marker for the next one"}
		}
		marker = x.NextPartNumberMarker
	}
}

// Stored are the parts of an upload that the store has, by their checksums or
// ETags.
func (p *Provider) Stored(ctx context.Context, u upload.Upload) ([]upload.Receipt, error) {
	d, err := dataOf(u)
	if err != nil || d.Single {
		return nil, err
	}
	parts, _, err := p.parts(ctx, d)
	if err != nil {
		return nil, err
	}
	var rs []upload.Receipt
	for _, part := range parts {
		i := slices.IndexFunc(u.Parts, func(planned upload.Part) bool { return planned.Number == part.PartNumber })
		if i < 0 {
			continue
		}
		r := upload.Receipt{Part: part.PartNumber, Value: part.ETag}
		if d.PartSum != "" {
			sum := part.sum(d.PartSum)
			if sum == "" { // complete could not name it
				continue
			}
			r.Known = known(sum)
		}
		if u.Parts[i].Size == part.Size {
			if b, err := base64.StdEncoding.DecodeString(part.ChecksumCRC64NVME); err == nil && len(b) == 8 {
				r.CRC64NVME = binary.BigEndian.Uint64(b)
			}
			if b, err := base64.StdEncoding.DecodeString(part.ChecksumCRC32C); err == nil && len(b) == 4 {
				r.CRC32C = binary.BigEndian.Uint32(b)
			}
			if b, err := hex.DecodeString(strings.Trim(part.ETag, `"`)); err == nil && len(b) == 16 && !d.MD5 {
				r.MD5 = b
			}
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// uploads are the unfinished uploads of the keys that begin so.
func (p *Provider) uploads(ctx context.Context, prefix string) (all []spec.RemoteUpload, err error) {
	for key, id := "", ""; ; {
		c := call{
			what: "list the unfinished uploads", action: "s3:ListBucketMultipartUploads", method: http.MethodGet,
			query: url.Values{"uploads": {""}},
		}
		for name, value := range map[string]string{"prefix": prefix, "key-marker": key, "upload-id-marker": id} {
			if value != "" {
				c.query.Set(name, value)
			}
		}
		a, err := p.do(ctx, c)
		if err != nil {
			return nil, err
		}
		var x struct {
			XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
			IsTruncated        bool
			NextKeyMarker      string
			NextUploadIDMarker string `xml:"NextUploadIdMarker"`
			Upload             []struct {
				Key       string
				UploadID  string `xml:"UploadId"`
				Initiated time.Time
			}
		}
		if err := parseReply(a, c.what, &x); err != nil {
			return nil, err
		}
		for _, u := range x.Upload {
			all = append(all, spec.RemoteUpload{ID: u.UploadID, Key: u.Key, Name: p.address(u.Key), Started: u.Initiated})
		}
		if !x.IsTruncated {
			return all, nil
		}
		if x.NextKeyMarker == key && x.NextUploadIDMarker == id {
			return nil, &unusable{title + ": " + c.what, "the list has more pages, but no marker for the next one"}
		}
		key, id = x.NextKeyMarker, x.NextUploadIDMarker
	}
}

// Remote are the unfinished uploads that the store has below the address, with
// what is stored of each.
func (p *Provider) Remote(ctx context.Context) ([]spec.RemoteUpload, error) {
	all, err := p.uploads(ctx, p.place.key)
	if err == nil && len(all) == 0 && p.place.key != "" && p.named != "" {
		// MinIO takes a prefix only where it is a whole key.
		all, err = p.uploads(ctx, "")
		all = slices.DeleteFunc(all, func(r spec.RemoteUpload) bool { return !strings.HasPrefix(r.Key, p.place.key) })
	}
	if err != nil {
		return nil, err
	}
	there := all[:0]
	for _, r := range all {
		parts, _, err := p.parts(ctx, data{ID: r.ID, Key: r.Key})
		switch {
		case errors.Is(err, upload.ErrGone): // it was completed or aborted meanwhile
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", strconv.Quote(r.Key), err)
		}
		r.Parts = len(parts)
		for _, part := range parts {
			r.Bytes += part.Size
		}
		there = append(there, r)
	}
	return there, nil
}

// AbortRemote aborts one of them. One that is gone is not an error.
func (p *Provider) AbortRemote(ctx context.Context, r spec.RemoteUpload) error {
	if err := p.abort(ctx, data{Key: r.Key, ID: r.ID}); !errors.Is(err, upload.ErrGone) {
		return err
	}
	return nil
}
