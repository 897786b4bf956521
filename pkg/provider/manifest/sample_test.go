package manifest

import (
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/check"
)

// played is a manifest with a sample of each step.
const played = `version: 1
name: acme
base: https://acme.example/v1
auth: {header: X-Key, value: "Token {secret}", env: ACME_KEY}
options: {kind: {type: string, default: a, help: its kind}}
create:
  send: POST /uploads
  body: '{name: $file.name, size: $file.size, kind: $options.kind}'
  keep: '{id: .id}'
  part_size: .each
  parts: '.parts[] | {number: .n}'
  urls: '.parts[] | {number: .n, url: .put, headers: {"x-amz-acl": "private", "X-B": "b"}}'
presign:
  send: POST /uploads/{id}/urls
  body: '{numbers: [$parts[].number]}'
  urls: '.parts[] | {number: .n, url: .put}'
part: {send: PUT, receipt: $header.etag}
checkpoint:
  send: POST /uploads/{id}/receipts
  body: '{receipts: [$parts[] | {n: .number, etag: .receipt}]}'
complete:
  send: POST /uploads/{id}/end
  body: '{etags: [$parts[].receipt]}'
  ok: .state == "done"
  result: .file
probe: {send: 'GET /uploads/{id}', done: '.state == "done"', result: .file}
abort: {send: 'DELETE /uploads/{id}'}
error: {gone: '.code == "gone"'}
samples:
- step: create
  about: as its documentation has it
  given: {file: {name: a.bin, size: 9}, options: {kind: b}, part_size: 5}
  request: {send: POST /uploads, headers: {X-Key: "Token {secret}"}, body: {name: a.bin, size: 9, kind: b}}
  reply: {status: 201, body: {id: u1, each: 5, parts: [{n: 1, put: "https://s.example/1?X-Amz-Signature=a"}, {n: 2, put: "https://s.example/2"}]}}
  want:
    id: u1
    keep: {id: u1}
    parts: [{number: 1, offset: 0, size: 5}, {number: 2, offset: 5, size: 4}]
    urls: [{number: 1, url: "https://s.example/1?X-Amz-Signature=a", headers: {X-aMZ-Acl: private}}, {number: 2}]
    expires: null
- step: presign
  given: {parts: [2]}
  request: {send: POST /uploads/u1/urls, body: {numbers: [2]}}
  reply: {status: 200, body: {parts: [{n: 2, put: "https://s.example/3"}]}}
  want: {urls: [{number: 2, url: "https://s.example/3"}]}
- step: part
  given: {part: 2, bytes: last}
  request: {send: "PUT https://s.example/2"}
  reply: {status: 200, headers: {ETag: '"e2"'}}
  want: {receipt: '"e2"'}
- step: checkpoint
  given: {receipts: ['"e1"']}
  request: {send: POST /uploads/u1/receipts, body: {receipts: [{n: 1, etag: '"e1"'}]}}
  reply: {status: 204}
- step: complete
  given: {receipts: ['"e1"', '"e2"']}
  request: {send: POST /uploads/u1/end, body: {etags: ['"e1"', '"e2"']}}
  reply: {status: 200, body: {state: done, file: f1}}
  want: {result: f1}
- step: complete
  reply: {status: 404, body: {code: gone, message: no such upload}}
  want: {error: gone, message: no such upload}
- step: probe
  request: {send: GET /uploads/u1}
  reply: {status: 200, body: {state: done, file: f1}}
  want: {answer: completed, result: f1}
- step: abort
  request: {send: DELETE /uploads/u1}
  reply: {status: 204}
`

func TestReplay(t *testing.T) {
	m := mustParse(t, []byte(played))
	if n, err := check.Samples(t.Context(), m.Definition()); err != nil || n != 8 {
		t.Errorf("played %d, %v", n, err)
	}
	if n, err := check.Samples(t.Context(), mustParse(t, []byte(whole)).Definition()); n != 0 || err != nil {
		t.Errorf("played %d, %v", n, err)
	}
}

func TestReplayNoList(t *testing.T) {
	m := mustParse(t, []byte(whole+"samples: {}\n"))
	if _, err := check.Samples(t.Context(), m.Definition()); err == nil || !strings.HasSuffix(err.Error(), "samples: expected a list, found a mapping") {
		t.Errorf("says %v", err)
	}
}

