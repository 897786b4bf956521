package sandbox

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"time"
)

// serveStore answers a request to the sandbox's own store: a PUT of a part, or
// a refusal.
func (s *Server) serveStore(w http.ResponseWriter, r *http.Request) {
	if cors(w, r) {
		return
	}
	c := s.storeCall(r)
	s.answer(w, c, c.refuse, c.putPart)
}

func (s *Server) storeCall(r *http.Request) *call {
	c := s.newCall("store", r)
	if r.Method == http.MethodPut {
		c.rec.Step = StepPut
		c.rec.Upload = path.Base(path.Dir(r.URL.Path))
		c.rec.Part, _ = strconv.Atoi(r.URL.Query().Get("partNumber"))
	}
	return c
}

func (c *call) refuse(status int, code, message string) reply {
	return c.xml(&StoreError{status, code, message})
}

// cors lets a browser send parts and read their receipts: as a bucket does that
// its owner has opened to the web, which each who uploads from a browser has to
// do. It answers a preflight whole.
func cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	h := w.Header()
	if r.Header.Get("Origin") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "ETag, X-Amz-Request-Id")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", http.MethodPut)
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// putPart stores a part: all the bytes that were announced, or nothing.
func (c *call) putPart() reply {
	d, r := c.s.disk, c.r
	ref, part, refusal := d.permit(r)
	if refusal != nil {
		return c.xml(refusal)
	}
	if r.ContentLength < 0 || len(r.TransferEncoding) > 0 {
		return c.xml(&StoreError{411, "MissingContentLength", "You must provide the Content-Length HTTP header."})
	}
	if r.ContentLength > 5<<30 {
		return c.xml(&StoreError{400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"})
	}
	var want []byte
	if h := r.Header.Get("Content-MD5"); h != "" {
		b, err := base64.StdEncoding.DecodeString(h)
		if err != nil || len(b) != md5.Size {
			return c.xml(&StoreError{400, "InvalidDigest", "The Content-MD5 you specified is not valid."})
		}
		want = b
	}
	if _, _, err := d.open(ref); err != nil {
		return c.storeError(err)
	}
	body := c.data(r.Body)
	if d.discard {
		n, err := copyAll(io.Discard, body)
		if err != nil || n != r.ContentLength {
			return c.cut(n)
		}
		d.discarded.Store(discardKey(ref, part), n)
		return reply{status: 200, stored: true, header: http.Header{"Etag": {discardETag(part)}}}
	}
	got, err := d.receive(ref, body, c.fault != nil && c.fault.kind == kindOpaqueETag)
	defer got.drop()
	if err != nil && c.body.err == nil {
		return c.storeError(err) // it is the disk's, not the client's
	}
	if err != nil || got.size != r.ContentLength {
		if f := c.s.Faults.takePassive(kindTruncate, StepPut, part); f != nil {
			c.fault = f
			return c.stored(d.commit(ref, got, partName(part)), got)
		}
		return c.cut(got.size)
	}
	if want != nil && string(want) != string(got.md5) {
		return c.xml(&StoreError{400, "BadDigest", "The Content-MD5 you specified did not match what we received."})
	}
	return c.stored(d.commit(ref, got, partName(part)), got)
}

func (c *call) stored(err error, got *received) reply {
	if err != nil {
		return c.storeError(err)
	}
	return reply{status: 200, stored: true, header: http.Header{"Etag": {got.etag}}}
}

// cut answers a body that broke off; the client is hardly there to read it.
func (c *call) cut(n int64) reply {
	rp := c.xml(&StoreError{400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"})
	rp.note = fmt.Sprintf("the body broke off after %d of %d bytes: nothing is stored", n, c.r.ContentLength)
	return rp
}

func (c *call) storeError(err error) reply {
	var refused *StoreError
	if errors.As(err, &refused) {
		return c.xml(refused)
	}
	rp := c.xml(&StoreError{500, "InternalError", "We encountered an internal error. Please try again."})
	rp.note = err.Error()
	return rp
}

// xmlError is S3's.
type xmlError struct {
	XMLName    xml.Name `xml:"Error"`
	Code       string
	Message    string
	Detail     string `xml:"AuthenticationErrorDetail,omitempty"`
	Resource   string `xml:",omitempty"`
	Expires    string `xml:",omitempty"`
	ServerTime string `xml:",omitempty"`
	RequestID  string `xml:"RequestId"`
	HostID     string `xml:"HostId,omitempty"`
}

func (c *call) xml(e *StoreError) reply {
	code := e.Code
	if code == "" {
		code = map[int]string{
			400: "InvalidRequest", 403: "AccessDenied", 404: "NoSuchUpload", 408: "RequestTimeout", 429: "TooManyRequests",
			500: "InternalError", 503: "SlowDown", 504: "GatewayTimeout",
		}[e.Status]
	}
	if code == "" {
		code = "Error"
	}
	x := xmlError{Code: code, Message: e.Message, Resource: c.r.URL.Path, RequestID: newID("")}
	if e.Message == "Request has expired" {
		q := c.r.URL.Query()
		at, _ := time.Parse(amzTime, q.Get("X-Amz-Date"))
		life, _ := time.ParseDuration(q.Get("X-Amz-Expires") + "s")
		x.Expires = at.Add(life).Format(time.RFC3339)
		x.ServerTime = c.s.Now().UTC().Format(time.RFC3339)
	}
	return c.xmlReply(e.Status, x)
}

func (c *call) xmlReply(status int, x xmlError) reply {
	b, err := xml.Marshal(x)
	if err != nil {
		panic(err) // the type is our own
	}
	return reply{
		status: status,
		header: http.Header{"Content-Type": {"application/xml"}, "X-Amz-Request-Id": {x.RequestID}},
		body:   append([]byte(xml.Header), b...),
		note:   x.Code + ": " + x.Message,
	}
}

// expired answers as a store does whose URL's time is over.
func (c *call) expired(how string) reply {
	switch how {
	case "token":
		return c.xml(&StoreError{400, "ExpiredToken", "The provided token has expired."})
	case "azure":
		return c.xmlReply(403, xmlError{
			Code:    "AuthenticationFailed",
			Message: "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
			Detail:  "Signature not valid in the specified time frame: Start [Mon, 02 Nov 2026 10:00:00 GMT] - Expiry [Mon, 02 Nov 2026 11:00:00 GMT] - Current [Mon, 02 Nov 2026 11:00:01 GMT]",
		})
	}
	return c.xml(&StoreError{403, "AccessDenied", "Request has expired"})
}
