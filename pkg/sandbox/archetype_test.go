package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/sandbox"
)

func crc32c(b []byte) string {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func initiate(name string, size int, more string) string {
	return fmt.Sprintf(`{"filename":%q,"file_type":"application/octet-stream","num_bytes":%d%s}`, name, size, more)
}

type token struct {
	Number int64  `json:"part_number"`
	Token  string `json:"part_token"`
}

// archetypePut sends the parts of a plan, the last one first.
func archetypePut(t *testing.T, plan answer, file []byte) []token {
	t.Helper()
	var tokens []token
	for i := len(plan.list("parts")) - 1; i >= 0; i-- {
		from, size := plan.number("parts", i, "offset"), plan.number("parts", i, "length")
		etag := put(t, plan.text("parts", i, "url"), file[from:from+size])
		tokens = append(tokens, token{plan.number("parts", i, "part_number"), etag})
	}
	slices.Reverse(tokens)
	return tokens
}

func completion(tokens []token, checksum string) string {
	m := map[string]any{"parts": append([]token{}, tokens...)}
	if checksum != "" {
		m["integrity_checksum"] = checksum
	}
	return toJSON(m)
}

// walkArchetype is a whole upload as the documentation has it.
func walkArchetype(r *rig, file []byte) answer {
	t := r.t
	t.Helper()
	plan := r.post(200, "/files/uploads/initiate", initiate("walk.bin", len(file), ""))
	wantKeys(t, plan.json, "upload_id", "file_uid", "file_name", "total_bytes", "num_parts", "part_size", "is_resume", "integrity_algorithm", "parts")
	at := int64(0)
	for i := range plan.list("parts") {
		wantKeys(t, plan.at("parts", i), "part_number", "url", "offset", "length", "expires_at")
		if plan.number("parts", i, "offset") != at {
			t.Errorf("part %d starts at %d, want %d", i, plan.number("parts", i, "offset"), at)
		}
		at += plan.number("parts", i, "length")
		if _, err := time.Parse(time.RFC3339, plan.text("parts", i, "expires_at")); err != nil {
			t.Error(err)
		}
	}
	if at != int64(len(file)) || plan.number("num_parts") != int64(len(plan.list("parts"))) || plan.at("is_resume") != false {
		t.Errorf("the plan is wrong: %s", plan.raw)
	}
	base := "/files/uploads/" + plan.text("upload_id")
	tokens := archetypePut(t, plan, file)
	half := len(tokens) / 2
	if a := r.post(200, base+"/parts/checkpoint", completion(tokens[:half], "")); a.number("num_checkpointed") != int64(half) {
		t.Errorf("checkpoint: %s", a.raw)
	}
	done := r.post(200, base+"/complete", completion(tokens[half:], crc32c(file)))
	wantKeys(t, done.json, "file_uid", "file_name", "num_bytes", "file_status", "file_attributes")
	if done.text("file_status") != "Registered" || done.text("file_uid") != plan.text("file_uid") || done.number("num_bytes") != int64(len(file)) {
		t.Errorf("complete: %s", done.raw)
	}
	return done
}

func TestArchetypeWalk(t *testing.T) {
	const part = 64 << 10
	for _, size := range sizes(part) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := run(t, &sandbox.Server{API: "archetype", PartSize: part})
			file := bytesOf(size)
			done := walkArchetype(r, file)
			r.wantObject(file)
			list, _ := r.s.Finished()
			if got := done.text("file_attributes", "path"); !filepath.IsAbs(got) || got != list[0].Path || filepath.Base(got) != "walk.bin" {
				t.Errorf("the path is %q", got)
			}
			if !list[0].Verified {
				t.Error("the checksum was given, and is not noted")
			}
		})
	}
}

