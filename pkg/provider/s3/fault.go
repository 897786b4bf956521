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
	if x.Temporary(a.Status) {
		e.Retry = true
	}
	say := func(format string, args ...any) { e.Message = transport.Clean(fmt.Sprintf(format, args...)) }
	final := func(means error) error {
		e.Retry = false
		return &failure{means: means, err: e}
	}
	if region := regionOf(a, x); region != "" && region != p.in(c.region).region && slices.Contains(elsewhere, a.Status) {
		say("the bucket %s is in the region %s, and the request was for %s", p.place.bucket, region, p.in(c.region).region)
		e.Retry = false
		return &failure{upload.ErrRefused, e, "region", region}
	}
	if a.Status >= 300 && a.Status < 400 {
		to := a.Redirect(true)
		to.To = cmp.Or(to.To, transport.Clean(x.Endpoint))
		e.Err = to
		return final(upload.ErrReply)
	}
	if x.Code == "RequestTimeTooSkewed" || early(x) || c.fresh && x.Expired(a.Status) && x.Code == "AccessDenied" {
		say("this machine's clock differs from the store's%s, which rejects requests that are more than 15 minutes off: set the clock", p.skewText(a, x))
		return final(upload.ErrDenied)
	}
	switch x.Code {
	case "NoSuchUpload":
		if c.created {
			return final(upload.ErrGone)
		}
	case "NoSuchBucket":
		say("there is no bucket %s", p.place.bucket)
		return final(upload.ErrRefused)
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired":
		say("the credentials have expired")
		return final(upload.ErrDenied)
	case "InvalidToken":
		say("the store rejects the session token of the credentials")
		return final(upload.ErrDenied)
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the second is versitygw's, with 404
		say("the store does not know the access key")
		return final(upload.ErrDenied)
	case "SignatureDoesNotMatch":
		say("the store computes another signature: the secret access key is wrong, or something between here and the store alters requests")
		return final(upload.ErrDenied)
	case "EntityTooSmall":
		say("a part is smaller than the store allows: only the last may have less than %s", text.Bytes(minPart))
		return final(upload.ErrRefused)
	case "EntityTooLarge":
		say("the object or a part is larger than the store allows")
		return final(upload.ErrRefused)
	case "QuotaExceeded":
		say("the store's quota is used up: %s", x.Message)
		return final(upload.ErrRefused)
	case "KMS.NotFoundException":
		say("there is no such KMS key (sse-kms-key-id, or the default of the bucket): %s", x.Message)
		return final(upload.ErrRefused)
	case "SlowDown":
		say("the store limits the request rate")
		e.Retry = true
		return e
	case "PreconditionFailed":
		if p.set.ifNoneMatch {
			say("%s exists already, and must not be overwritten", p.address(c.key))
			return final(upload.ErrRefused)
		}
	case "BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest":
		if c.slow { // complete: of the whole object
			return final(upload.ErrChecksum)
		}
		e.Retry = true
		return &failure{means: upload.ErrChecksum, err: e}
	}
	lock := strings.Contains(strings.ToLower(x.Message), "object lock")
	switch {
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden || x.Code == "AccessDenied": // also in a 200
		switch {
		case lock:
			say("Object Lock of the bucket does not allow it: %s", x.Message)
		case !strings.Contains(x.Message, "authorized to perform"): // else it names the action
			owner := ""
			if id := p.set.every.Get(ownerHeader); id != "" {
				owner = ", or the bucket is not of the account " + id
			}
			say("the store does not allow %s on %s%s: %s", c.action, p.address(c.key), owner, cmp.Or(x.Message, "Access Denied"))
		}
		if x.Code == "" && c.method != http.MethodHead {
			e.Err = errNotS3
		}
		return final(upload.ErrDenied)
	case lock && a.Status == http.StatusBadRequest && strings.Contains(x.Message, "Content-MD5"):
		say("the bucket has Object Lock, which requires a checksum for each part: %s", x.Message)
		e.Retry = false
		return &failure{upload.ErrRefused, e, "checksum", upload.DigestCRC64NVME}
	case e.Retry || a.Status < 300 || a.Status >= 500 && a.Status != http.StatusNotImplemented && a.Status != http.StatusHTTPVersionNotSupported:
		return e // neither a yes nor a no
	case x.Code == "" && a.Status != http.StatusPreconditionFailed && c.method != http.MethodHead:
		e.Err = errNotS3
	}
	return final(upload.ErrRefused)
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
