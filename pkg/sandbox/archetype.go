package sandbox

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"mime"
	"strings"
	"time"
)

// archetype is Archetype AI's API.
func (s *Server) archetype() *front {
	return &front{
		base: Base("archetype"), header: "Authorization", prefix: "Bearer ",
		fail: archetypeFail,
		denied: func(bool) reply {
			return archetypeFail(401, "unauthorized", "The API key is missing or not valid.")
		},
		routes: []route{
			{"POST", "/files/uploads/initiate", StepCreate, s.archetypeInitiate},
			{"POST", "/files/uploads/{}/parts/urls", StepPresign, s.archetypeURLs},
			{"POST", "/files/uploads/{}/parts/checkpoint", StepCheckpoint, s.archetypeCheckpoint},
			{"POST", "/files/uploads/{}/complete", StepComplete, s.archetypeComplete},
			{"POST", "/files/uploads/{}/abort", StepAbort, s.archetypeAbort},
		},
	}
}

type archetypeError struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Suggestion string `json:"suggestion"`
	ErrorUID   string `json:"error_uid"`
}

func archetypeFail(status int, code, message string) reply {
	if code == "" {
		code = map[int]string{
			400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict", 413: "file_too_large", 429: "rate_limited",
		}[status]
		code = cmp.Or(code, "internal_error")
	}
	rp := ok(status, map[string]any{"errors": []archetypeError{{code, message, "See https://docs.archetypeai.app.", newID("err_")}}})
	rp.note = message
	return rp
}

// archetypeTrouble answers what hold, load and the store return.
func archetypeTrouble(err error) reply {
	var refused *StoreError
	switch {
	case errors.Is(err, errUnknown):
		return archetypeFail(404, "upload_not_found", "There is no such upload.")
	case errors.As(err, &refused) && refused.Code == "NoSuchUpload":
		return archetypeFail(404, "upload_not_found", "The store has no such upload.")
	case errors.As(err, &refused):
		return archetypeFail(400, "invalid_part", refused.Message)
	}
	rp := archetypeFail(500, "", "We encountered an internal error.")
	rp.note = err.Error()
	return rp
}

// archetypeEnded answers what is asked of an upload that has ended.
func archetypeEnded(u *upload) (reply, bool) {
	switch u.State {
	case statePending:
		return reply{}, false
	case stateAborted:
		return archetypeTrouble(errUnknown), true
	case stateCorrupt:
		return archetypeFail(409, "file_corrupt", "The integrity checksum did not match: the file is marked corrupt."), true
	}
	return archetypeFail(409, "upload_completed", "The upload is already complete."), true
}

const archetypeLimit = 250 << 30 // 250 GB, read as the larger

func (s *Server) archetypeInitiate(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	name, kind, size := o.text("filename"), o.text("file_type"), o.integer("num_bytes")
	resume := o.has("resume_if_started") && o.boolean("resume_if_started")
	if bad := o.done(); bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	if t, params, err := mime.ParseMediaType(kind); err != nil || len(params) > 0 || !strings.Contains(t, "/") {
		return archetypeFail(400, "invalid_file_type", fmt.Sprintf("file_type %q is not a media type.", kind))
	}
	if size > archetypeLimit {
		return archetypeFail(413, "", fmt.Sprintf("num_bytes is %d, above the limit of 250 GB.", size))
	}
	if resume {
		rp, found, err := s.archetypeResume(c, name, kind, size)
		if err != nil {
			return archetypeTrouble(err)
		}
		if found {
			return rp
		}
	}
	u := &upload{
		ID: newID("upl_"), Other: newID("file_"), State: statePending, Made: s.Now().UnixMilli(),
		Name: name, Type: kind, Size: size, Digest: s.Integrity, Base: 1,
		PartSize: partSize(size, cmp.Or(s.PartSize, 8<<20)),
	}
	if s.ZeroBased {
		u.Base = 0
	}
	c.rec.Upload = u.ID
	var err error
	if u.Ref, err = s.Store.Create(c.r.Context(), key("archetype", u.ID, name)); err == nil {
		err = s.save(u)
	}
	if err != nil {
		return archetypeTrouble(err)
	}
	return s.archetypePlan(c, u, nil, false)
}

// archetypeResume takes the newest upload of this name that is under way.
func (s *Server) archetypeResume(c *call, name, kind string, size int64) (reply, bool, error) {
	list, err := s.all()
	if err != nil {
		return reply{}, false, err
	}
	var newest *upload
	for _, u := range list {
		if u.State == statePending && u.Name == name && (newest == nil || u.Made > newest.Made) {
			newest = u
		}
	}
	if newest == nil {
		return reply{}, false, nil
	}
	c.rec.Upload = newest.ID
	if newest.Type != kind || newest.Size != size {
		return archetypeFail(409, "upload_conflict", fmt.Sprintf("An upload of %q was started with the type %s and %d bytes.", name, newest.Type, newest.Size)), true, nil
	}
	held, err := s.checkpoints(newest.ID)
	if err != nil {
		return reply{}, false, err
	}
	return s.archetypePlan(c, newest, held, true), true, nil
}