func TestArchetypeStrict(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"})
	r.wantStrictHTTP("/files/uploads/initiate", initiate("a", 1, ""), "Authorization", "Bearer "+testKey, func(a answer) bool {
		return slices.Equal(keys(a.at("errors", 0)), []string{"code", "error_uid", "message", "suggestion"})
	})
	r.wantRefusals("/files/uploads/initiate", []strict{
		{"unknown field", initiate("a", 1, `,"part_size":5`), 400, "part_size is not a field"},
		{"case", `{"Filename":"a","file_type":"a/b","num_bytes":1}`, 400, "filename is missing"},
		{"no size", `{"filename":"a","file_type":"a/b"}`, 400, "num_bytes is missing"},
		{"size as text", `{"filename":"a","file_type":"a/b","num_bytes":"1"}`, 400, "num_bytes is not a whole number"},
		{"fraction", `{"filename":"a","file_type":"a/b","num_bytes":1.0}`, 400, "num_bytes is not a whole number"},
		{"below zero", `{"filename":"a","file_type":"a/b","num_bytes":-1}`, 400, "num_bytes is not a whole number"},
		{"null", `{"filename":null,"file_type":"a/b","num_bytes":1}`, 400, "filename is not a string"},
		{"empty name", `{"filename":"","file_type":"a/b","num_bytes":1}`, 400, "filename is empty"},
		{"type", `{"filename":"a","file_type":"text","num_bytes":1}`, 400, "invalid_file_type"},
		{"type with parameters", `{"filename":"a","file_type":"text/csv; charset=utf-8","num_bytes":1}`, 400, "invalid_file_type"},
		{"resume as text", initiate("a", 1, `,"resume_if_started":"yes"`), 400, "resume_if_started"},
		{"too large", `{"filename":"a","file_type":"a/b","num_bytes":268435456001}`, 413, "250 GB"},
	})
	r.post(200, "/files/uploads/initiate", `{"filename":"a","file_type":"a/b","num_bytes":268435456000}`)
}

func TestArchetypeParts(t *testing.T) {
	file := bytesOf(250)
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100})
	plan := r.post(200, "/files/uploads/initiate", initiate("a", 250, ""))
	base := "/files/uploads/" + plan.text("upload_id")

	a := r.post(200, base+"/parts/urls", `{"part_numbers":[3,1,3]}`)
	for i, n := range []int64{3, 1, 3} {
		if a.number("parts", i, "part_number") != n || len(a.list("parts")) != 3 {
			t.Errorf("urls: %s", a.raw)
		}
	}
	if a.number("parts", 0, "offset") != 200 || a.number("parts", 0, "length") != 50 {
		t.Errorf("urls: %s", a.raw)
	}
	r.wantRefusals(base+"/parts/urls", []strict{
		{"part 0", `{"part_numbers":[0]}`, 400, "no part 0"},
		{"part 4", `{"part_numbers":[4]}`, 400, "no part 4"},
		{"as text", `{"part_numbers":["1"]}`, 400, "part_numbers[0]"},
		{"one", `{"part_numbers":1}`, 400, "is not an array"},
		{"more", `{"part_numbers":[1],"x":1}`, 400, "x is not a field"},
	})
	tokens := archetypePut(t, plan, file)
	r.wantRefusals(base+"/parts/checkpoint", []strict{
		{"wrong token", `{"parts":[{"part_number":1,"part_token":"\"0000\""}]}`, 400, "part 1"},
		{"other part's", toJSON(map[string]any{"parts": []token{{2, tokens[0].Token}}}), 400, "part 2"},
		{"no such part", `{"parts":[{"part_number":9,"part_token":"x"}]}`, 400, "no such part"},
		{"twice", toJSON(map[string]any{"parts": []token{tokens[0], tokens[0]}}), 400, "came before"},
		{"S3's spelling", `{"parts":[{"PartNumber":1,"ETag":"x"}]}`, 400, "part_number is missing"},
	})
	r.post(200, base+"/parts/checkpoint", completion(tokens[:1], ""))
	r.post(200, base+"/parts/checkpoint", completion(tokens[:1], "")) // again is no error
	sum := crc32c(file)
	r.wantRefusals(base+"/complete", []strict{
		{"missing", completion(tokens[1:2], sum), 400, "Part 3 is missing"},
		{"none", completion(nil, sum), 400, "is missing"},
		{"checkpointed", completion(tokens, sum), 400, "Part 1 is checkpointed"},
		{"wrong token", completion([]token{tokens[1], {3, tokens[1].Token}}, sum), 400, "another ETag"},
		{"no base64", completion(tokens[1:], "!"), 400, "base64"},
		{"short", completion(tokens[1:], "AAAA"), 400, "4 bytes"},
	})
	unquoted := []token{{2, strings.Trim(tokens[1].Token, `"`)}, tokens[2]}
	done := r.post(200, base+"/complete", completion(unquoted, sum))
	r.wantObject(file)
	if again := r.post(200, base+"/complete", completion(unquoted, sum)); again.raw != done.raw {
		t.Errorf("the same complete again: %s, want %s", again.raw, done.raw)
	}
	r.post(409, base+"/complete", completion(tokens, sum))
	r.post(409, base+"/abort", "")
	r.post(409, base+"/parts/urls", `{"part_numbers":[1]}`)
	r.post(409, base+"/parts/checkpoint", completion(tokens[:1], ""))
	refused(t, 404, "NoSuchUpload", plan.text("parts", 0, "url"), file[:100])
}

