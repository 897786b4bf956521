package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// create has the whole manifest, changed, create an upload of 10 bytes that the
// API answers with this body.
func create(t *testing.T, old, new, body string, header ...string) (upload.Upload, []upload.Presigned, error) {
	t.Helper()
	p, _ := serve(t, mustParse(t, edit(t, old, new)), kind, func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		fmt.Fprint(w, body)
	})
	return p.Create(t.Context(), file, upload.Hint{})
}

const same = "title: Acme" // a change that is none

func TestPlans(t *testing.T) {
	for _, c := range []struct{ name, upload, parts, plan, held, bad string }{
		{"numbers", "", `"part_size":4,"parts":[{"number":9},{"number":7},{"number":8}]`, "[{7 0 4} {8 4 4} {9 8 2}]", "[]", ""},
		{"one part", "", `"part_size":10,"parts":[{"number":1}]`, "[{1 0 10}]", "[]", ""},
		{"a larger part", "", `"part_size":1e3,"parts":[{"number":1}]`, "[{1 0 10}]", "[]", ""},
		{"too many", "", `"part_size":10,"parts":[{"number":1},{"number":2}]`, "", "", "a file of 10 bytes makes 1"},
		{"none", "", `"part_size":10,"parts":[]`, "[]", "[]", ""},
		{"no part size", "", `"parts":[{"number":1}]`, "", "", "create.part_size: yields null, not a whole number"},
		{"part size 0", "", `"part_size":0,"parts":[{"number":1}]`, "", "", "parts are to be of 0 bytes"},
		{"part size text", "", `"part_size":"10","parts":[{"number":1}]`, "", "", "not a whole number"},
		{"a fraction", "", `"part_size":10,"parts":[{"number":1.5}]`, "", "", "a part has the number 1.5"},
		{"no number", "", `"part_size":10,"parts":[{}]`, "", "", "a part has the number null"},
		{"a number as text", "", `"part_size":10,"parts":[{"number":"1"}]`, "", "", `a part has the number "1"`},
		{"negative", "", `"part_size":10,"parts":[{"number":-1}]`, "", "", "a part has the number -1"},
		{"huge", "", `"part_size":10,"parts":[{"number":9007199254740993}]`, "", "", "a part has the number 9007199254740993"},
		{"twice", "", `"part_size":5,"parts":[{"number":1},{"number":1}]`, "", "", "part 1 is listed twice"},
		{"no parts", "", `"part_size":5`, "", "", "create.parts: cannot iterate over: null"},
		{"ranges", "r", `"parts":[{"number":2,"offset":6,"size":4},{"number":1,"offset":0,"size":6}]`, "[{1 0 6} {2 6 4}]", "[]", ""},
		{"a gap, not resumed", "r", `"parts":[{"number":2,"offset":6,"size":4}]`, "[{2 6 4}]", "[]", ""},
		{"half a range", "r", `"parts":[{"number":2,"offset":6}]`, "", "", "part 2 has the offset 6 and the size null"},
		{"half the ranges", "r", `"parts":[{"number":2,"offset":6,"size":4},{"number":1}]`, "", "", "only 1 of 2 parts"},
		{"rounded", "r", `"parts":[{"number":2,"offset":6.5,"size":4}]`, "", "", "has the offset 6.5"},
		{"beyond", "r", `"parts":[{"number":2,"offset":6,"size":5}]`, "", "", "part 2 is 5 bytes at 6, and the file has 10"},
		{"far beyond", "r", `"parts":[{"number":2,"offset":9223372036854775807,"size":9223372036854775807}]`, "", "", "and the file has 10"},
		{"before", "r", `"parts":[{"number":2,"offset":-1,"size":5}]`, "", "", "and the file has 10"},
		{"resumed", "rc", `"parts":[{"number":2,"offset":2,"size":3},{"number":3,"offset":7,"size":1}]`, "[{2 2 3} {3 7 1}]", "[{0 2} {5 2} {8 2}]", ""},
		{"resumed whole", "rc", `"parts":[]`, "[]", "[{0 10}]", ""},
		{"resumed without gaps", "rc", `"parts":[{"number":2,"offset":0,"size":10}]`, "[{2 0 10}]", "[]", ""},
		{"resumed unverifiable", "r", `"resumed":true,"parts":[{"number":2,"offset":0,"size":10}]`, "", "", "taken over (u1) is not checked with crc32c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, new, extra := "  parts: '.parts[] | {number}'\n  urls: '.parts[] | {number, url}'\n", "  parts: '.parts[] | {number}'\n", ""
			if strings.Contains(c.upload, "r") {
				new = "  parts: '.parts[] | {number, offset, size}'\n"
			}
			if strings.Contains(c.upload, "c") {
				extra = `"resumed":true,"digest":"CRC32C",`
			}
			m := mustParse(t, []byte(strings.Replace(string(edit(t, old, new)), "keep: '{id}'", "keep: '{id}'\n  digest: .digest", 1)))
			p, _ := serve(t, m, kind, answerWith(200, `{"id":"u1","size":10,`+extra+c.parts+`}`))
			u, _, err := p.Create(t.Context(), file, upload.Hint{})
			if c.bad == "" {
				if err != nil || planText(u.Parts) != c.plan || fmt.Sprint(u.Existing) != c.held {
					t.Errorf("planned %v, held %v, %v", u.Parts, u.Existing, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Fatalf("failed with %v, want %q", err, c.bad)
			}
			// What was opened for nothing can be aborted; what was taken over may be another's.
			if taken := errors.Is(err, upload.ErrUnverified); u.ID != "u1" || len(u.Data) == 0 || u.TakenOver != taken || !taken && !errors.Is(err, upload.ErrReply) {
				t.Errorf("left the upload %q, taken over %t, with %v", u.ID, u.TakenOver, err)
			}
		})
	}
}

func TestUploadFields(t *testing.T) {
	const rest = `,"size":10,"part_size":10,"parts":[{"number":1,"url":"https://x.example/"}]}`
	for _, c := range []struct{ expr, body, want string }{
		{"{id}", `{"id":"u1"`, "u1 {\"id\":\"u1\"}"},
		{"{id}", `{"id":9007199254740993`, "9007199254740993 {\"id\":9007199254740993}"},
		{"{id, more: .more}", `{"id":"u1","more":{"a":[1.5,null]}`, `u1 {"id":"u1","more":{"a":[1.5,null]}}`},
		{"{id}", `{"x":1`, "the answer has no value for id"},
		{"{id}", `{"id":""`, "the answer has no value for id"},
		{"{id}", `{"id":true`, "id is true, neither text nor a whole number"},
		{"{id, key: .key}", `{"id":"u1"`, "the answer has no value for key"},
		{"{key: .size} + (.more // {})", `{"id":"u1"`, "no keep gave $upload an id"},
		{".id", `{"id":"u1"`, "yields a value of type string, not an object"},
		{"empty", `{"id":"u1"`, "yields nothing"},
		{"{id}, {id}", `{"id":"u1"`, "yields more than one value"},
	} {
		u, _, err := create(t, "keep: '{id}'", "keep: '"+c.expr+"'", c.body+rest)
		if err != nil {
			if !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of %s: %v", c.expr, c.body, err)
			}
			continue
		}
		var kept struct{ Upload json.RawMessage }
		if err := json.Unmarshal(u.Data, &kept); err != nil || u.ID+" "+string(kept.Upload) != c.want {
			t.Errorf("%s of %s: %s with %s, %v", c.expr, c.body, u.ID, u.Data, err)
		}
	}
}

