package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// algorithm is how the store signs: not as S3 does, though under its names.
const algorithm = "MULTIPUT-SANDBOX-HMAC-SHA256"

const amzTime = "20060102T150405Z"

func (d *disk) Presign(_ context.Context, base string, r Ref, part int, life time.Duration) (string, time.Time, error) {
	u, err := url.Parse(base)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign for %s: %w", base, err)
	}
	at := d.now().UTC().Truncate(time.Second)
	life = max(life.Truncate(time.Second), time.Second)
	u.Path = strings.TrimSuffix(u.Path, "/") + storePrefix + r.Key
	// Sorted, as url.Values are encoded.
	u.RawQuery = fmt.Sprintf("X-Amz-Algorithm=%s&X-Amz-Date=%s&X-Amz-Expires=%d&X-Amz-SignedHeaders=host&partNumber=%d&uploadId=%s",
		algorithm, at.Format(amzTime), int64(life/time.Second), part, r.ID)
	u.RawQuery += "&X-Amz-Signature=" + d.sign(http.MethodPut, u.Path, u.Host, u.RawQuery)
	return u.String(), at.Add(life), nil
}

// sign covers the method, the path, the host and all of the query but the
// signature.
func (d *disk) sign(method, path, host, query string) string {
	mac := hmac.New(sha256.New, d.secret)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s", method, path, query, host)
	return hex.EncodeToString(mac.Sum(nil))
}

// permit checks the URL of a request to the store.
func (d *disk) permit(r *http.Request) (ref Ref, part int, refusal *StoreError) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Ref{}, 0, &StoreError{400, "InvalidURI", "Couldn't parse the specified URI."}
	}
	if r.Header.Get("Authorization") != "" && q.Has("X-Amz-Signature") {
		return Ref{}, 0, &StoreError{400, "InvalidArgument", "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified"}
	}
	if !q.Has("X-Amz-Signature") {
		return Ref{}, 0, &StoreError{403, "AccessDenied", "Access Denied"}
	}
	at, err1 := time.Parse(amzTime, q.Get("X-Amz-Date"))
	seconds, err2 := strconv.ParseInt(q.Get("X-Amz-Expires"), 10, 32)
	part, err3 := strconv.Atoi(q.Get("partNumber"))
	if err1 != nil || err2 != nil || err3 != nil || q.Get("X-Amz-Algorithm") != algorithm {
		return Ref{}, 0, &StoreError{400, "AuthorizationQueryParametersError", "Query-string authentication requires the X-Amz-Algorithm, X-Amz-Date, X-Amz-SignedHeaders, X-Amz-Expires and X-Amz-Signature parameters"}
	}
	given := q.Get("X-Amz-Signature")
	q.Del("X-Amz-Signature")
	if want := d.sign(r.Method, r.URL.Path, r.Host, q.Encode()); !hmac.Equal([]byte(want), []byte(given)) {
		return Ref{}, 0, &StoreError{403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	if d.now().After(at.Add(time.Duration(seconds) * time.Second)) {
		return Ref{}, 0, &StoreError{403, "AccessDenied", "Request has expired"}
	}
	if part < 1 || part > maxParts {
		return Ref{}, 0, &StoreError{400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"}
	}
	var unsigned []string
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") {
			unsigned = append(unsigned, name)
		}
	}
	if unsigned != nil {
		return Ref{}, 0, &StoreError{403, "AccessDenied", "There were headers present in the request which were not signed: " + strings.Join(unsigned, ", ")}
	}
	_, key, _ := strings.Cut(r.URL.Path, storePrefix)
	return Ref{Key: key, ID: q.Get("uploadId")}, part, nil
}
