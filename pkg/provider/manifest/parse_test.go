package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// whole is a manifest with every key.
const whole = `version: 1
name: acme
title: Acme
docs: https://acme.example/docs
base: https://acme.example/v1/
auth: {header: X-Key, value: "Token {secret}", env: ACME_KEY}
headers: {acme-version: "2026"}
limits: {max_size: 5GB, part: {min: 5MiB, max: 64MiB, count: 100}}
options:
  kind: {type: string, required: true, help: what it is for, enum: [a, b]}
  days: {type: int, default: 3, help: days to keep it}
  ratio: {type: number, default: 0.5, help: a ratio}
  open: {type: bool, default: false, help: for everyone}
  extra: {type: json, default: {a: [1]}, help: more fields}
  pass: {type: string, secret: true, help: a password}
create:
  send: POST /uploads
  body: '{name: $file.name, size: $file.size}'
  keep: '{id}'
  size: .size
  part_size: .part_size
  parts: '.parts[] | {number}'
  urls: '.parts[] | {number, url}'
  expires: .expires
  resumed: .resumed == true
presign:
  send: POST /uploads/{id}/urls
  body: '{numbers: [$parts[].number]}'
  urls: '.parts[] | {number, url}'
part:
  send: PUT
  auth: false
  headers: {X-Kind: block}
  receipt: $header.etag
checkpoint:
  send: POST /uploads/{id}/checkpoint
  body: '{receipts: [$parts[].receipt]}'
complete:
  send: POST /uploads/{id}/complete?wait=true
  body: '{receipts: [$parts[].receipt]}
    + {digest: $digests.crc32c}'
  ok: .state == "done"
  result: .location
  already: .code == "was_done"
abort:
  send: DELETE /uploads/{id}
error:
  message: .problem
  code: .code
  request_id: .request
  gone: .code == "gone"
  mismatch: .code == "digest"
probe:
  send: POST /uploads/{id}/state
  body: '{since: $file.name}'
  done: .finished
  result: .place
`

func TestParseWhole(t *testing.T) {
	m := mustParse(t, []byte(whole)).Definition()
	if m.Name != "acme" || m.Title != "Acme" || m.Base != "https://acme.example/v1" || m.KeyEnv() != "ACME_KEY" || !m.NeedsKey() || !m.Abilities.Aborts {
		t.Errorf("read %s, %s, %s, %s", m.Name, m.Title, m.Base, m.KeyEnv())
	}
	if l := m.Limits; l.MaxSize != 5<<30 || l.MinPart != 5<<20 || l.MaxPart != 64<<20 || l.MaxParts != 100 {
		t.Errorf("read the limits %+v", l)
	}
	var names []string
	for _, o := range m.Options {
		names = append(names, o.Name)
	}
	if want := []string{"kind", "days", "ratio", "open", "extra", "pass"}; !slices.Equal(names, want) {
		t.Errorf("read the options %v, want %v", names, want)
	}
}

