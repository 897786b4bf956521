package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// signature is what makes a presigned URL a bearer token.
var signature = regexp.MustCompile(`(?i)signature=[0-9a-f]{8}`)

// secrets looks for what must be nowhere, in everything that a test left: the
// journal and whatever was moved aside, temporary files, what was
// printed into a file.
type secrets struct {
	t      testing.TB
	dir    string   // all of it was written by multiput, or by the test,
	served string   // but for what is below here: the server's own
	words  []string // the key of the API, and secret options
	api    string
}

// renews are the APIs that issue their URLs again. The others' URLs are kept
// in the journal until the upload is done, and pages that it has freed are
// not wiped: see docs/design/journal.md.
var renews = map[string]bool{"archetype": true, "openai": true, "sandbox": true}

// check fails the test if the key reached anything but the API, or if it or a
// signature was written anywhere.
func (s secrets) check(requests []sandbox.Request) {
	s.t.Helper()
	for _, r := range requests {
		if r.At != "store" {
			continue
		}
		for name, values := range r.Header {
			if s.in([]byte(strings.Join(values, " "))) || name == "Authorization" || strings.EqualFold(name, "X-API-Key") {
				s.t.Errorf("the key came to the store in %s: %s", name, r)
			}
		}
		if s.in([]byte(r.Path + r.Query)) {
			s.t.Errorf("the key came to the store in the URL")
		}
	}
	scanned := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		if path == filepath.Join(s.dir, s.served) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		scanned++
		if s.in(b) {
			s.t.Errorf("a secret is in %s", path)
		}
		kept := filepath.Base(filepath.Dir(path)) == "journal" && filepath.Ext(path) == ".db" && !renews[s.api]
		// A plan hands the URLs on: that is what it is for.
		kept = kept || filepath.Ext(path) == ".plan"
		if !kept && signature.Match(b) {
			s.t.Errorf("a signature is in %s", path)
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
	if scanned == 0 {
		s.t.Errorf("nothing was written below %s: what was searched?", s.dir)
	}
}

func (s secrets) in(b []byte) bool {
	return slices.ContainsFunc(s.words, func(word string) bool { return bytes.Contains(b, []byte(word)) })
}

// ownManifest is an API like Upscayl's with an option that is a secret: the
// API gets it, and says it again.
const ownManifest = `
version: 1
name: own
base: %s
auth: {header: X-API-Key, value: "{secret}", env: OWN_KEY}
options:
  token: {type: string, required: true, secret: true}
create:
  send: POST /get-upload-url
  body: '{data: {fileSize: $file.size, fileType: $options.token, originalFileName: $file.name}}'
  keep: '.data | {id: .uploadId, key: .path, said: .fileType}'
  part_size: .data.partSize
  parts: '.data.partUrls[] | {number: .partNumber}'
  urls: '.data.partUrls[] | {number: .partNumber, url: .signedUrl}'
part:
  send: PUT
  receipt: $header.etag
complete:
  send: POST /complete-multipart-upload
  body: '{data: {uploadId: $upload.id, key: $upload.key, parts: [$parts[] | {PartNumber: .number, ETag: .receipt}]}}'
  result: $upload.key
`

// TestSecretsAreNowhere has a server say the key and a secret option in its
// errors, breaks connections, kills multiput and continues, all with -v. What
// rehearsals look for at their end is in none of it: not in what was printed,
// not in the journal, not in any other file. The urls of a provider that
// issues them once are in the journal while they are needed, and no longer.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	for _, api := range append(sandbox.APIs(), "own") {
		t.Run(api, func(t *testing.T) {
			t.Parallel()
			speaks := api
			if api == "own" {
				speaks = "upscayl"
			}
			r := rigFor(t, &sandbox.Server{API: speaks, PartSize: 64 << 10})
			args, env := []string{"-p", api}, []string(nil)
			switch api {
			case "openai":
				args = append(args, "--set", "purpose=batch", "--part-size", "64KiB")
			case "own":
				token := "token-" + sha(t.Name())[:20]
				r.secret = append(r.secret, token)
				own := filepath.Join(r.dir, "own.yaml")
				if err := os.WriteFile(own, fmt.Appendf(nil, ownManifest, "http://"+r.listen), 0o600); err != nil {
					t.Fatal(err)
				}
				args, env = []string{"-p", own, "--set", "token=" + token}, []string{"OWN_KEY=" + r.server.Key}
			}
			words := strings.Join(append(r.secret, r.server.Key), " ")
			for _, fault := range []string{"create:status=500", "create:status=400", "put:status=503", "put@after=2:status=500", "complete:status=429"} {
				r.fault(t, fault+",message=you sent "+words)
			}
			r.fault(t, "put@after=1:reset=1000", "create@after=1:html")
			file := r.file(t, 5*64<<10)
			command := append([]string{"upload", file, "-vv", "-j", "2"}, args...)
			exits := map[int]int{}
			for range 3 { // refused twice; then it is created, and killed
				out, code := r.life(t, slices.Concat(env, []string{killEnv + "=receipt=2+"}), command...)
				exits[code]++
				if out != "" {
					t.Errorf("stdout is %q", out)
				}
			}
			if exits[exitFailed] != 2 {
				t.Errorf("the exit codes were %v, want two refusals and a death", exits)
			}
			// The search finds what there is to find.
			dbs, err := filepath.Glob(filepath.Join(r.dir, "multiput", "journal", "*.db"))
			if err != nil || len(dbs) != 1 {
				t.Fatalf("unfinished uploads: %q, %v", dbs, err)
			}
			b, err := os.ReadFile(dbs[0])
			if err != nil {
				t.Fatal(err)
			}
			if keeps := signature.Match(b); keeps == renews[speaks] {
				t.Errorf("that the journal keeps urls, while they are needed, is %t", keeps)
			}
			if _, code := r.life(t, env, command...); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			r.cmpObject(t, file)
			if _, err := os.Stat(dbs[0]); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("delivered, and its file is there: %v", err)
			}
		})
	}
}
