package sandbox

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	openaiLimit = 8 << 30  // 8 GB, read as the larger
	openaiPart  = 64 << 20 // 64 MB, read as OpenAI's own SDK does

	minFileLife, maxFileLife = 3600, 2592000 // seconds
)

var openaiPurposes = []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}

// openai is OpenAI's Uploads API.
func (s *Server) openai() *front {
	return &front{
		base: Base("openai"), header: "Authorization", prefix: "Bearer ", query: []string{"api-version"},
		fail: func(status int, code, message string) reply { return openaiFail(status, code, "", message) },
		denied: func(given bool) reply {
			if !given {
				return openaiFail(401, "", "", "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.")
			}
			return openaiFail(401, "invalid_api_key", "", "Incorrect API key provided.")
		},
		routes: []route{
			{"POST", "/uploads", StepCreate, s.openaiCreate},
			{"POST", "/uploads/{}/parts", StepPut, s.openaiPart},
			{"POST", "/uploads/{}/complete", StepComplete, s.openaiComplete},
			{"POST", "/uploads/{}/cancel", StepAbort, s.openaiCancel},
		},
		every: func(h http.Header) { h.Set("X-Request-Id", newID("req_")) },
	}
}

// openaiFail answers with an error. An empty code or param is null.
func openaiFail(status int, code, param, message string) reply {
	kind := "invalid_request_error"
	switch {
	case status == 429:
		kind = "rate_limit_error"
	case status >= 500 || status == 200:
		kind = "server_error"
	}
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	rp := ok(status, map[string]any{"error": map[string]any{
		"message": message, "type": kind, "param": null(param), "code": null(code),
	}})
	rp.note = message
	return rp
}

func openaiField(bad *fieldError) reply { return openaiFail(400, "", bad.field, bad.Error()) }

func openaiTrouble(err error) reply {
	var refused *StoreError
	switch {
	case errors.Is(err, errUnknown), errors.As(err, &refused) && refused.Code == "NoSuchUpload":
		return openaiFail(404, "", "upload_id", "No such upload.")
	case errors.As(err, &refused):
		return openaiFail(400, "", "", refused.Message)
	}
	rp := openaiFail(500, "", "", "The server had an error while processing your request.")
	rp.note = err.Error()
	return rp
}

// openaiEnded answers what is asked of an upload that takes nothing any more.
func (s *Server) openaiEnded(u *upload) (reply, bool) {
	status := s.openaiStatus(u)
	if status == "pending" {
		return reply{}, false
	}
	return openaiFail(400, "", "upload_id", fmt.Sprintf("The upload is %s.", status)), true
}

func (s *Server) openaiStatus(u *upload) string {
	switch {
	case u.State == stateCompleted:
		return "completed"
	case u.State == stateAborted:
		return "cancelled"
	case s.Now().Unix() >= u.Ends:
		return "expired"
	}
	return "pending"
}

// openaiGiven is what else create was given.
type openaiGiven struct {
	Purpose string `json:"purpose"`
	Expires int64  `json:"expires,omitempty"` // of the file, seconds after its creation
}

// openaiUpload is the Upload object.
func (s *Server) openaiUpload(u *upload) (map[string]any, error) {
	var g openaiGiven
	if err := json.Unmarshal(u.Given, &g); err != nil {
		return nil, err
	}
	return map[string]any{
		"id": u.ID, "object": "upload", "bytes": u.Size, "created_at": u.Made / 1000,
		"filename": u.Name, "purpose": g.Purpose, "status": s.openaiStatus(u), "expires_at": u.Ends,
	}, nil
}

func (s *Server) openaiAnswer(u *upload) reply {
	v, err := s.openaiUpload(u)
	if err != nil {
		return openaiTrouble(err)
	}
	return ok(200, v)
}

