package manifest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// found is a manifest with nothing wrong; each finding is of one change to it.
const found = bearer + `options: {folder: {type: string, help: x}}
create: {send: POST /u, body: '{n: $file.name}', keep: '{id}', part_size: .each}
part: {send: "PUT /u/{id}/{part.number}", headers: {X-A: b}, receipt: $header.etag}
complete: {send: "POST /u/{id}/end", body: '[$parts[].receipt]', ok: .ok, result: .id}
`

// TestSyntaxHasAPlace holds that whatever is no YAML has its line and its column.
func TestSyntaxHasAPlace(t *testing.T) {
	for text, place := range map[string]string{
		"a: [": "1:5", "a: {b": "1:6", "a: b: c": "1:5", "a: @x": "1:4", "a: 'x": "1:4", "a: &": "1:4", "a: *x": "1:4",
		"version: 1\n\tname: x": "2:1", "version: 1\nname: \"x": "2:7", "version: 1\nname: [a, b\nbase: x\n": "2:11", "a: 1\nb: \x01\n": "2:4",
		"a: 1\nb: [1,\n\n\n": "2:7",
	} {
		_, err := Parse("x.yaml", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:"+place+": ") {
			t.Errorf("%q: %v, want it at %s", text, err, place)
		}
	}
}

// TestFindings holds the messages of what is found in a manifest, and where:
// testdata/findings.golden has them, after the change that each is of.
func TestFindings(t *testing.T) {
	var all strings.Builder
	for _, c := range []struct{ old, new string }{
		{"", ""},
		// Names that do not exist.
		{"$file.name", "$file.nam"},
		{"$file.name", `$file["nam"]`},
		{"$file.name", "$options.foldr"},
		{"$file.name", `$options["foldr"]`},
		{"$file.name", "$digests.sha512"},
		{"$file.name", "$other"},
		{"headers: {X-A: b}", `headers: '{a: $part.nubmer}'`},
		{"$parts[].receipt", "$parts[].etga"},
		{"receipt: $header.etag", "receipt: $header.ETag"},
		{"receipt: $header.etag", `receipt: '$header["X-Id"]'`},
		{"{id}/{part.number}", "{upload}/{part.number}"},
		{"{id}/{part.number}", "{id}/{part.no}"},
		{"{id}/{part.number}", "{id}/{options.foldr}"},
		// Names that are null where they stand.
		{"$file.name", "$parts"},
		{"$file.name", "$part.number"},
		{"keep: '{id}'", "keep: '{id, n: ($parts | length)}'"},
		{"$parts[].receipt", "$part.number"},
		{"$parts[].receipt", "$parts[].md5"},
		{"headers: {X-A: b}", `headers: '{a: $part.sha256}'`},
		{"headers: {X-A: b}", `headers: '{a: $part.receipt}'`},
		{"headers: {X-A: b}", `headers: '{a: $parts[0].number}'`},
		{`"POST /u/{id}/end"`, `"POST /u/{part.number}/end"`},
		{"$file.name", "$digests.sha256_base64"},
		{"headers: {X-A: b}", `headers: '{a: $digests.md5}'`},
		{"$parts[].receipt", "$digests.md5"},
		// Headers that auth sets.
		{"ok: .ok, result", "headers: {authorization: x}, ok: .ok, result"},
		{"ok: .ok, result", `headers: '{"Authorization": "x"}', ok: .ok, result`},
		{"headers: {X-A: b}", "auth: true, headers: {Authorization: b}"},
		{"ok: .ok, result", `headers: '{("author" + "ization"): "x"}', ok: .ok, result`},
		{"ok: .ok, result", `headers: '{("x-\($upload.id)"): 1, AUTHORIZATION: .t}', ok: .ok, result`},
		{"ok: .ok, result", `headers: '[{name: "authorization", value: $upload.id}]', ok: .ok, result`},
		{"ok: .ok, result", `headers: '{a: 1} | with_entries(.key |= {a: "authorization"}[.])', ok: .ok, result`},
		{"ok: .ok, result", `headers: '{("x-" + "y"): 1}', ok: .ok, result`},
		{"ok: .ok, result", `auth: false, headers: '{("author" + "ization"): "x"}', ok: .ok, result`},
		{"headers: {X-A: b}", `auth: true, headers: '[["authorization", $part.number]] | map({(.[0]): .[1]}) | add'`},
		{"options: {", "headers: '{Authorization: \"x\"}'\noptions: {"},
		// Other origins.
		{`send: "POST /u/{id}/end"`, `send: POST, url: '"https://other.example/x"'`},
		{`send: "POST /u/{id}/end"`, `send: POST, url: '"https://other.example/\($upload.id)"'`},
		{`send: "POST /u/{id}/end"`, `send: POST, url: '(if .a then "x" else "HTTPS://other.example" + .a end)'`},
		{`send: "POST /u/{id}/end"`, `send: POST, url: '"https://api.\(.region).example/x"'`},
		{`send: "POST /u/{id}/end"`, `send: POST, url: '"https://api\(.port)/x"'`},
		{`send: "POST /u/{id}/end"`, `send: POST, url: '"//other.example/x"'`},
		// What passes for a success.
		{"ok: .ok, result: .id", "result: $upload.id"},
		{"ok: .ok, result: .id", `result: '"a.b"'`},
		{"ok: .ok, result: .id", "result: $header.location"},
		{"ok: .ok, result: .id", "result: $upload | .id"},
		{"ok: .ok, result: .id", "result: '($parts | map(.number) | tostring)'"},
		{"ok: .ok, result: .id", "result: '$upload.id as $id | .list[$id]'"},
		{"ok: .ok, result: .id", `result: 'capture("id (?<i>[a-z]+)") | tostring'`},
		{"ok: .ok, result: .id", "result: tostring"},
		// An upload without an id.
		{"keep: '{id}'", "keep: '{token}'"},
		{"keep: '{id}'", "keep: '{token} + .more'"},
		{"part_size: .each", "part_size: 5242880"},
		{"part_size: .each", "part_size: 5MiB"},
		// Small files whose part completes the upload.
		{"complete: {", "small: {max_size: 1MiB, create: null, complete: null, part: {send: POST /f, auth: true, result: .id}}\ncomplete: {"},
		{"complete: {", "small: {max_size: 1MiB, create: null, complete: null, part: {send: POST /f, auth: true, receipt: .id}}\ncomplete: {"},
		{"complete: {", "small: {max_size: 1MiB, part: {send: POST /f, auth: true, result: .id}}\ncomplete: {"},
		// Lists.
		{"create: {send: POST /u, ", "create:\n- {send: POST /a, keep: '{x}', parts: .p}\n- {send: POST /u, "},
		{`complete: {send: "POST /u/{id}/end", `, "complete:\n- {send: POST /a, result: .x}\n- {send: \"POST /u/{id}/end\", "},
		// Digests, sizes and options.
		{"part: {", "part: {digests: [sha2], "},
		{"options: {", "limits: {part: {multiple: 8MiB, max: 5MiB}}\noptions: {"},
		{"help: x", "help: x, max: 3"},
		{"type: string", "type: int, default: 9, max: 3"},
		// Old names.
		{"$file.name", "$receipts"},
		{"$file.name", "$want.part_size"},
		{"$parts[].receipt", "$parts[].token"},
		{"'[$parts[].receipt]'", "'[$parts[] | {n: .number, t: .token}]'"},
		{"'[$parts[].receipt]'", "'[$parts[].receipt | fromjson | {t: .token}]'"},
		{"keep: '{id}'", "upload: '{id}'"},
		{"part_size: .each", "grants: .each"},
		{"part: {", "part: {digest: sha1, "},
		{"part: {", "grant: {send: POST /g, grants: .x}\npart: {"},
		{"part: {", "presign: {send: POST /g, grants: .x}\npart: {"},
		{"part: {", "limits: {grant_life: 15m}\npart: {"},
		{`"POST /u/{id}/end"`, `"POST {end}"`},
		// YAML.
		{`"POST /u/{id}/end"`, `POST /u/{id}/end`},
		{`"POST /u/{id}/end"`, `POST /u?x=1`},
		{"ok: .ok, result: .id}", "ok: .ok, result: .id"},
		{"part: {", "part: [{"},
	} {
		if !strings.Contains(found, c.old) {
			t.Errorf("%s is not in the manifest", c.old)
		}
		name := "as it is"
		if c.old != "" {
			name = c.old + " -> " + strings.ReplaceAll(c.new, "\n", "\\n")
		}
		fmt.Fprintf(&all, "%s\n", name)
		m, err := Parse("x.yaml", []byte("version: 1\nname: x\nbase: https://api.example:8443\n"+strings.Replace(found, c.old, c.new, 1)))
		switch {
		case err != nil:
			fmt.Fprintf(&all, "    %s\n", strings.ReplaceAll(err.Error(), "\n", "\n    "))
		case len(m.found) == 0:
			fmt.Fprintf(&all, "    nothing\n")
		default:
			for _, f := range m.found {
				fmt.Fprintf(&all, "    %s: %s\n", f.Kind, f.In("x.yaml"))
			}
		}
	}
	golden := filepath.Join("..", "..", "..", "testdata", "findings.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := all.String(); got != strings.ReplaceAll(string(want), "\r", "") {
		t.Errorf("the findings are (-update writes them)\n%s", got)
	}
}