// TestReplayErrors changes one thing at a time: whatever differs between the
// samples and the rest is found, with its place.
func TestReplayErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"send: POST /uploads\n", "send: POST /uploadz\n", `acme.yaml:33:19: samples[0].request.send: is POST /uploadz, and the sample wants POST /uploads`},
		{"body: '{name: $file.name, size", "body: '{nam: $file.name, size", `samples[0].request.body: .nam is "a.bin", and the sample wants not there`},
		{"  part_size: .each\n", "  part_size: .eac\n", `samples[0]: Acme: create the upload`},
		{"kind: b}, part_size", "kind: 7, more: x}, part_size", `samples[0]: acme: option more: there is no such option`},
		{`"Token {secret}"}, body`, `"{secret}"}, body`, `samples[0].request.headers.X-Key: is "Token {secret}", and the sample wants "{secret}"`},
		{"    id: u1\n", "    id: u2\n", `acme.yaml:36:9: samples[0].want.id: is "u1", and the sample wants "u2"`},
		{"keep: {id: u1}", "keep: {id: u2}", `samples[0].want.keep: .id is "u1", and the sample wants "u2"`},
		{"offset: 5, size: 4}", "offset: 4, size: 5}", `samples[0].want.parts: [1].offset is 5, and the sample wants 4`},
		{"{number: 2}]", "{number: 3}]", `samples[0].want.urls: [1].number is 2, and the sample wants 3`},
		{"X-aMZ-Acl: private", "X-aMZ-Acl: public", `samples[0].want.urls: [0].headers.X-Amz-Acl is "private", and the sample wants "public"`},
		{"{number: 2}]", "]", `samples[0].want.urls: [1] is {"expires":null`},
		{"expires: null", "expires: 2026-11-24T00:00:00Z", `samples[0].want.expires: is null`},
		{"numbers: [$parts", "number: [$parts", `samples[1].request.body: .number is [2], and the sample wants not there`},
		{"given: {parts: [2]}", "given: {parts: [3]}", `samples[1]: part 3 is not in the plan`},
		{"given: {part: 2, bytes: last}", "given: {part: 2, bytes: lst}", `samples[2]: 3 bytes are given, and part 2 has 4`},
		{`"PUT https://s.example/2"`, `"PUT https://s.example/1"`, `samples[2].request.send: is PUT https://s.example/2`},
		{"want: {receipt: '\"e2\"'}", "want: {receipt: e2}", `samples[2].want.receipt: is "\"e2\"", and the sample wants "e2"`},
		{"{n: .number, etag", "{no: .number, etag", `samples[3].request.body: .receipts[0].n is not there, and the sample wants 1`},
		{"reply: {status: 200, body: {state: done, file: f1}}\n  want: {result: f1}", "reply: {status: 200, body: {state: wait}}\n  want: {result: f1}", `samples[4]: acme: complete the upload`},
		{"want: {result: f1}", "want: {result: f2}", `samples[4].want.result: is "f1"`},
		{"gone: '.code == \"gone\"'", "gone: '.code == \"none\"'", `samples[5].want.error: is another: acme: complete the upload: no such upload`},
		{"error: gone, message", "error: goen, message", `samples[5].want.error: is "goen", did you mean "gone"?; the errors are`},
		{"message: no such upload}\n- step: probe", "message: none}\n- step: probe", `samples[5].want.message: is not in what it says`},
		{"want: {result: f1}", "want: {error: refused}", `samples[4].want.error: did not happen: it went well`},
		{"answer: completed", "answer: unknown", `samples[6].want.answer: is "completed"`},
		{"{answer: completed, result: f1}", "{anwser: completed, result: f1}", `samples[6].want.anwser: unknown key, did you mean "answer"?`},
		{"- step: abort\n", "- step: abbort\n", `samples[7].step: is "abbort", did you mean "abort"?`},
		{"- step: create\n", "- step: create\n  want: {error: denied}\n  reply: {status: 401}\n- step: abort\n  reply: {status: 200}\n- step: create\n", `samples[1]: has no sample of create before it`},
		{"  reply: {status: 204}\n- step: complete", "- step: complete", `samples[3]: has no reply with a status`},
	} {
		if !strings.Contains(played, c.old) {
			t.Errorf("%q is not in the manifest", c.old)
			continue
		}
		m, err := Parse("acme.yaml", []byte(strings.Replace(played, c.old, c.new, 1)))
		if err != nil {
			t.Errorf("%s: %v", c.new, err)
			continue
		}
		if _, err := check.Samples(t.Context(), m.Definition()); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.want)) {
			t.Errorf("%s:\nsays %v\nwant %s", c.new, err, c.want)
		}
	}
}

