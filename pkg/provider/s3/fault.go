package s3

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// fault says what an answer means that is no success. x may be nil.
func (p *Provider) fault(a *transport.Reply, x *storeerr.Error, c call) error {
	if x == nil {
		x = &storeerr.Error{Message: storeerr.Words(string(a.Body))}
	}
	e := a.Error(x.Code, x.Message, x.RequestID)
	e.Retry = e.Retry || x.Temporary(a.Status)
	if region := regionOf(a, x); region != "" && region != p.in(c.region).region && slices.Contains(elsewhere, a.Status) {
		f := final(e, upload.ErrRefused, "the bucket %s is in the region %s, and the request was for %s", p.place.bucket, region, p.in(c.region).region)
		f.option, f.value = "region", region
		return f
	}
	if a.Status >= 300 && a.Status < 400 {
		to := a.Redirect(true)
		to.To = cmp.Or(to.To, transport.Clean(x.Endpoint))
		e.Err = to
		return final(e, upload.ErrReply, "")
	}
	if x.Code == "RequestTimeTooSkewed" || early(x) || c.fresh && x.Expired(a.Status) && x.Code == "AccessDenied" {
		return final(e, upload.ErrDenied, "this machine's clock differs from the store's%s, which rejects requests that are more than 15 minutes off: set the clock", p.skewText(a, x))
	}
	if m, ok := meanings[x.Code]; ok {
		return final(e, m.means, "%s", strings.ReplaceAll(m.text, "{message}", x.Message))
	}
	if err := p.codeOf(e, x.Code, c); err != nil {
		return err
	}
	return p.statusOf(e, x, c)
}

// final is a failure that no retry changes. An empty format leaves the store's message.
func final(e *transport.Error, means error, format string, args ...any) *failure {
	e.Retry = false
	if format != "" {
		e.Message = transport.Clean(fmt.Sprintf(format, args...))
	}
	return &failure{means: means, err: e}
}

const (
	keysExpired = "the credentials have expired"
	keyUnknown  = "the store does not know the access key"
)

// meanings are the codes that mean the same whatever was requested.
var meanings = map[string]struct {
	means error
	text  string
}{
	"ExpiredToken":          {upload.ErrDenied, keysExpired},
	"ExpiredTokenException": {upload.ErrDenied, keysExpired},
	"TokenRefreshRequired":  {upload.ErrDenied, keysExpired},
	"RequestExpired":        {upload.ErrDenied, keysExpired},
	"InvalidToken":          {upload.ErrDenied, "the store rejects the session token of the credentials"},
	"InvalidAccessKeyId":    {upload.ErrDenied, keyUnknown},
	"XAdminUserNotFound":    {upload.ErrDenied, keyUnknown}, // versitygw's, with 404
	"SignatureDoesNotMatch": {upload.ErrDenied, "the store computes another signature: the secret access key is wrong, or something between here and the store alters requests"},
	"EntityTooSmall":        {upload.ErrRefused, "a part is smaller than the store allows: only the last may have less than " + text.Bytes(minPart)},
	"EntityTooLarge":        {upload.ErrRefused, "the object or a part is larger than the store allows"},
	"QuotaExceeded":         {upload.ErrRefused, "the store's quota is used up: {message}"},
	"KMS.NotFoundException": {upload.ErrRefused, "there is no such KMS key (sse-kms-key-id, or the default of the bucket): {message}"},
}

// codeOf is what a code means for the request that it answers; nil: nothing, so
// its status counts.
func (p *Provider) codeOf(e *transport.Error, code string, c call) error {
	switch code {
	case "NoSuchUpload":
		if c.created {
			return final(e, upload.ErrGone, "")
		}
	case "NoSuchBucket":
		return final(e, upload.ErrRefused, "there is no bucket %s", p.place.bucket)
	case "SlowDown":
		e.Message, e.Retry = "the store limits the request rate", true
		return e
	case "PreconditionFailed":
		if p.set.ifNoneMatch {
			return final(e, upload.ErrRefused, "%s exists already, and must not be overwritten", p.address(c.key))
		}
	case "BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest":
		if c.slow { // complete: of the whole object
			return final(e, upload.ErrChecksum, "")
		}
		e.Retry = true
		return &failure{means: upload.ErrChecksum, err: e}
	}
	return nil
}

