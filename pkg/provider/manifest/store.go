package manifest

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// storeError is the error of an object store: S3's, and Azure's of the same
// shape.
type storeError struct {
	Code      string `xml:"Code"`
	Message   string `xml:"Message"`
	RequestID string `xml:"RequestId"`
	Detail    string `xml:"AuthenticationErrorDetail"`
	Endpoint  string `xml:"Endpoint"` // of a redirect: where to
}

// maxXML is the most bytes of a store's error that are read.
const maxXML = 64 << 10

// readXML reads the error of a store; nil if the body is none.
func readXML(body []byte) *storeError {
	body = bytes.TrimPrefix(body[:min(len(body), maxXML)], []byte("\ufeff"))
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return nil
	}
	var x struct {
		XMLName xml.Name `xml:"Error"`
		storeError
	}
	if xml.Unmarshal(body, &x) != nil || x.Code == "" {
		return nil
	}
	return &x.storeError
}

// expired reports whether the store says that a presigned URL is past its end.
func (x *storeError) expired(status int) bool {
	if x == nil || status != http.StatusForbidden && status != http.StatusBadRequest {
		return false
	}
	switch x.Code {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired":
		return true
	case "AccessDenied":
		return strings.Contains(x.Message, "Request has expired")
	case "AuthenticationFailed":
		return strings.Contains(x.Message+x.Detail, "Signature not valid in the specified time frame")
	}
	return false
}

// passes reports whether the same exchange may go well although its status
// says otherwise: the bytes came too slowly or damaged, another request was in
// the way, or the store put its trouble into an answer that had begun as a
// success.
func (x *storeError) passes(status int) bool {
	switch {
	case status == http.StatusBadRequest:
		return slices.Contains([]string{"RequestTimeout", "BadDigest", "IncompleteBody"}, x.Code)
	case status == http.StatusConflict:
		return slices.Contains(conflicts, x.Code)
	case status < 300:
		return slices.Contains([]string{"InternalError", "ServiceUnavailable", "SlowDown"}, x.Code) || slices.Contains(conflicts, x.Code)
	}
	return false
}

// conflicts are the codes of a store whose other requests are in the way of
// this one for a moment.
var conflicts = []string{"OperationAborted", "ConditionalRequestConflict"}

// signed are the names by which presigned URLs tell when they were signed and
// for how many seconds.
var signed = [][2]string{{"X-Amz-Date", "X-Amz-Expires"}, {"X-Goog-Date", "X-Goog-Expires"}}

// urlExpiry is the end of a presigned URL as the URL itself has it; zero if it
// has none.
func urlExpiry(raw string) time.Time {
	u, err := transport.CheckURL(raw)
	if err != nil {
		return time.Time{}
	}
	q := u.Query()
	for _, names := range signed {
		at, err := time.Parse("20060102T150405Z", q.Get(names[0]))
		if err != nil {
			continue
		}
		const most = 366 * 24 * 3600
		if s, err := strconv.Atoi(q.Get(names[1])); err == nil && s > 0 && s < most {
			return at.Add(time.Duration(s) * time.Second)
		}
	}
	if q.Has("sig") {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z", "2006-01-02"} {
			if t, err := time.Parse(layout, q.Get("se")); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}

// past reports whether a presigned URL is past its end: by the URL's own word, which is
// the store's, or by the provider's.
func past(g upload.Presigned, now time.Time) bool {
	end := urlExpiry(g.URL)
	if end.IsZero() {
		end = g.Expires
	}
	return !end.IsZero() && !now.Before(end)
}
