// Package storeerr reads what an object store says in its own words: the XML
// error of a reply, and the end of a presigned URL.
//
// It knows the dialects of S3 and of Azure. It sends nothing, and expands no
// XML entity.
package storeerr

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// Error is the error of a store.
type Error struct {
	Code      string `xml:"Code"`
	Message   string `xml:"Message"`
	RequestID string `xml:"RequestId"`
	Time      string `xml:"ServerTime"`                // the store's, where it refuses a request for its time
	Endpoint  string `xml:"Endpoint"`                  // where the bucket is, if it is elsewhere
	Region    string `xml:"Region"`                    // that of the bucket, if the request was for another
	Detail    string `xml:"AuthenticationErrorDetail"` // Azure's reason of a refusal
}

// maxXML is the most bytes of a store's error that are read.
const maxXML = 64 << 10

// Read reads the error of a store; nil if the body is none.
func Read(body []byte) *Error {
	body = bytes.TrimPrefix(body[:min(len(body), maxXML)], []byte("\ufeff"))
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return nil
	}
	var x struct {
		XMLName xml.Name `xml:"Error"`
		Error
	}
	if xml.Unmarshal(body, &x) != nil || x.Code == "" {
		return nil
	}
	return &x.Error
}

// Expired reports whether the store says that a presigned URL has expired. The
// receiver may be nil.
func (x *Error) Expired(status int) bool {
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

// temporary are the codes of errors that may pass although the status says
// otherwise: the bytes came too slowly or damaged, another request was in the
// way, or the store met the error when its reply had begun as a success.
var temporary = map[int][]string{
	http.StatusOK:         {"InternalError", "ServiceUnavailable", "SlowDown", "OperationAborted", "ConditionalRequestConflict"},
	http.StatusBadRequest: {"RequestTimeout", "BadDigest", "IncompleteBody"},
	http.StatusConflict:   {"OperationAborted", "ConditionalRequestConflict"},
}

// Temporary reports whether the same request may succeed later although its
// status does not say so. The receiver may be nil.
func (x *Error) Temporary(status int) bool {
	if status < 300 {
		status = http.StatusOK
	}
	return x != nil && slices.Contains(temporary[status], x.Code)
}

// Gone reports whether the store says that it no longer has the upload. The
// receiver may be nil.
func (x *Error) Gone(status int) bool {
	return x != nil && status == http.StatusNotFound && x.Code == "NoSuchUpload"
}

// signed are the query parameters by which presigned URLs say when they were
// signed and for how many seconds.
var signed = [][2]string{{"X-Amz-Date", "X-Amz-Expires"}, {"X-Goog-Date", "X-Goog-Expires"}}

// URLExpiry is when a presigned URL expires by its own query; zero if it does
// not say.
func URLExpiry(raw string) time.Time {
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
