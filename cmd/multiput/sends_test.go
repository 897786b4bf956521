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
		"openai":             "the file to https://api.openai.com, the key to https://api.openai.com alone",
		"upscayl":            "the file to the URLs that https://api.upscayl.org gives, the key to https://api.upscayl.org alone",
		"gallery/box":        "the file to https://upload.box.com, the key to https://upload.box.com alone",
		"gallery/dandi":      "the file to the URLs that https://api.dandiarchive.org gives, requests without the key to the URLs that https://api.dandiarchive.org gives, the key to https://api.dandiarchive.org alone",
		"gallery/azure-blob": "the file to the API",
		own:                  "the file to https://store.example, requests without the key to https://other.example and the URLs that https://api.example gives, the key to https://api.example alone",
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