// edit is the whole manifest with one change.
func edit(t testing.TB, old, new string) []byte {
	t.Helper()
	if strings.Count(whole, old) != 1 {
		t.Fatalf("%q is not once in the manifest", old)
	}
	return []byte(strings.Replace(whole, old, new, 1))
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		old, new string
		line     int
		key      string
		text     string
	}{
		{"version: 1", "version: 2", 1, "version", "reads version 1"},
		{"version: 1", "version: one", 1, "version", "expected a whole number, found the string \"one\""},
		{"version: 1\n", "", 1, "version", "is missing"},
		{"name: acme\n", "name: Acme\n", 2, "name", "lower-case"},
		{"title: Acme", "titel: Acme", 3, "titel", `unknown key, did you mean "title"?`},
		{"title: Acme", "title: \"Ac\\nme\"", 3, "title", "cannot be shown"},
		{"title: Acme", "title: Acme\ntitle: Acne", 4, "title", "is a duplicate key"},
		{"base: https://acme.example/v1/", "base: http://acme.example", 5, "base", "plain http is refused"},
		{"base: https://acme.example/v1/", "base: https://acme.example?key=1", 5, "base", "a query or a fragment is refused"},
		{"base: https://acme.example/v1/", "base: https://u:p@acme.example", 5, "base", "user name"},
		{"base: https://acme.example/v1/", "base: https://acme.example/a/../b", 5, "base", ".."},
		{`value: "Token {secret}", `, "", 6, "auth", "{secret}"},
		{`"Token {secret}"`, `"Token"`, 6, "auth", "{secret}"},
		{"header: X-Key", "header: Content-Length", 6, "auth.header", "cannot be set"},
		{"header: X-Key", "header: \"X Key\"", 6, "auth.header", "not a name of a header"},
		{"header: X-Key, ", "", 6, "auth", "has no header"},
		{"env: ACME_KEY", "env: acme key", 6, "auth.env", "not a name of an environment variable"},
		{`{acme-version: "2026"}`, `{Host: x}`, 7, "headers.Host", "not a header that can be set"},
		{`{acme-version: "2026"}`, `{acme-version: 2026}`, 7, "headers.acme-version", "expected a string (in quotes, if need be), found the number 2026"},
		{`{acme-version: "2026"}`, `{x-key: abc}`, 7, "headers", "the header of auth"},
		{"max_size: 5GB", "max_size: lots", 8, "limits.max_size", "not a size"},
		{"max_size: 5GB", "max_size: 0", 8, "limits.max_size", "expected a size above 0, found 0"},
		{"max: 64MiB", "max: 64MB", 8, "limits.part.max", "two readings: write MiB"},
		{"count: 100", "count: 0", 8, "limits.part.count", "at least 1"},
		{"type: string, required", "type: str, required", 10, "options.kind.type", "the types are"},
		{"{type: int, default: 3", "{default: 3", 11, "options.days", "has no type"},
		{"default: 3", "default: three", 11, "options.days.default", "is not of type int"},
		{"default: 0.5", "default: [1]", 12, "options.ratio.default", "is not of type number"},
		{"enum: [a, b]", "enum: [a, 1]", 10, "options.kind.enum", "not a list of values of type string"},
		{"required: true", "required: true, default: c", 10, "options.kind.default", "is not one of a, b"},
		{"required: true", "required: true, default: a", 10, "options.kind.default", "has no effect"},
		{"default: {a: [1]}", "default: &a {a: *a}", 14, "options.extra.default", "has the anchor &a"},
		{"  kind: {", "  ki nd: {", 10, "options.ki nd", "not a name of an option"},
		{"send: POST /uploads\n", "send: POST uploads\n", 17, "create.send", "not a method and a path"},
		{"send: POST /uploads\n", "send: Post /uploads\n", 17, "create.send", "not a method and a path"},
		{"send: POST /uploads\n", "send: POST /up/{id}\n", 17, "create.send", "there is none yet"},
		{"send: POST /uploads\n", "send: POST\n", 17, "create.send", "has no path"},
		{"send: POST /uploads\n", "send: GET /uploads\n", 18, "create.body", "a GET has no body"},
		{"  send: POST /uploads\n", "", 17, "create.send", "is missing"},
		{"'{name: $file.name, size: $file.size}'", "'{name: $file.name'", 18, "create.body", "unexpected EOF"},
		{"'{name: $file.name, size: $file.size}'", "|\n    {name: $file.name,\n     size: }\n", 20, "create.body", `unexpected token "}", at the end of "{name: $file.name, size: }"`},
		{"'{name: $file.name, size: $file.size}'", "'{name: $flie.name}'", 18, "create.body", "no variable $flie"},
		{"'{name: $file.name, size: $file.size}'", "'{name: nosuch}'", 18, "create.body", "function not defined: nosuch/0"},
		{"'{name: $file.name, size: $file.size}'", "'input'", 18, "create.body", "not allowed"},
		{"'{name: $file.name, size: $file.size}'", `'import "x" as x; {}'`, 18, "create.body", "cannot load module"},
		{"'{name: $file.name, size: $file.size}'", "{name: x}", 18, "create.body", "expected a jq expression, in quotes if it starts with { or [, found a mapping"},
		{"'{name: $file.name, size: $file.size}'", "''", 18, "create.body", "is empty"},
		{"keep: '{id}'\n", "keep: true\n", 19, "create.keep", "expected a jq expression, in quotes if it starts with { or [, found true"},
		{"  keep: '{id}'\n", "", 17, "create", "has no keep"},
		{"  parts: '.parts[] | {number}'\n", "", 24, "create.resumed", "needs create.parts"},
		{"  send: PUT\n", "  send: PUT /uploads/{id}/parts\n", 31, "part.send", "they exclude each other"},
		{"  send: PUT\n", "  send: PUT /uploads/{i d}\n", 31, "part.send", "not a method and a path"},
		{"  auth: false", "  auth: no way", 32, "part.auth", "expected true or false, found the string \"no way\""},
		{"  headers: {X-Kind: block}\n", "  heders: {X-Kind: block}\n", 33, "part.heders", `did you mean "headers"?`},
		{"  receipt: $header.etag\n", "", 31, "part.receipt", "is missing"},
		{"/complete?wait=true", "/../complete", 39, "complete.send", "has . or .."},
		{"/complete?wait=true", "/complete#x", 39, "complete.send", "has a #"},
		{"/complete?wait=true", "/complete/{", 39, "complete.send", "an unmatched brace"},
		{"  result: .location\n", "", 39, "complete.result", "is missing"},
		{"  send: DELETE /uploads/{id}", "  send: [DELETE]", 46, "abort.send", "expected a string (in quotes, if need be), found a list"},
		{"error:\n", "error: *x\nmore:\n", 47, "", "has the alias *x"},
		{"  gone: .code", "  gones: .code", 51, "error.gones", `did you mean "gone"?`},
		{"  already: .code", "  allready: .code", 44, "complete.allready", `did you mean "already"?`},
		{"  already: .code", "  already: code", 44, "complete.already", "function not defined"},
		{"  mismatch: .code", "  mismach: .code", 52, "error.mismach", `did you mean "mismatch"?`},
		{"  done: .finished\n", "", 54, "probe.done", "is missing"},
		{"  send: POST /uploads/{id}/state\n", "", 54, "probe.send", "is missing"},
		{"  send: POST /uploads/{id}/state\n", "  send: POST\n", 54, "probe.send", "has no path"},
		{"  send: POST /uploads/{id}/state\n", "  send: GET /uploads/{id}/state\n", 55, "probe.body", "a GET has no body"},
		{"  result: .place", "  results: .place", 57, "probe.results", `did you mean "result"?`},
	} {
		t.Run(c.key+"/"+c.text, func(t *testing.T) {
			m, err := Parse("acme.yaml", edit(t, c.old, c.new))
			var e *spec.Error
			if !errors.As(err, &e) || m != nil {
				t.Fatalf("got %v, %v", m, err)
			}
			if e.File != "acme.yaml" || !slices.ContainsFunc(e.Problems, func(p spec.Problem) bool {
				return p.Line == c.line && p.Key == c.key && strings.Contains(p.Text, c.text)
			}) {
				t.Errorf("says\n%v\nwant line %d: %s: …%s…", err, c.line, c.key, c.text)
			}
		})
	}
}

