package s3

import (
	"crypto/md5"  // what Content-MD5 has
	"crypto/sha1" // what other clients' parts carry
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"io"
	"net/http"
	"strings"

	"github.com/minio/crc64nvme"

	"github.com/multiput/multiput/pkg/upload"
)

// hashes make the checksums that parts carry.
var hashes = map[string]func() hash.Hash{
	upload.DigestCRC32C:    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	upload.DigestCRC64NVME: func() hash.Hash { return crc64nvme.New() },
	"crc32":                func() hash.Hash { return crc32.NewIEEE() },
	"sha1":                 sha1.New,
	"sha256":               sha256.New,
}

func sumHeader(name string) string { return http.CanonicalHeaderKey("x-amz-checksum-" + name) }

const (
	sseHeader = "X-Amz-Server-Side-Encryption"
	md5Header = "Content-Md5"
)

// byKMS reports whether an object is encrypted so that its ETag is no MD5, by the
// header of its request or of the answer.
func byKMS(h http.Header) bool { return strings.HasPrefix(h.Get(sseHeader), "aws:kms") }

// sendsMD5 reports whether parts carry their MD5, which every store compares. It costs
// reading them once more, and is done where neither another checksum nor the ETag
// would prove them, or may not, and a proof is required.
func (p *Provider) sendsMD5(d data) bool {
	if d.carries() != "" && (!d.Single || p.aws != nil) { // of a single PUT, only AWS is known to take it
		return false
	}
	return d.MD5 || p.proof || byKMS(p.set.object)
}

// ahead are the checksums of a part that is still to be sent, as its request has
// them: the named one, if there is a name, and the MD5 where the upload needs it.
func (p *Provider) ahead(d data, name string, body io.Reader, size int64) (http.Header, error) {
	of := map[string]hash.Hash{}
	var to []io.Writer
	if name != "" {
		of[sumHeader(name)] = hashes[name]()
	}
	if p.sendsMD5(d) {
		of[md5Header] = md5.New()
	}
	for _, h := range of {
		to = append(to, h)
	}
	if err := upload.HashAhead(io.MultiWriter(to...), body, size); err != nil {
		return nil, err
	}
	sums := http.Header{}
	for header, h := range of {
		sums.Set(header, base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return sums, nil
}
