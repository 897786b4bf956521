package s3

import (
	"cmp"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// Scheme is what the address of a bucket begins with.
const Scheme = "s3://"

// place is where a file goes.
type place struct {
	bucket string
	key    string // empty, or ends in a slash: the file's name goes below it
}

// bucketText is what S3 takes as the name of a bucket.
var bucketText = text.Pattern(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// parse reads an address. Its error is a *spec.AddressError.
func parse(address string) (p place, err error) {
	bad := func(reason string) (place, error) {
		return place{}, &spec.AddressError{Address: address, Reason: reason}
	}
	rest, ok := strings.CutPrefix(address, Scheme)
	if !ok {
		return bad("name a bucket: s3://BUCKET or s3://BUCKET/KEY")
	}
	p.bucket, p.key, _ = strings.Cut(rest, "/")
	_, ip := netip.ParseAddr(p.bucket)
	switch {
	case p.bucket == "":
		return bad("it names no bucket: s3://BUCKET or s3://BUCKET/KEY")
	case !bucketText().MatchString(p.bucket) || strings.Contains(p.bucket, "..") || strings.Contains(p.bucket, ".-") || strings.Contains(p.bucket, "-."):
		return bad("that is not a bucket's name: 3 to 63 lower-case letters, digits, dots and hyphens, with a letter or a digit at both ends")
	case ip == nil:
		return bad("an IP address is not a bucket's name")
	}
	if reason := badKey(p.key); p.key != "" && reason != "" {
		return bad(reason)
	}
	return p, nil
}

// meant matches what other tools, shells and pages call a bucket, and people who
// mistype its address.
var meant = text.Pattern(`(?i)^(?:s3[an]?:[/\\]*|arn:aws[a-z-]*:s3:::)(.*)$`)

// Misspelled says what is wrong with an address that is not one, and was meant to be:
// S3://BUCKET, s3:/BUCKET. Nil: it was not. It is a *spec.AddressError.
func Misspelled(address string) error {
	m := meant().FindStringSubmatch(address)
	if m == nil || strings.HasPrefix(address, Scheme) {
		return nil
	}
	return &spec.AddressError{Address: address, Reason: "did you mean " + Scheme + cmp.Or(strings.ReplaceAll(m[1], `\`, "/"), "BUCKET/KEY") + "?"}
}

// maxKey is the most bytes of a key.
const maxKey = 1024

// badKey says why no object can have a key; empty: one can.
func badKey(key string) string {
	switch {
	case len(key) > maxKey:
		return "the key is longer than 1024 bytes"
	case !utf8.ValidString(key):
		return "the key is not UTF-8"
	}
	return ""
}

// keyOf is the key of a file.
func (p place) keyOf(name string) string {
	if p.key == "" || strings.HasSuffix(p.key, "/") {
		return p.key + name
	}
	return p.key
}

// unreserved is what a path of SigV4 has unescaped, beside the slash.
const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"

// escape is a path as S3 signs it.
func escape(path string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(unreserved, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// store is where the requests for a bucket go.
type store struct {
	base   *url.URL // with the path that comes before bucket and key
	region string
	// virtual puts the bucket into the host's name.
	virtual bool
}

// awsStore is the one of AWS for a region.
func awsStore(region, bucket string, dualStack, fips, pathStyle bool) store {
	host := "s3"
	if fips {
		host += "-fips"
	}
	if dualStack {
		host += ".dualstack"
	}
	host += "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	s := store{base: &url.URL{Scheme: "https", Host: host}, region: region}
	// A certificate of *.s3 is not one for a name with dots.
	s.virtual = !pathStyle && !strings.Contains(bucket, ".")
	return s
}

// url is where an object is, or the bucket for an empty key.
func (s store) url(bucket, key string, query url.Values) *url.URL {
	u := *s.base
	path := strings.TrimSuffix(u.Path, "/") + "/"
	if s.virtual {
		u.Host = bucket + "." + u.Host
		path += key
	} else if path += bucket; key != "" {
		path += "/" + key
	}
	u.Path, u.RawPath = path, escape(path)
	u.RawQuery = query.Encode()
	return &u
}
