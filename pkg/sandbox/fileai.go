package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"
)

// fileai is file.ai's API.
func (s *Server) fileai() *front {
	return &front{
		header: "X-Api-Key",
		fail:   fileaiFail,
		denied: func(bool) reply { return fileaiFail(401, "", "Invalid or missing API key") },
		routes: []route{
			{"POST", "/prod/v1/files/upload/multipart", StepCreate, s.fileaiInitiate},
			{"POST", "/prod/v1/files/upload/multipart/complete", StepComplete, s.fileaiComplete},
			{"GET", "/prod/v1/uploads/{}", StepStatus, s.fileaiStatus},
		},
	}
}

// fileaiFail answers with an error; code is its "error". A 429 has none.
func fileaiFail(status int, code, message string) reply {
	if code == "" {
		code = map[int]string{
			400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
			422: "Unprocessable Entity", 500: "Internal Server Error",
		}[status]
	}
	v := map[string]any{"message": message, "error": cmp.Or(code, "Error"), "statusCode": status}
	if status == 429 {
		delete(v, "error")
	}
	rp := ok(status, v)
	rp.note = message
	return rp
}

// fileaiGone is the odd one of the documented errors: its status is 422 and
// its body says 500.
func fileaiGone() reply {
	rp := fileaiFail(500, "", "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.")
	rp.status = 422
	return rp
}

func fileaiTrouble(err error) reply {
	var refused *StoreError
	switch {
	case errors.Is(err, errUnknown), errors.As(err, &refused) && refused.Code == "NoSuchUpload":
		return fileaiGone()
	case errors.As(err, &refused):
		return fileaiFail(422, "", "Invalid parts: "+refused.Message)
	}
	rp := fileaiFail(500, "", "Internal server error")
	rp.note = err.Error()
	return rp
}

// fileaiLife is the documented life of a URL.
const fileaiLife = 900 * time.Second

func (s *Server) fileaiInitiate(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return fileaiFail(400, "", bad.Error())
	}
	echo := map[string]json.RawMessage{}
	for name, v := range o.fields {
		echo[name] = v
	}
	u := &upload{
		ID: newID(""), Other: newID("batch-"), State: statePending, Made: s.Now().UnixMilli(), Base: 1,
		Name: o.text("fileName"), Type: o.text("fileType"),
	}
	megabytes := o.number("fileSize")
	want := cmp.Or(s.PartSize, 6<<20)
	if o.has("partSizeLimit") {
		if want = int64(math.Round(o.number("partSizeLimit") * float64(s.Megabyte))); want <= 0 {
			o.complain("partSizeLimit", "is not above 0", false)
		}
	}
	for _, name := range []string{"isSplit", "isSplitExcel", "schemaLocking", "isEphemeral"} {
		if o.has(name) {
			o.boolean(name)
		}
	}
	for _, name := range []string{"callbackURL", "ocrModel", "directoryId", "apiRequestId"} {
		if o.has(name) {
			o.text(name)
		}
	}
	if o.has("pageCount") {
		o.integer("pageCount")
	}
	size := math.Round(megabytes * float64(s.Megabyte))
	if size > 1<<50 {
		o.complain("fileSize", "is in megabytes, and this many are too many for a file", false)
	}
	if bad := o.done(); bad != nil {
		return fileaiFail(400, "", bad.Error())
	}
	u.Size = int64(size)
	u.PartSize = partSize(u.Size, want)
	c.rec.Upload = u.ID
	var err error
	if u.Ref, err = s.Store.Create(c.r.Context(), key("fileai", u.ID, u.Name)); err == nil {
		err = s.save(u)
	}
	if err == nil {
		err = s.point(u.Other, u.ID)
	}
	if err != nil {
		return fileaiTrouble(err)
	}
	type part struct {
		Number int    `json:"partNumber"`
		URL    string `json:"presignedUrl"`
		Start  int64  `json:"startByte"`
		End    int64  `json:"endByte"` // inclusive
		Size   int64  `json:"size"`
	}
	parts := []part{}
	for i := range u.parts() {
		link, _, err := s.Store.Presign(c.r.Context(), c.base, u.Ref, i+1, cmp.Or(s.URLLife, fileaiLife))
		if err != nil {
			return fileaiTrouble(err)
		}
		offset, size := u.span(i)
		parts = append(parts, part{i + 1, link, offset, offset + size - 1, size})
	}
	v := map[string]any{
		"id": u.ID, "key": u.Ref.Key, "s3Path": "s3://sandbox/" + u.Ref.Key, "partSize": u.PartSize,
		"totalParts": u.parts(), "totalSize": u.Size, "presignedUrls": parts, "uploadId": u.Other,
	}
	for name, given := range echo {
		v[name] = given
	}
	return ok(200, v)
}