func TestParseTellsAll(t *testing.T) {
	_, err := Parse("x.yaml", []byte("version: 1\nname: x\ncreate: {send: POST /u, keeep: .}\npart: {send: PUT, receipt: '.['}\n"))
	want := []string{
		`x.yaml:1:1: complete: is missing`,
		`x.yaml:3:9: create: has no keep, which gives $upload its id`,
		`x.yaml:3:25: create.keeep: unknown key, did you mean "keep"? (known: auth, body, digest, digests, expires, fields, headers, keep, multipart, ok, part_size, parts, query, resumed, send, size, text, type, url, urls)`,
		`x.yaml:4:14: part.send: has no path, and neither create.urls nor presign says where a part goes`,
		`x.yaml:4:28: part.receipt: is not a jq expression: unexpected EOF, at the end of ".["`,
	}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("says\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

// A header's name with a hyphen is the mistake that everybody makes once.
func TestHyphenInAName(t *testing.T) {
	for _, c := range []struct{ expr, says string }{
		{"$header.x-part-token", `$header["x-part-token"]`},
		{".upload-id", `.["upload-id"]`},
	} {
		_, err := Parse("x.yaml", []byte("version: 1\nname: x\ncreate: {send: POST /u, keep: '{id}'}\npart: {send: PUT, receipt: '"+c.expr+"'}\n"))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.expr, err)
		}
	}
}

func TestParseDocuments(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "x: is empty",
		"# nothing":                           "x: is empty",
		"[1]":                                 "expected a mapping, found a list",
		"hello":                               "expected a mapping, found the string \"hello\"",
		whole + "---\nversion: 1\n":           "more than one YAML document",
		"a: b: c":                             "is not YAML",
		strings.Repeat(" ", 300<<10):          "too long",
		"version: 1\n? [a]\n: b\n":            "a key that is not a string",
		"version: 1\n<<: {name: x}\n":         "unknown key",
		"version: 1\nname: &a x\ntitle: *a\n": "x:2:7: name: has the anchor &a; a manifest has no anchors and no aliases\nx:3:8: title: is the alias *a",
		"version: 1\nname: a\nname\n":         "x:3:1: is not YAML: could not find expected ':'",
	} {
		if _, err := Parse("x", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: says %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	var paths []string
	for _, dir := range []string{"../builtin", "../../../docs/manifests"} {
		found, err := filepath.Glob(dir + "/*.yaml")
		if err != nil || len(found) < 4 {
			f.Fatal(found, err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse("fuzz.yaml", b)
		var e *spec.Error
		switch {
		case err == nil:
			if m.name == "" || !m.create.requests[0].fixed() || m.part.receipt == nil || m.complete.result == nil ||
				m.probe != nil && (!m.probe.fixed() || m.probe.done == nil) {
				t.Error("let a manifest pass that lacks what is needed")
			}
			if _, err := check.Samples(t.Context(), m.Definition()); err != nil && !errors.As(err, &e) {
				t.Errorf("a sample ends in %v", err)
			}
		case !errors.As(err, &e) || len(e.Problems) == 0:
			t.Errorf("not an *spec.Error with problems: %v", err)
		}
	})
}