// statusOf is what an answer means by its status, if its code does not say it.
func (p *Provider) statusOf(e *transport.Error, x *storeerr.Error, c call) error {
	lock := strings.Contains(strings.ToLower(x.Message), "object lock")
	switch {
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || x.Code == "AccessDenied": // also in a 200
		if x.Code == "" && c.method != http.MethodHead {
			e.Err = errNotS3
		}
		switch {
		case lock:
			return final(e, upload.ErrDenied, "Object Lock of the bucket does not allow it: %s", x.Message)
		case strings.Contains(x.Message, "authorized to perform"): // and names the action
			return final(e, upload.ErrDenied, "")
		}
		owner := ""
		if id := p.set.every.Get(ownerHeader); id != "" {
			owner = ", or the bucket is not of the account " + id
		}
		return final(e, upload.ErrDenied, "the store does not allow %s on %s%s: %s", c.action, p.address(c.key), owner, cmp.Or(x.Message, "Access Denied"))
	case lock && e.Status == http.StatusBadRequest && strings.Contains(x.Message, "Content-MD5"):
		f := final(e, upload.ErrRefused, "the bucket has Object Lock, which requires a checksum for each part: %s", x.Message)
		f.option, f.value = "checksum", upload.DigestCRC64NVME
		return f
	case e.Retry || e.Status < 300 || e.Status >= 500 && e.Status != http.StatusNotImplemented && e.Status != http.StatusHTTPVersionNotSupported:
		return e // neither a yes nor a no
	case x.Code == "" && e.Status != http.StatusPreconditionFailed && c.method != http.MethodHead:
		e.Err = errNotS3
	}
	return final(e, upload.ErrRefused, "")
}

var errNotS3 = errors.New("is this the URL of an S3 store?")

// elsewhere are the statuses of an answer to a request for the wrong region.
var elsewhere = []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusForbidden}

// region is what AWS calls one, and where its errors name that of a bucket: in a host,
// and in words.
const region = `([a-z]{2}(?:-[a-z]+)+-[0-9]+)`

var (
	regionOfHost = text.Pattern(`\bs3(?:-fips)?(?:\.dualstack)?[.-]` + region + `\.amazonaws\.com`)
	regionInText = text.Pattern(`expecting ['"]` + region + `['"]|^The ` + region + ` location constraint`)
)

// regionOf is the region of the bucket, if an answer names it.
func regionOf(a *transport.Reply, x *storeerr.Error) string {
	if said := cmp.Or(a.Header.Get("X-Amz-Bucket-Region"), x.Region); said != "" {
		return said
	}
	if m := regionInText().FindStringSubmatch(x.Message); m != nil {
		return cmp.Or(m[1], m[2])
	}
	for _, host := range []string{x.Endpoint, a.Header.Get("Location")} {
		if m := regionOfHost().FindStringSubmatch(host); m != nil {
			return m[1]
		}
	}
	return ""
}

// early reports whether a store says that a request was signed in its future. It says
// so of a presigned URL, instead of RequestTimeTooSkewed.
func early(x *storeerr.Error) bool {
	return x.Code == "AccessDenied" && (strings.Contains(x.Message, "not valid yet") || strings.Contains(x.Message, "not yet valid"))
}

// skewText is by how much the clocks differ, if that is known.
func (p *Provider) skewText(a *transport.Reply, x *storeerr.Error) string {
	skew, ok := p.Skew()
	if t, err := time.Parse(time.RFC3339, x.Time); err == nil {
		skew, ok = a.At.Round(0).Sub(t), true
	}
	if !ok || skew.Abs() < time.Minute {
		return ""
	}
	way := "ahead"
	if skew < 0 {
		way = "behind"
	}
	return fmt.Sprintf(" (it is %s %s)", skew.Abs().Round(time.Second), way)
}