func TestArchetypeAbort(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"})
	plan := r.post(200, "/files/uploads/initiate", initiate("a", 3, ""))
	base := "/files/uploads/" + plan.text("upload_id")
	if a := r.post(400, base+"/abort", "{}"); a.text("errors", 0, "message") == "" {
		t.Error(a.raw)
	}
	if a := r.post(200, base+"/abort", ""); a.raw != "" {
		t.Errorf("abort: %q, want an empty body", a.raw)
	}
	for _, step := range []string{"/abort", "/complete", "/parts/urls", "/parts/checkpoint"} {
		body := map[string]string{"/complete": `{"parts":[]}`, "/parts/checkpoint": `{"parts":[]}`, "/parts/urls": `{"part_numbers":[]}`}[step]
		if a := r.post(404, base+step, body); a.text("errors", 0, "code") != "upload_not_found" {
			t.Error(a.raw)
		}
		for _, id := range []string{"upl_unknown", "..", "%2e%2e", "a%2fb"} {
			if a := r.post(404, "/files/uploads/"+id+step, body); a.text("errors", 0, "code") == "" {
				t.Error(a.raw)
			}
		}
	}
	refused(t, 404, "NoSuchUpload", plan.text("parts", 0, "url"), []byte("abc"))
}

func TestArchetypeResume(t *testing.T) {
	file := bytesOf(250)
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100})
	const resume = `,"resume_if_started":true`
	first := r.post(200, "/files/uploads/initiate", initiate("a", 250, resume))
	if first.at("is_resume") != false {
		t.Errorf("there was nothing to resume: %s", first.raw)
	}
	base := "/files/uploads/" + first.text("upload_id")
	tokens := archetypePut(t, first, file)
	r.post(200, base+"/parts/checkpoint", completion(tokens[1:2], ""))
	if a := r.post(200, "/files/uploads/initiate", initiate("a", 250, "")); a.text("upload_id") == first.text("upload_id") {
		t.Error("resumed without being asked to")
	} else {
		r.post(200, "/files/uploads/"+a.text("upload_id")+"/abort", "")
	}
	r.post(409, "/files/uploads/initiate", initiate("a", 251, resume))
	r.post(409, "/files/uploads/initiate", strings.Replace(initiate("a", 250, resume), "octet-stream", "zip", 1))
	if a := r.post(200, "/files/uploads/initiate", initiate("b", 250, resume)); a.at("is_resume") != false {
		t.Error("resumed an upload of another name")
	}
	a := r.post(200, "/files/uploads/initiate", initiate("a", 250, resume))
	if a.at("is_resume") != true || a.text("upload_id") != first.text("upload_id") || a.number("num_parts") != 3 ||
		len(a.list("parts")) != 2 || a.number("parts", 0, "part_number") != 1 || a.number("parts", 1, "part_number") != 3 {
		t.Errorf("resume: %s", a.raw)
	}
	r.post(200, base+"/parts/checkpoint", completion(slices.Concat(tokens[:1], tokens[2:]), ""))
	if a := r.post(200, "/files/uploads/initiate", initiate("a", 250, resume)); len(a.list("parts")) != 0 || a.at("parts") == nil {
		t.Errorf("resume with nothing left: %s", a.raw)
	}
	r.post(200, base+"/complete", completion(nil, crc32c(file)))
	r.wantObject(file)
}