// TestDigestOfTheWholeFile holds which digest complete takes, by create.digest.
func TestDigestOfTheWholeFile(t *testing.T) {
	for value, want := range map[string]string{
		`"CRC32C"`: "crc32c", `"crc64nvme"`: "crc64nvme", `"md5"`: "md5", `"sha1"`: "sha1", `"SHA256"`: "sha256",
		`"NONE"`: "", `""`: "", `null`: "", `"sha512"`: "?", `5`: "?", `{}`: "?",
	} {
		u, _, err := create(t, "keep: '{id}'", "keep: '{id}'\n  digest: .d",
			`{"id":"u1","d":`+value+`,"size":10,"part_size":10,"parts":[{"number":1,"url":"https://x.example/"}]}`)
		bad := want == "?"
		if bad != errors.Is(err, upload.ErrReply) || !bad && (err != nil || u.Digest != want) || u.ID != "u1" {
			t.Errorf("%s: the digest %q of %q, %v", value, u.Digest, u.ID, err)
		}
	}
}

func TestDataHoldsNoSecretOption(t *testing.T) {
	var bodies []string
	m := mustParse(t, []byte(strings.Replace(string(edit(t, "size: $file.size}", "size: $file.size, pass: $options.pass}")), "{receipts: [$parts[].receipt]}\n    +", "{pass: $options.pass, days: $options.days}\n    +", 1)))
	p, _ := serve(t, m, map[string]string{"kind": "a", "pass": "hunter22", "days": "9"}, func(w http.ResponseWriter, r *http.Request) {
		var b strings.Builder
		_, _ = fmt.Fprint(&b, r.Body)
		buf := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(buf)
		bodies = append(bodies, string(buf))
		fmt.Fprint(w, `{"id":"u1","size":10,"part_size":10,"parts":[{"number":1,"url":"https://x.example/"}],"state":"done","location":"hunter22/x"}`)
	})
	u, _, err := p.Create(t.Context(), file, upload.Hint{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Complete(t.Context(), u, nil, upload.Digests{})
	if err != nil {
		t.Fatal(err)
	}
	if len(bodies) != 2 || !strings.Contains(bodies[0], "hunter22") || !strings.Contains(bodies[1], `"days":9`) || !strings.Contains(bodies[1], `"pass":"hunter22"`) {
		t.Errorf("sent %q", bodies)
	}
	if strings.Contains(string(u.Data)+r.Value+string(r.Reply), "hunter22") {
		t.Errorf("kept %s, %s, %s", u.Data, r.Value, r.Reply)
	}
}

func TestPresign(t *testing.T) {
	const azure = "https://x.example/?sig=s&se=2026-11-01T11%3A00%3A00Z"
	const amazon = "https://x.example/?X-Amz-Date=20261101T100000Z&X-Amz-Expires=3600&X-Amz-Signature=s"
	for _, c := range []struct{ presigned, want string }{
		{`"url":"https://x.example/a"`, `{"part":1,"url":"https://x.example/a"}`},
		{`"url":"` + amazon + `"`, `{"part":1,"url":"` + amazon + `","expires":"2026-11-01T11:00:00Z"}`},
		{`"url":"` + azure + `"`, `{"part":1,"url":"` + azure + `","expires":"2026-11-01T11:00:00Z"}`},
		{`"url":"` + amazon + `","expires":1793523600`, `{"part":1,"url":"` + amazon + `","expires":"2026-11-01T09:00:00Z"}`},
		{`"url":"https://x.example/a","headers":{"x-a":"1","Host":"x.example","content-length":5,"x-n":7}`, `{"part":1,"url":"https://x.example/a","header":{"X-A":"1","X-N":"7"}}`},
		{`"url":"https://x.example/a","headers":[{"name":"x-a","value":"1"}]`, `{"part":1,"url":"https://x.example/a","header":{"X-A":"1"}}`},
		{`"url":"https://x.example/a","headers":{"x a":"1"}`, "headers: "},
		{`"url":"https://x.example/a","headers":{"xa":"1\r\nX-Evil: 2"}`, "headers: "},
		{`"url":"https://x.example/a","headers":{"xa":null}`, "headers: "},
		{`"url":"https://x.example/a","headers":[{"nam":"x-a"}]`, `unknown field "nam"`},
		{`"url":"https://x.example/a","headers":5`, "headers is 5"},
		{`"url":"https://x.example/a","expires":"soon"`, `expires "soon" is not a time`},
		{`"url":"https://x.example/a","expires_in":"soon"`, `expires_in is "soon"`},
		{`"url":"https://x.example/a","expires_in":-1`, `expires_in is -1`},
		{`"url":"http://x.example/a"`, "plain http is refused"},
		{`"url":"//x.example/a"`, "plain http is refused"},                                                              // relative to the test's own base
		{`"url":"https://x.example/a%2F|%zz?s=a%2Bb\tc%"`, `{"part":1,"url":"https://x.example/a%2F|%zz?s=a%2Bb\tc%"}`}, // transport encodes it
		{`"url":"https://x.example:port/a"`, "is not a URL"},
		{`"url":"file:///etc/passwd"`, "not an absolute URL"},
		{`"url":5`, "there is no URL"},
		{`"x":1`, "there is no URL"},
	} {
		_, gs, err := create(t, "urls: '.parts[] | {number, url}'\n  expires", "urls: '.parts[] | {number, url, expires, expires_in, headers}'\n  expires",
			`{"id":"u1","size":10,"part_size":10,"parts":[{"number":1,`+c.presigned+`}]}`)
		if err != nil {
			if !errors.Is(err, upload.ErrReply) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", c.presigned, err)
			}
			continue
		}
		if b, err := json.Marshal(gs[0]); err != nil || strings.ReplaceAll(string(b), `\u0026`, "&") != c.want {
			t.Errorf("%s: %s, %v", c.presigned, b, err)
		}
	}
	_, _, err := create(t, "urls: '.parts[] | {number, url}'\n  expires", "urls: '.parts'\n  expires", `{"id":"u1","size":10,"part_size":10,"parts":[{"number":1}]}`)
	if err == nil || !strings.Contains(err.Error(), "[] is missing at its end") {
		t.Errorf("a list that is not taken apart: %v", err)
	}
}

// TestSkew has an API whose clock is an hour behind this machine's.
func TestSkew(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	behind := now.Add(-time.Hour)
	body := fmt.Sprintf(`{"id":"u1","size":10,"part_size":10,"expires":%d,"parts":[{"number":1,"url":"https://x.example/?X-Amz-Date=%s&X-Amz-Expires=900"}]}`,
		behind.Add(30*time.Minute).Unix(), behind.Format("20060102T150405Z"))
	u, gs, err := create(t, same, same, body, "Date", behind.Format(http.TimeFormat))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want time.Time }{
		"the upload": {u.Expires, now.Add(30 * time.Minute)}, "the presigned": {gs[0].Expires, now.Add(15 * time.Minute)},
	} {
		if off := c.got.Sub(c.want); off.Abs() > 10*time.Second {
			t.Errorf("%s ends %s off", what, off)
		}
	}
}

// planText is a plan as tests write it: number, offset and size of each part.
func planText(parts []upload.Part) string {
	var all []string
	for _, p := range parts {
		all = append(all, fmt.Sprintf("{%d %d %d}", p.Number, p.Offset, p.Size))
	}
	return "[" + strings.Join(all, " ") + "]"
}
