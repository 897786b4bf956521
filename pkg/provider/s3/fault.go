package s3

import (
	"cmp"
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
		x = &storeerr.Error{}
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
	if region := cmp.Or(a.Header.Get("X-Amz-Bucket-Region"), x.Region); region != "" && region != p.store.region && slices.Contains(elsewhere, a.Status) {
		say("the bucket %s is in the region %s, and the request was for %s", p.place.bucket, region, p.store.region)
		e.Retry = false
		return &failure{upload.ErrRefused, e, "region", region}
	}
	if a.Status >= 300 && a.Status < 400 {
		to := a.Redirect(true)
		to.To = cmp.Or(to.To, transport.Clean(x.Endpoint))
		e.Err = to
		return final(upload.ErrReply)
	}
	switch x.Code {
	case "NoSuchUpload":
		if c.created {
			return final(upload.ErrGone)
		}
	case "NoSuchBucket":
		say("there is no bucket %s", p.place.bucket)
		return final(upload.ErrRefused)
	case "RequestTimeTooSkewed":
		say("this machine's clock differs from the store's%s, which takes no request that is more than 15 minutes off: set the clock", p.skewText())
		return final(upload.ErrDenied)
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		say("the credentials have expired")
		return final(upload.ErrDenied)
	case "InvalidAccessKeyId":
		say("the store does not know the access key")
		return final(upload.ErrDenied)
	case "SignatureDoesNotMatch":
		say("the store computes another signature: the secret access key is wrong, or something between here and the store alters requests")
		return final(upload.ErrDenied)
	case "EntityTooSmall":
		say("a part is smaller than the store takes: only the last may have less than %s", text.Bytes(minPart))
		return final(upload.ErrRefused)
	case "EntityTooLarge":
		say("the object or a part is larger than the store takes")
		return final(upload.ErrRefused)
	case "SlowDown":
		say("the store is asked too often, and wants fewer requests")
		e.Retry = true
		return e
	case "PreconditionFailed":
		if p.set.ifNoneMatch {
			say("%s is there already, and is not to be overwritten", p.address(c.key))
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
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		switch {
		case lock:
			say("the bucket's Object Lock does not allow it: %s", x.Message)
		case x.Message == "" || !strings.Contains(x.Message, "s3:"):
			say("the store does not allow %s on %s: %s", c.action, p.address(c.key), cmp.Or(x.Message, "Access Denied"))
		}
		return final(upload.ErrDenied)
	case lock && a.Status == http.StatusBadRequest:
		say("the bucket has Object Lock, and wants a checksum with each part: %s", x.Message)
		e.Retry = false
		return &failure{upload.ErrRefused, e, "checksum", upload.DigestCRC64NVME}
	case e.Retry || a.Status < 300 || a.Status >= 500 && a.Status != http.StatusNotImplemented && a.Status != http.StatusHTTPVersionNotSupported:
		return e // neither a yes nor a no
	case x.Code == "" && a.Status != http.StatusPreconditionFailed && c.method != http.MethodHead:
		e.Err = errNotS3
	}
	return final(upload.ErrRefused)
}

var errNotS3 = fmt.Errorf("is this the address of an S3 store?")

// elsewhere are the statuses of an answer to a request for the wrong region.
var elsewhere = []int{http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusBadRequest, http.StatusForbidden}

// skewText is by how much the clocks differ, if that is known.
func (p *Provider) skewText() string {
	skew, ok := p.Skew()
	if !ok {
		return ""
	}
	way := "ahead"
	if skew < 0 {
		way = "behind"
	}
	return fmt.Sprintf(" (it is %s %s)", skew.Abs().Round(time.Second), way)
}