func (s *Server) openaiCreate(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return openaiField(bad)
	}
	g := openaiGiven{Purpose: o.text("purpose")}
	if !slices.Contains(openaiPurposes, g.Purpose) {
		o.complain("purpose", "is none of "+strings.Join(openaiPurposes, ", "), false)
	}
	u := &upload{
		ID: newID("upload_"), Other: newID("file-"), State: statePending, Made: s.Now().UnixMilli(),
		Name: o.text("filename"), Type: o.text("mime_type"), Size: o.integer("bytes"),
	}
	u.Ends = u.Made/1000 + int64(cmp.Or(s.UploadLife, time.Hour)/time.Second)
	if o.has("expires_after") {
		after := o.object("expires_after")
		if anchor := after.text("anchor"); anchor != "created_at" {
			after.complain("anchor", "is not created_at", false)
		}
		if g.Expires = after.integer("seconds"); g.Expires < minFileLife || g.Expires > maxFileLife {
			after.complain("seconds", fmt.Sprintf("is not from %d to %d", minFileLife, maxFileLife), false)
		}
		after.end()
	}
	if bad := o.done(); bad != nil {
		return openaiField(bad)
	}
	if u.Size > openaiLimit {
		return openaiFail(400, "", "bytes", fmt.Sprintf("bytes is %d, above the limit of 8 GB.", u.Size))
	}
	c.rec.Upload = u.ID
	u.Given = toJSON(g)
	var err error
	if u.Ref, err = s.Store.Create(c.r.Context(), key("openai", u.ID, u.Name)); err == nil {
		if err = s.save(u); err == nil {
			err = os.Mkdir(filepath.Join(s.dirOf(u.ID), "parts"), 0o700)
		}
	}
	if err != nil {
		return openaiTrouble(err)
	}
	return s.openaiAnswer(u)
}

func (s *Server) openaiPart(c *call) reply {
	u, err := s.load(c.rec.Upload)
	if err != nil {
		return openaiTrouble(err)
	}
	if rp, ended := s.openaiEnded(u); ended {
		return rp
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return openaiFail(400, "", "", "The request is not multipart/form-data.")
	}
	tooLarge := openaiFail(400, "", "data", "The part is larger than 64 MB.")
	if c.r.ContentLength > openaiPart+64<<10 {
		return tooLarge
	}
	form := multipart.NewReader(c.r.Body, params["boundary"])
	field, err := form.NextRawPart()
	switch {
	case err != nil:
		return openaiFail(400, "", "data", "The form has no field data: "+err.Error())
	case field.FormName() != "data":
		return openaiFail(400, "", field.FormName(), fmt.Sprintf("The form has a field %q: data is its only one.", field.FormName()))
	case field.FileName() == "":
		return openaiFail(400, "", "data", "The field data is not a file: it has no filename.")
	}
	data := &capReader{Reader: c.data(field), left: openaiPart}
	blob, err := s.Store.(Joiner).Put(c.r.Context(), u.Ref, data)
	switch {
	case data.over:
		return tooLarge
	case err != nil && (c.body.err != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return openaiFail(400, "", "data", "The body broke off.")
	case err != nil:
		return openaiTrouble(err)
	}
	if more, err := form.NextRawPart(); err == nil {
		return openaiFail(400, "", more.FormName(), fmt.Sprintf("The form has a second field %q: data is its only one.", more.FormName()))
	} else if err != io.EOF {
		return openaiFail(400, "", "data", "The form does not end: "+err.Error())
	}
	id := newID("part_")
	err = writeJSON(filepath.Join(s.dirOf(u.ID), "parts", id), blob)
	if errors.Is(err, fs.ErrNotExist) {
		err = errUnknown // it ended meanwhile
	}
	if err != nil {
		return openaiTrouble(err)
	}
	rp := ok(200, map[string]any{"id": id, "object": "upload.part", "created_at": s.Now().Unix(), "upload_id": u.ID})
	rp.stored = true
	return rp
}

// capReader stops after so many bytes.
type capReader struct {
	io.Reader
	left int64
	over bool
}

var errTooLarge = errors.New("larger than allowed")

func (r *capReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.left -= int64(n); r.left < 0 {
		r.over = true
		return 0, errTooLarge
	}
	return n, err
}

func (s *Server) openaiComplete(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return openaiField(bad)
	}
	u, release, err := s.hold(c.rec.Upload)
	if err != nil {
		return openaiTrouble(err)
	}
	defer release()
	ids, digest := o.texts("part_ids"), ""
	if o.has("md5") {
		digest = o.text("md5")
	}
	if bad := o.done(); bad != nil {
		return openaiField(bad)
	}
	asked := fingerprint(ids, digest)
	if u.State == stateCompleted {
		return c.again(u, asked, openaiTrouble(errUnknown), func() reply { rp, _ := s.openaiEnded(u); return rp })
	}
	if rp, ended := s.openaiEnded(u); ended {
		return rp
	}
	var want []byte
	if digest != "" {
		if want = readMD5(digest); want == nil {
			return openaiFail(400, "", "md5", "md5 is no MD5, neither in hexadecimal nor in base64.")
		}
	}
	if len(ids) == 0 {
		return openaiFail(400, "", "part_ids", "part_ids is empty.")
	}
	blobs := make([]Blob, len(ids))
	seen := map[string]bool{}
	sum := int64(0)
	for i, id := range ids {
		if seen[id] {
			return openaiFail(400, "", "part_ids", fmt.Sprintf("The part %s is listed twice.", printable(id)))
		}
		seen[id] = true
		err := fs.ErrNotExist
		if goodID().MatchString(id) {
			err = readJSONFile(filepath.Join(s.dirOf(u.ID), "parts", id), &blobs[i])
		}
		if errors.Is(err, fs.ErrNotExist) {
			return openaiFail(400, "", "part_ids", fmt.Sprintf("The upload has no part %s.", printable(id)))
		}
		if err != nil {
			return openaiTrouble(err)
		}
		sum += blobs[i].Size
	}
	if sum != u.Size {
		return openaiFail(400, "", "part_ids", fmt.Sprintf("The parts have %d bytes, and the upload was created with %d.", sum, u.Size))
	}
	object, err := s.Store.(Joiner).Join(c.r.Context(), u.Ref, blobs, &md5Check{Hash: md5.New(), want: want})
	if errors.Is(err, errDigest) {
		return openaiFail(400, "", "md5", "The MD5 of the file is another.")
	}
	if err != nil {
		return openaiTrouble(err)
	}
	u.State = stateCompleted
	v, err := s.openaiUpload(u)
	if err != nil {
		return openaiTrouble(err)
	}
	file := map[string]any{
		"id": u.Other, "object": "file", "bytes": u.Size, "created_at": s.Now().Unix(),
		"filename": u.Name, "purpose": v["purpose"], "status": "processed",
	}
	var g openaiGiven
	if err := json.Unmarshal(u.Given, &g); err == nil && g.Expires > 0 {
		file["expires_at"] = s.Now().Unix() + g.Expires
	}
	v["file"] = file
	rp := s.completed(c, u, asked, &object, want != nil, openaiTrouble, 200, v)
	if rp.status == 200 {
		if err := os.RemoveAll(filepath.Join(s.dirOf(u.ID), "parts")); err != nil {
			rp.note = err.Error()
		}
	}
	return rp
}

