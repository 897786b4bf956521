package manifest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

const options = `
options:
  word: {type: string, help: x}
  count: {type: int, default: 3, help: x}
  ratio: {type: number, help: x}
  on: {type: bool, help: x}
  any: {type: json, help: x}
  pass: {type: string, secret: true, help: x}
`

// An upload is found again by its target: whatever way its options were
// written, those that come out of a target give that target again.
func TestRestore(t *testing.T) {
	text := whole[:strings.Index(whole, "\noptions:")] + options + whole[strings.Index(whole, "\ncreate:"):]
	text = strings.ReplaceAll(text, "$options.kind", "$options.word")
	m := mustParse(t, []byte(text))
	target := func(set map[string]string) upload.Target {
		t.Helper()
		p, err := m.Open(spec.Settings{Keys: []spec.Secret{key(secret)}, Options: set})
		if err != nil {
			t.Fatal(err)
		}
		return p.Target()
	}
	for _, set := range []map[string]string{
		{},
		{"word": "plain"},
		{"word": `"quoted" <&> \ ` + "\n\t é"},
		{"word": "true", "count": "12345678901234567", "on": "false"},
		{"ratio": "1.50", "any": `{"a": [1, 2.0, "x", null]}`},
		{"ratio": "1e30", "any": `"text"`, "count": "-1"},
		{"any": "123456789012345678901234567890", "ratio": "0.1"},
	} {
		want := target(set)
		restored, err := m.options.Restore(m.title, want.Options)
		if err != nil {
			t.Errorf("%v: %v", set, err)
			continue
		}
		if got := target(restored); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: restored as %v: %s, want %s", set, restored, got.Options, want.Options)
		}
	}
	// A secret is not remembered.
	restored, err := m.options.Restore(m.title, target(map[string]string{"pass": "hush-hush-hush", "word": "w"}).Options)
	if err != nil || !reflect.DeepEqual(restored, map[string]string{"word": "w"}) {
		t.Errorf("restored %v, %v", restored, err)
	}
	for _, bad := range []string{`{"word": 1}`, `[`} {
		if set, err := m.options.Restore(m.title, []byte(bad)); err == nil {
			t.Errorf("%s restored as %v", bad, set)
		}
	}
}

func TestRequests(t *testing.T) {
	var got []string
	m := mustParse(t, []byte(whole))
	for _, r := range m.shownRequests(&m.steps) {
		got = append(got, r.Step+" "+r.Method+" "+r.Path)
	}
	want := []string{
		"create POST /uploads", "presign POST /uploads/{id}/urls", "part PUT ", "checkpoint POST /uploads/{id}/checkpoint",
		"complete POST /uploads/{id}/complete?wait=true", "probe POST /uploads/{id}/state", "abort DELETE /uploads/{id}",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("requests %q", got)
	}
}

// TestRequestsOfAFile holds that a dry run tells the requests that a small file has,
// and where a url leads.
func TestRequestsOfAFile(t *testing.T) {
	p, _ := speak(t, bearer+`create: {send: POST /u, keep: '{id, at}'}
part: {send: PUT, url: $upload.at, receipt: .e}
complete:
- {send: POST, url: '"https://other.example/end"', auth: false, ok: .ok}
- {send: POST, url: '$base + "/end"', ok: .ok, result: .id}
small: {max_size: 5B, create: null, complete: null, part: {send: POST /f, result: .id}}
`, nil)
	for size, want := range map[int64]string{
		6: "create POST /u; part PUT a URL that the API gives; complete POST https://other.example; complete POST a URL of the API",
		5: "part POST /f",
	} {
		var got []string
		for _, r := range p.(spec.Requester).Requests(size, 1) {
			got = append(got, r.Step+" "+r.Method+" "+r.Path+r.To)
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%d bytes: %s", size, text)
		}
	}
}