// point remembers which upload a second id stands for.
func (s *Server) point(from, to string) error {
	dir := filepath.Join(s.Dir, "api", s.API+"-ids")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, from), to)
}

func (s *Server) fileaiComplete(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return fileaiFail(422, "", bad.Error())
	}
	id, objectKey := o.text("id"), o.text("key")
	list := o.etags("partNumber", "eTag")
	if bad := o.done(); bad != nil {
		return fileaiFail(422, "", "Invalid "+bad.Error())
	}
	c.rec.Upload = id
	u, release, err := s.hold(id)
	if err != nil {
		return fileaiTrouble(err)
	}
	defer release()
	if objectKey != u.Ref.Key {
		return fileaiFail(422, "", "Invalid key")
	}
	asked := fingerprint(list)
	if u.State == stateCompleted {
		return c.again(u, asked, fileaiGone(), fileaiGone)
	}
	if u.State != statePending {
		return fileaiGone()
	}
	parts, err := u.whole(list)
	if err != nil {
		return fileaiFail(422, "", "Invalid parts: "+err.Error())
	}
	object, err := s.Store.Complete(c.r.Context(), u.Ref, parts, nil)
	if err != nil {
		return fileaiTrouble(err)
	}
	location := object.Location
	if s.disk != nil {
		location = objectURL(c.base, object.Key)
	}
	return s.completed(c, u, asked, &object, false, fileaiTrouble, 201, map[string]any{
		"location": location, "key": u.Ref.Key, "etag": object.ETag, "success": true,
	})
}

// etags reads the list of parts that complete takes.
func (o *object) etags(number, etag string) []Part {
	var list []Part
	o.each("parts", func(item *object) {
		list = append(list, Part{Number: int(item.integer(number)), ETag: item.text(etag)})
	})
	return list
}

// whole compares a list of parts with the plan: all of them must be there, in
// ascending order.
func (u *upload) whole(list []Part) ([]Part, error) {
	if len(list) != u.parts() {
		return nil, fmt.Errorf("%d are listed, and the plan has %d", len(list), u.parts())
	}
	out := make([]Part, len(list))
	for i, p := range list {
		if p.Number != i+1 {
			return nil, fmt.Errorf("number %d is where %d should be", p.Number, i+1)
		}
		_, p.Size = u.span(i)
		out[i] = p
	}
	return out, nil
}

// fileaiStatus tells of a document batch. What the real API says of one that is
// not complete is not documented; what it says later is.
func (s *Server) fileaiStatus(c *call) reply {
	if bad := c.noBody(); bad != nil {
		return fileaiFail(400, "", bad.Error())
	}
	var id string
	err := errUnknown
	if goodID().MatchString(c.rec.Upload) {
		err = readJSONFile(filepath.Join(s.Dir, "api", s.API+"-ids", c.rec.Upload), &id)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errUnknown) {
		return fileaiFail(404, "", "There is no such upload")
	}
	if err != nil {
		return fileaiTrouble(err)
	}
	u, err := s.load(id)
	if err != nil {
		return fileaiTrouble(err)
	}
	c.rec.Upload = u.ID
	statuses, files := []any{}, []any{}
	if u.State == stateCompleted {
		statuses = append(statuses, map[string]any{
			"status": "completed", "step": "processing_started", "timestamp": s.Now().UTC().Format(time.RFC3339),
		})
		files = append(files, map[string]any{
			"fileId": u.ID, "fileName": u.Name, "fileSize": u.Size, "status": "processed",
		})
	}
	return ok(200, map[string]any{"statuses": statuses, "files": files})
}