// TestReplayQueries holds that the queries of samples are compared by their names
// and values, and the names of headers without case.
func TestReplayQueries(t *testing.T) {
	const text = `version: 1
name: acme
base: https://acme.example/v1
auth: {header: X-Key, value: "Token {secret}", env: ACME_KEY}
create:
  send: POST /u?v=2
  query: '{callback: "https://hook.example/a?b=c&d", name: $file.name, tag: ["x y", "z"], none: null}'
  keep: '{id}'
  part_size: '9'
part: {send: "PUT /u/{id}/{part.number}", auth: true, headers: {X-Kind: raw}, receipt: $header.etag}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
samples:
- step: create
  given: {file: {name: "a b+c.bin", size: 9}}
  request: {send: "POST /u?SAMPLE", headers: {x-kEY: "Token {secret}"}}
  reply: {status: 200, body: {id: u1}}
- step: part
  request: {send: PUT /u/u1/1, headers: {x-kind: raw, "X-KEY": "Token {secret}"}}
  reply: {status: 200, headers: {eTAG: e1}}
  want: {receipt: e1}
`
	play := func(query string) error {
		m := mustParse(t, []byte(strings.Replace(text, "SAMPLE", query, 1)))
		_, err := check.Samples(t.Context(), m.Definition())
		return err
	}
	for _, same := range []string{
		"v=2&callback=https%3A%2F%2Fhook.example%2Fa%3Fb%3Dc%26d&name=a+b%2Bc.bin&tag=x+y&tag=z",
		"callback=https://hook.example/a?b=c%26d&tag=z&tag=x%20y&name=a%20b%2bc.bin&v=2",
		"name=a%20b%2Bc%2Ebin&v=%32&tag=x+y&tag=z&callback=https://hook.example/a%3fb=c%26d",
	} {
		if err := play(same); err != nil {
			t.Errorf("%s: %v", same, err)
		}
	}
	for _, other := range []string{
		"v=2&callback=https://hook.example/a?b=c&d&name=a+b%2Bc.bin&tag=x+y&tag=z",         // another value, and d
		"v=2&callback=https://hook.example/a?b=c%26d&name=a+b+c.bin&tag=x+y&tag=z",         // a plus is a blank
		"v=2&callback=https://hook.example/a?b=c%26d&name=a+b%2Bc.bin&tag=x+y",             // one is missing
		"v=2&callback=https://hook.example/a?b=c%26d&name=a+b%2Bc.bin&tag=x+y&tag=z&tag=z", // one is there twice
		"callback=https://hook.example/a?b=c%26d&name=a+b%2Bc.bin&tag=x+y&tag=z",           // one of send's is missing
	} {
		if err := play(other); err == nil || !strings.Contains(err.Error(), "samples[0].request.send: is POST /u?v=2&callback=https%3A") {
			t.Errorf("%s: %v", other, err)
		}
	}
}

// TestReplayForms holds that of a part which is sent as a form only the fields are
// read: a sample may be of a part that is larger than memory.
func TestReplayForms(t *testing.T) {
	m := mustParse(t, []byte(`version: 1
name: acme
base: https://acme.example
create: {send: POST /u, keep: '{id}', part_size: $file.size}
part: {send: "POST /u/{id}", form: file, fields: '{n: $part.number, tag: ["x", "y"]}', receipt: .id}
complete: {send: "POST /u/{id}/end", ok: .ok, result: .id}
samples:
- step: create
  given: {file: {name: a.bin, size: 5000000000000}}
  reply: {status: 200, body: {id: u1}}
- step: part
  request: {send: POST /u/u1, fields: {n: "1", tag: [x, y]}}
  reply: {status: 200, body: {id: p1}}
  want: {receipt: p1}
`))
	if _, err := check.Samples(t.Context(), m.Definition()); err != nil {
		t.Error(err)
	}
}