// archetypePlan answers initiate with the parts that are not held.
func (s *Server) archetypePlan(c *call, u *upload, held map[int]string, resumed bool) reply {
	parts := []archetypePart{}
	for i := range u.parts() {
		if _, has := held[u.Base+i]; has {
			continue
		}
		p, err := s.archetypePart(c, u, i)
		if err != nil {
			return archetypeTrouble(err)
		}
		parts = append(parts, p)
	}
	return ok(200, map[string]any{
		"upload_id": u.ID, "file_uid": u.Other, "file_name": u.Name, "total_bytes": u.Size,
		"num_parts": u.parts(), "part_size": u.PartSize, "is_resume": resumed,
		"integrity_algorithm": u.Digest, "parts": parts,
	})
}

type archetypePart struct {
	Number  int    `json:"part_number"`
	URL     string `json:"url"`
	Offset  int64  `json:"offset"`
	Length  int64  `json:"length"`
	Expires string `json:"expires_at"`
}

// archetypePart signs the i-th part, counted from 0.
func (s *Server) archetypePart(c *call, u *upload, i int) (archetypePart, error) {
	link, expires, err := s.Store.Presign(c.r.Context(), c.base, u.Ref, i+1, cmp.Or(s.URLLife, time.Hour))
	offset, size := u.span(i)
	return archetypePart{u.Base + i, link, offset, size, expires.UTC().Format(time.RFC3339)}, err
}

func (s *Server) archetypeURLs(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	numbers := o.integers("part_numbers")
	if bad := o.done(); bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	u, err := s.load(c.rec.Upload)
	if err != nil {
		return archetypeTrouble(err)
	}
	if rp, ended := archetypeEnded(u); ended {
		return rp
	}
	parts := []archetypePart{}
	for _, n := range numbers {
		if n < u.Base || n >= u.Base+u.parts() {
			return archetypeFail(400, "invalid_part_number", fmt.Sprintf("The upload has no part %d.", n))
		}
		p, err := s.archetypePart(c, u, n-u.Base)
		if err != nil {
			return archetypeTrouble(err)
		}
		parts = append(parts, p)
	}
	return ok(200, map[string]any{"parts": parts})
}

func (s *Server) archetypeComplete(c *call) reply {
	o, bad := c.readJSON()
	if bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	u, release, err := s.hold(c.rec.Upload)
	if err != nil {
		return archetypeTrouble(err)
	}
	defer release()
	tokens := o.archetypeTokens(u)
	checksum, given := "", o.has("integrity_checksum")
	if given {
		checksum = o.text("integrity_checksum")
	}
	if bad := o.done(); bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	asked := fingerprint(tokens, checksum)
	if u.State == stateCompleted {
		return c.again(u, asked, archetypeTrouble(errUnknown), func() reply { rp, _ := archetypeEnded(u); return rp })
	}
	if rp, ended := archetypeEnded(u); ended {
		return rp
	}
	var sum []byte
	if given {
		if u.Digest == "none" {
			return archetypeFail(400, "", "integrity_checksum is given, and the integrity_algorithm is none.")
		}
		if sum, err = base64.StdEncoding.DecodeString(checksum); err != nil || len(sum) != crc32.Size {
			return archetypeFail(400, "", "integrity_checksum is not the base64 of 4 bytes.")
		}
	}
	held, err := s.checkpoints(u.ID)
	if err != nil {
		return archetypeTrouble(err)
	}
	for _, t := range tokens {
		if _, has := held[t.Number]; has {
			return archetypeFail(400, "", fmt.Sprintf("Part %d is checkpointed: complete takes only the others.", t.Number))
		}
		held[t.Number] = t.Token
	}
	var parts []Part
	for i := range u.parts() {
		token, has := held[u.Base+i]
		if !has {
			return archetypeFail(400, "missing_part", fmt.Sprintf("Part %d is missing.", u.Base+i))
		}
		_, size := u.span(i)
		parts = append(parts, Part{i + 1, token, size})
	}
	check := &crcCheck{want: sum}
	object, err := s.Store.Complete(c.r.Context(), u.Ref, parts, check)
	if errors.Is(err, errDigest) {
		u.State = stateCorrupt
		if err := s.save(u); err != nil {
			return archetypeTrouble(err)
		}
		return archetypeFail(400, "integrity_mismatch", "integrity_checksum does not match: the file is marked corrupt.")
	}
	if err != nil {
		return archetypeTrouble(err)
	}
	attributes := map[string]any{}
	if object.Path != "" {
		attributes["path"] = object.Path
	}
	return s.completed(c, u, asked, &object, given, archetypeTrouble, 200, map[string]any{
		"file_uid": u.Other, "file_name": u.Name, "num_bytes": u.Size,
		"file_status": "Registered", "file_attributes": attributes,
	})
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Server) archetypeAbort(c *call) reply {
	if bad := c.noBody(); bad != nil {
		return archetypeFail(400, "", bad.Error())
	}
	u, release, err := s.hold(c.rec.Upload)
	if err != nil {
		return archetypeTrouble(err)
	}
	defer release()
	if rp, ended := archetypeEnded(u); ended {
		return rp
	}
	if err := s.abort(c, u); err != nil {
		return archetypeTrouble(err)
	}
	return reply{status: 200}
}
