package s3

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// The ways to verify an upload that the option checksum takes.
const (
	sumAuto = "auto" // CRC-64/NVME where the store knows it, else ETags
	sumETag = "etag"
)

// options are those of every bucket.
var options = spec.Options{
	{Name: "region", Type: "string", Help: "region of the bucket (default: that of the AWS configuration, else us-east-1)"},
	{Name: "profile", Type: "string", Help: "profile of the AWS configuration that has the credentials"},
	{Name: "endpoint", Type: "string", Help: "URL of a store other than AWS"},
	{Name: "path-style", Type: "bool", Help: "put the bucket into the path, not into the host name (default: only for other stores than AWS)"},
	{Name: "storage-class", Type: "string", Help: "storage class, such as STANDARD_IA"},
	{Name: "sse", Type: "string", Help: "server-side encryption: AES256, aws:kms or aws:kms:dsse", Enum: []any{"AES256", "aws:kms", "aws:kms:dsse"}},
	{Name: "sse-kms-key-id", Type: "string", Help: "KMS key for the encryption; requires sse=aws:kms"},
	{Name: "acl", Type: "string", Help: "canned ACL, such as bucket-owner-full-control", Enum: []any{
		"private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control",
	}},
	{Name: "metadata", Type: "string", Help: "the object's metadata: k=v,k2=v2 or a JSON object"},
	{Name: "tags", Type: "string", Help: "the object's tags: k=v,k2=v2 or a JSON object"},
	{Name: "content-disposition", Type: "string", Help: "Content-Disposition of the object"},
	{Name: "cache-control", Type: "string", Help: "Cache-Control of the object"},
	{Name: "expected-bucket-owner", Type: "string", Help: "12-digit id of the account that has to own the bucket"},
	{Name: "requester-pays", Type: "bool", Help: "pay for the requests (a Requester Pays bucket)"},
	{Name: "if-none-match", Type: "string", Help: "*: do not overwrite an object", Enum: []any{"*"}},
	{Name: "checksum", Type: "string", Default: sumAuto, Help: "what the upload is verified by", Enum: []any{sumAuto, upload.DigestCRC64NVME, upload.DigestCRC32C, sumETag}},
	{Name: "single-put", Type: "bool", Default: true, Help: "send a file of one part with one PUT, not as a multipart upload"},
	{Name: optResume, Type: "string", Help: "auto: resume the store's unfinished upload of this key; or the id of one"},
}

const (
	optResume   = "resume"
	ownerHeader = "X-Amz-Expected-Bucket-Owner"
)

// settings are the options of one bucket, checked.
type settings struct {
	region, profile, endpoint string
	pathStyle                 *bool // nil: as the store needs it
	sum                       string
	single                    bool
	resume                    string
	object                    http.Header // of the object that is created
	every                     http.Header // of each request
	ifNoneMatch               bool
}

// read checks options. Its error is a *spec.OptionError.
func read(set map[string]string) (s settings, own map[string]any, err error) {
	all, own, err := options.Resolve(title, set)
	if err != nil {
		return s, nil, err
	}
	text := func(name string) string { v, _ := all[name].(string); return v }
	bad := func(name, format string, args ...any) error {
		return &spec.OptionError{Provider: title, Option: name, Reason: fmt.Sprintf(format, args...), Known: options}
	}
	s = settings{
		region: text("region"), profile: text("profile"), endpoint: text("endpoint"), sum: text("checksum"), resume: text(optResume),
		object: http.Header{}, every: http.Header{}, ifNoneMatch: text("if-none-match") == "*",
	}
	if b, ok := all["path-style"].(bool); ok {
		s.pathStyle = &b
	}
	s.single, _ = all["single-put"].(bool)
	for name, header := range map[string]string{
		"storage-class": "X-Amz-Storage-Class", "sse": "X-Amz-Server-Side-Encryption", "sse-kms-key-id": "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
		"acl": "X-Amz-Acl", "content-disposition": "Content-Disposition", "cache-control": "Cache-Control", "expected-bucket-owner": ownerHeader,
		"region": "", "profile": "", "endpoint": "", optResume: "",
	} {
		v, given := own[name].(string)
		switch {
		case !given:
		case v == "":
			return s, nil, bad(name, "is empty")
		case !sendable(v):
			return s, nil, bad(name, "has a character in it that a header cannot carry")
		case shapes[name] != nil && !shapes[name]().MatchString(v):
			return s, nil, bad(name, "%q is not one", v)
		case name == "expected-bucket-owner":
			s.every.Set(header, v)
		case header != "":
			s.object.Set(header, v)
		}
	}
	if text("sse-kms-key-id") != "" && !strings.HasPrefix(text("sse"), "aws:kms") {
		return s, nil, bad("sse-kms-key-id", "needs sse=aws:kms or sse=aws:kms:dsse")
	}
	if all["requester-pays"] == true {
		s.every.Set("X-Amz-Request-Payer", "requester")
	}
	meta, err := pairs(text("metadata"))
	if err == nil {
		err = putMetadata(s.object, meta)
	}
	if err != nil {
		return s, nil, bad("metadata", "%v", err)
	}
	tags, err := pairs(text("tags"))
	if err == nil {
		err = checkTags(tags)
	}
	if err != nil {
		return s, nil, bad("tags", "%v", err)
	}
	if len(tags) > 0 {
		q := url.Values{}
		for k, v := range tags {
			q.Set(k, v)
		}
		s.object.Set("X-Amz-Tagging", q.Encode())
	}
	delete(own, optResume) // not what an upload is found again by
	return s, own, nil
}