func TestArchetypeChecksum(t *testing.T) {
	file := bytesOf(10)
	t.Run("wrong", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "archetype"})
		plan := r.post(200, "/files/uploads/initiate", initiate("a", 10, ""))
		base := "/files/uploads/" + plan.text("upload_id")
		tokens := archetypePut(t, plan, file)
		if a := r.post(400, base+"/complete", completion(tokens, "AAAAAA==")); a.text("errors", 0, "code") != "integrity_mismatch" {
			t.Error(a.raw)
		}
		if a := r.post(409, base+"/complete", completion(tokens, crc32c(file))); a.text("errors", 0, "code") != "file_corrupt" {
			t.Error(a.raw)
		}
		if list, err := r.s.Finished(); err != nil || len(list) > 0 {
			t.Errorf("there is an object: %v, %v", list, err)
		}
		if m, _ := filepath.Glob(filepath.Join(r.s.Dir, "objects", "*", "*", "*")); m != nil {
			t.Errorf("there is an object: %v", m)
		}
	})
	t.Run("little-endian", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "archetype"})
		plan := r.post(200, "/files/uploads/initiate", initiate("a", 10, ""))
		sum, _ := base64.StdEncoding.DecodeString(crc32c(file))
		slices.Reverse(sum)
		r.post(400, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(archetypePut(t, plan, file), base64.StdEncoding.EncodeToString(sum)))
	})
	t.Run("absent", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "archetype"})
		plan := r.post(200, "/files/uploads/initiate", initiate("a", 10, ""))
		r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(archetypePut(t, plan, file), ""))
		if list, _ := r.s.Finished(); list[0].Verified {
			t.Error("nothing was verified")
		}
	})
	t.Run("none", func(t *testing.T) {
		r := run(t, &sandbox.Server{API: "archetype", Integrity: "none"})
		plan := r.post(200, "/files/uploads/initiate", initiate("a", 10, ""))
		if plan.text("integrity_algorithm") != "none" {
			t.Error(plan.raw)
		}
		tokens := archetypePut(t, plan, file)
		base := "/files/uploads/" + plan.text("upload_id")
		r.post(400, base+"/complete", completion(tokens, crc32c(file)))
		r.post(200, base+"/complete", completion(tokens, ""))
	})
}

func TestArchetypeZeroBased(t *testing.T) {
	file := bytesOf(250)
	r := run(t, &sandbox.Server{API: "archetype", PartSize: 100, ZeroBased: true})
	plan := r.post(200, "/files/uploads/initiate", initiate("a", 250, ""))
	if plan.number("parts", 0, "part_number") != 0 || plan.number("parts", 2, "part_number") != 2 {
		t.Error(plan.raw)
	}
	base := "/files/uploads/" + plan.text("upload_id")
	r.post(400, base+"/parts/urls", `{"part_numbers":[3]}`)
	if a := r.post(200, base+"/parts/urls", `{"part_numbers":[0]}`); a.number("parts", 0, "offset") != 0 {
		t.Error(a.raw)
	}
	tokens := archetypePut(t, plan, file)
	r.post(200, base+"/parts/checkpoint", completion(tokens[:1], ""))
	r.post(200, base+"/complete", completion(tokens[1:], crc32c(file)))
	r.wantObject(file)
}