// readMD5 reads an MD5 in hexadecimal or in base64: which of the two is not
// documented.
func readMD5(s string) []byte {
	if b, err := hex.DecodeString(s); err == nil && len(b) == md5.Size {
		return b
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) == md5.Size {
		return b
	}
	return nil
}

// md5Check compares the MD5 of an object. Nil wants nothing.
type md5Check struct {
	hash.Hash
	want []byte
}

func (k *md5Check) Write(p []byte) (int, error) {
	if k.want == nil {
		return len(p), nil
	}
	return k.Hash.Write(p)
}

func (k *md5Check) Check() error {
	if k.want != nil && !bytes.Equal(k.Sum(nil), k.want) {
		return errDigest
	}
	return nil
}

func (s *Server) openaiCancel(c *call) reply {
	if bad := c.noBody(); bad != nil {
		return openaiField(bad)
	}
	u, release, err := s.hold(c.rec.Upload)
	if err != nil {
		return openaiTrouble(err)
	}
	defer release()
	if u.State == stateAborted {
		return s.openaiAnswer(u)
	}
	if rp, ended := s.openaiEnded(u); ended {
		return rp
	}
	if err := s.abort(c, u); err != nil {
		return openaiTrouble(err)
	}
	return s.openaiAnswer(u)
}

// arrivals counts the parts that came for each upload: this API has no
// numbers.
type arrivals struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *arrivals) next(upload string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[upload]++
	return a.n[upload]
}
