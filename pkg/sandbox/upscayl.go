package sandbox

import (
	"cmp"
	"errors"
	"net/http"
	"path"
	"time"
)

// upscayl is Upscayl Cloud's API.
func (s *Server) upscayl() *front {
	return &front{
		header: "X-Api-Key",
		fail:   upscaylFail,
		denied: func(bool) reply { return upscaylFail(401, "", "Unauthorized: Missing or invalid API key") },
		routes: []route{
			{"POST", "/get-upload-url", StepCreate, s.upscaylURLs},
			{"POST", "/complete-multipart-upload", StepComplete, s.upscaylComplete},
		},
	}
}

// upscaylFail answers with an error: a bare string.
func upscaylFail(status int, _, message string) reply {
	rp := ok(status, message)
	rp.note = message
	return rp
}

func upscaylField(bad *fieldError) reply {
	if bad.missing {
		rp := upscaylFail(400, "", "Bad Request: Missing required parameters")
		rp.note = bad.Error()
		return rp
	}
	return upscaylFail(400, "", "Bad Request: "+bad.Error())
}

func upscaylTrouble(err error) reply {
	var refused *StoreError
	switch {
	case errors.Is(err, errUnknown), errors.As(err, &refused) && refused.Code == "NoSuchUpload":
		return upscaylFail(400, "", "Bad Request: The specified upload does not exist")
	case errors.As(err, &refused):
		return upscaylFail(400, "", "Bad Request: "+refused.Message)
	}
	rp := upscaylFail(500, "", "Internal Server Error")
	rp.note = err.Error()
	return rp
}

func (s *Server) upscaylURLs(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return upscaylField(bad)
	}
	data := o.object("data")
	u := &upload{
		ID: newID(""), State: statePending, Made: s.Now().UnixMilli(), Base: 1,
		Name: data.text("originalFileName"), Type: data.text("fileType"), Size: data.integer("fileSize"),
	}
	data.end()
	if bad := o.done(); bad != nil {
		return upscaylField(bad)
	}
	u.PartSize = partSize(u.Size, cmp.Or(s.PartSize, 8<<20))
	ext := path.Ext(safeName(u.Name))
	if len(ext) > 20 {
		ext = ""
	}
	u.Other = newID("") + ext
	c.rec.Upload = u.ID
	var err error
	if u.Ref, err = s.Store.Create(c.r.Context(), key("users", u.ID, u.Other)); err == nil {
		err = s.save(u)
	}
	if err != nil {
		return upscaylTrouble(err)
	}
	type part struct {
		Number int    `json:"partNumber"`
		URL    string `json:"signedUrl"`
	}
	parts := []part{}
	life := cmp.Or(s.URLLife, time.Hour)
	for i := range u.parts() {
		link, _, err := s.Store.Presign(c.r.Context(), c.base, u.Ref, i+1, life)
		if err != nil {
			return upscaylTrouble(err)
		}
		parts = append(parts, part{i + 1, link})
	}
	at := func(t time.Time) int64 {
		if s.Seconds {
			return t.Unix()
		}
		return t.UnixMilli()
	}
	made := time.UnixMilli(u.Made)
	return ok(200, map[string]any{"status": "success", "data": map[string]any{
		"uploadId": u.ID, "partUrls": parts, "partSize": u.PartSize,
		"fileName": u.Other, "fileType": u.Type, "fileSize": u.Size, "originalFileName": u.Name,
		"path": u.Ref.Key, "createdAt": at(made), "expiresAt": at(made.Add(life)),
	}})
}

func (s *Server) upscaylComplete(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return upscaylField(bad)
	}
	data := o.object("data")
	id, objectKey := data.text("uploadId"), data.text("key")
	list := data.etags("PartNumber", "ETag")
	data.end()
	if bad := o.done(); bad != nil {
		return upscaylField(bad)
	}
	c.rec.Upload = id
	u, release, err := s.hold(id)
	if err != nil {
		return upscaylTrouble(err)
	}
	defer release()
	if objectKey != u.Ref.Key {
		return upscaylFail(400, "", "Bad Request: Invalid key")
	}
	gone := upscaylTrouble(errUnknown)
	asked := fingerprint(list)
	if u.State == stateCompleted {
		return c.again(u, asked, gone, func() reply { return gone })
	}
	if u.State != statePending {
		return gone
	}
	parts, err := u.whole(list)
	if err != nil {
		return upscaylFail(400, "", "Bad Request: Invalid parts: "+err.Error())
	}
	object, err := s.Store.Complete(c.r.Context(), u.Ref, parts, nil)
	if err != nil {
		return upscaylTrouble(err)
	}
	return s.completed(c, u, asked, &object, false, upscaylTrouble, http.StatusOK, map[string]any{
		"status": "success", "data": map[string]any{"status": "success"},
	})
}