func TestManyParts(t *testing.T) {
	for _, c := range []struct{ size, part, count int64 }{
		{10_000 * 8 << 20, 8 << 20, 10_000},
		{10_000*8<<20 + 1, 9 << 20, 8889},
	} {
		r := run(t, &sandbox.Server{API: "archetype"})
		a := r.post(200, "/files/uploads/initiate", initiate("a", int(c.size), ""))
		if a.number("part_size") != c.part || a.number("num_parts") != c.count || len(a.list("parts")) != int(c.count) {
			t.Errorf("%d bytes: %d parts of %d, want %d of %d", c.size, a.number("num_parts"), a.number("part_size"), c.count, c.part)
		}
	}
}

// A part that is sent again after its checkpoint is another one than the
// provider remembers.
func TestArchetypeReplacedAfterCheckpoint(t *testing.T) {
	r := run(t, &sandbox.Server{API: "archetype"})
	plan := r.post(200, "/files/uploads/initiate", initiate("a", 3, ""))
	base := "/files/uploads/" + plan.text("upload_id")
	r.post(200, base+"/parts/checkpoint", completion(archetypePut(t, plan, []byte("abc")), ""))
	put(t, plan.text("parts", 0, "url"), []byte("xyz"))
	if a := r.post(400, base+"/complete", completion(nil, "")); a.text("errors", 0, "code") != "invalid_part" {
		t.Error(a.raw)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"plain.bin":                       "plain.bin",
		"../../etc/passwd":                ".._.._etc_passwd",
		"..":                              "_",
		".":                               "_",
		`C:\Users\x`:                      "C__Users_x",
		"COM1.txt":                        "_COM1.txt",
		"con":                             "_con",
		"tab\tnew\nline":                  "tab_new_line",
		"trailing. . ":                    "trailing",
		"ünï 世界.csv":                      "ünï 世界.csv",
		"bad\xff":                         "bad�", // as JSON has it
		strings.Repeat("ä", 150) + ".jpg": strings.Repeat("ä", 98) + ".jpg",
	} {
		r := run(t, &sandbox.Server{API: "archetype"})
		plan := r.post(200, "/files/uploads/initiate", toJSON(map[string]any{"filename": name, "file_type": "a/b", "num_bytes": 1}))
		done := r.post(200, "/files/uploads/"+plan.text("upload_id")+"/complete", completion(archetypePut(t, plan, []byte("a")), ""))
		if got := filepath.Base(done.text("file_attributes", "path")); got != want {
			t.Errorf("%q is stored as %q, want %q", name, got, want)
		}
		if !strings.HasPrefix(done.text("file_attributes", "path"), filepath.Join(r.s.Dir, "objects")) {
			t.Errorf("%q left the directory: %s", name, done.raw)
		}
		if got := done.text("file_name"); got != strings.ToValidUTF8(name, "�") {
			t.Errorf("file_name is %q", got)
		}
	}
}

func TestLogIsRedacted(t *testing.T) {
	var out bytes.Buffer
	r := run(t, &sandbox.Server{API: "archetype", Log: &out})
	walkArchetype(r, []byte("abc"))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "/walk.bin: 200, part 1, 3 bytes stored") {
		t.Errorf("the log is\n%s", &out)
	}
	if got := r.s.Requests()[1].Query; !strings.Contains(got, "partNumber=1") || !strings.Contains(got, "X-Amz-Signature=…") {
		t.Errorf("the query is recorded as %s", got)
	}
	if strings.Contains(out.String(), testKey) || strings.Contains(out.String(), "Signature=") {
		t.Errorf("the log has secrets:\n%s", &out)
	}
}
