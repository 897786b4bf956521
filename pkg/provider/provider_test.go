package provider_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/upload"
)

const mine = `version: 1
name: mine
base: https://mine.example/v1
auth: {header: X-Key, value: "{secret}", env: MINE_KEY}
create: {send: POST /u, keep: '{id}'}
part: {send: 'PUT /u/{id}', receipt: .id}
complete: {send: 'POST /u/{id}/end', result: .id}
`

// write puts a manifest into a directory of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBuiltIn(t *testing.T) {
	if want := []string{"archetype", "fileai", "openai", "s3", "sandbox", "upscayl"}; !slices.Equal(provider.Names(), want) {
		t.Errorf("there are %v, want %v", provider.Names(), want)
	}
	for _, c := range []struct {
		name, env, base string
		limits          upload.Limits
		aborts          bool
	}{
		{"archetype", "ATAI_API_KEY", "https://api.u1.archetypeai.app/v0.5", upload.Limits{MaxSize: 250 << 30, Plans: true}, true},
		{"fileai", "FILEAI_API_KEY", "https://api.orion.file.ai", upload.Limits{URLLife: 15 * time.Minute, TakesHint: true, Plans: true}, false},
		{"openai", "OPENAI_API_KEY", "https://api.openai.com/v1", upload.Limits{MaxSize: 8 << 30, MaxPart: 64 << 20}, true},
		{"upscayl", "UPSCAYL_API_KEY", "https://api.upscayl.org", upload.Limits{Plans: true}, false},
		{"s3", "", "", upload.Limits{MinPart: 5 << 20, MaxPart: 5 << 30, MaxParts: 10_000}, true},
		{"sandbox", "", "", upload.Limits{MaxSize: 250 << 30, Plans: true}, true},
	} {
		m, err := provider.Load(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != c.name || m.KeyEnv() != c.env || m.Base != c.base || m.Limits != c.limits || m.Abilities.Aborts != c.aborts || m.Title == "" {
			t.Errorf("%s is %s, %s, %s, %+v, aborts: %v", c.name, m.Name, m.KeyEnv(), m.Base, m.Limits, m.Abilities.Aborts)
		}
		for _, o := range m.Options {
			if o.Help == "" {
				t.Errorf("%s: the option %s has no help", c.name, o.Name)
			}
		}
	}
}

func TestSandbox(t *testing.T) {
	m, err := provider.Load(provider.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+testKey {
			t.Errorf("sent the headers %v", r.Header)
		}
		fmt.Fprint(w, `{"file_uid":"f1","file_status":"Registered","file_attributes":{"path":"/data/objects/f1"}}`)
	}))
	defer server.Close()
	if _, err := m.Open(provider.Settings{Keys: []provider.Secret{key(testKey)}}); err == nil {
		t.Error("opened without the address of a server")
	}
	p, err := m.Open(provider.Settings{Base: server.URL, Keys: []provider.Secret{key(testKey)}})
	if err != nil {
		t.Fatal(err)
	}
	if target := p.Target(); target.Provider != "sandbox" || target.Base != "" {
		t.Errorf("goes to %+v", target)
	}
	r, err := p.Complete(t.Context(), upload.Upload{ID: "u1", Data: []byte(`{"upload":{"id":"u1"}}`)}, nil, upload.Digests{})
	if err != nil || r.Value != "/data/objects/f1" {
		t.Errorf("the result is %q, %v", r.Value, err)
	}
}

func TestUsersManifest(t *testing.T) {
	path := write(t, "mine.yaml", mine)
	for _, name := range []string{path, "mine"} {
		m, err := provider.Load(name, t.TempDir(), filepath.Dir(path))
		if err != nil || m.Name != "mine" {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Chdir(filepath.Dir(path))
	if _, err := provider.Load("mine.yaml"); err != nil {
		t.Errorf("a name that ends in .yaml is a path: %v", err)
	}
	var unknown *provider.UnknownError
	if _, err := provider.Load("mine"); !errors.As(err, &unknown) {
		t.Errorf("a bare name is not looked for where we are: %v", err)
	}
}

func TestUnknown(t *testing.T) {
	dir := filepath.Dir(write(t, "mine.yaml", mine))
	_, err := provider.Load("opneai", dir)
	var unknown *provider.UnknownError
	const want = `there is no provider "opneai", did you mean "openai"? (known: archetype, fileai, openai, s3, sandbox, upscayl, mine)`
	if !errors.As(err, &unknown) || err.Error() != want {
		t.Errorf("says %v", err)
	}
	for _, name := range []string{"", "..", "OPENAI", "Mine ", "s4"} {
		if _, err := provider.Load(name, dir); !errors.As(err, &unknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"nosuch.yaml", "./nosuch", "a/b"} {
		if _, err := provider.Load(name, dir); !errors.Is(err, fs.ErrNotExist) || errors.As(err, &unknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
	var address *provider.AddressError
	for name, want := range map[string]string{
		"S3://bucket/k": "s3://bucket/k", "s3:/bucket": "s3://bucket", "s3:bucket": "s3://bucket", `s3:\\bucket\k`: "s3://bucket/k", "S3:": "s3://BUCKET/KEY",
		"s3a://bucket": "s3://bucket", "arn:aws:s3:::bucket/k": "s3://bucket/k",
	} {
		if _, err := provider.Load(name, dir); !errors.As(err, &address) || err.Error() != name+": did you mean "+want+"?" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"https://bucket.s3.amazonaws.com/k?X-Amz-Signature=5ec4e7", "gs://bucket/k"} {
		if _, err := provider.Load(name, dir); !errors.As(err, &unknown) || strings.Contains(err.Error(), "5ec4e7") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := provider.Load(dir + "/"); err == nil {
		t.Error("a directory is a manifest")
	}
}

// TestTrust holds what a user's manifest may not do.
func TestTrust(t *testing.T) {
	for _, c := range []struct{ file, old, new, want string }{
		{"x.yaml", "name: mine", "name: openai", "name: openai is the name of a built-in provider"},
		{"x.yaml", "name: mine", "name: sandbox", "name: sandbox is the name of a built-in provider"},
		{"x.yaml", "env: MINE_KEY", "env: OPENAI_API_KEY", "auth.env: OPENAI_API_KEY has the key of OpenAI, which must not be sent to another provider"},
		{"x.yaml", "env: MINE_KEY", "env: ATAI_API_KEY", "auth.env: ATAI_API_KEY has the key of Archetype AI"},
		{"other.yaml", "", "", "name: is mine, and the file is named for other"},
		{"x.yaml", "complete:", "compleet:", `compleet: unknown key, did you mean "complete"?`},
	} {
		path := write(t, c.file, strings.Replace(mine, c.old, c.new, 1))
		name := path
		if c.file == "other.yaml" {
			name = "other"
		}
		_, err := provider.Load(name, filepath.Dir(path))
		var bad *provider.Error
		if !errors.As(err, &bad) || bad.File != path || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.new, err)
		}
	}
	// A user's file in the directory does not stand in for a built-in.
	path := write(t, "openai.yaml", strings.Replace(mine, "name: mine", "name: openai", 1))
	m, err := provider.Load("openai", filepath.Dir(path))
	if err != nil || m.Base != "https://api.openai.com/v1" {
		t.Errorf("openai goes to %s, %v", m.Base, err)
	}
}

// A key goes to no URL that nothing but a journal names: it may come from a
// cache that others write to.
func TestMayHaveKey(t *testing.T) {
	d, err := provider.Load("openai")
	if err != nil {
		t.Fatal(err)
	}
	for base, may := range map[string]bool{
		"https://api.openai.com/v1": true, "https://eu.example/v1": true, "http://127.0.0.1:80/v1": true, "http://localhost:1": true,
		"https://us.example/v1": true, "https://elsewhere.example": false, "https://api.openai.com/v2": false,
		"https://api.openai.com.elsewhere.example/v1": false, "https://us.example": false,
		"https://127.0.0.1.elsewhere.example": false, "": true, "nonsense": false,
	} {
		err := provider.MayHaveKey(d, base, "", "https://eu.example/v1/", "https://US.example/v1/")
		var refused *provider.TrustError
		if (err == nil) != may || !may && !errors.As(err, &refused) {
			t.Errorf("%q: %v", base, err)
		}
	}
}

func TestCheckNames(t *testing.T) {
	path := write(t, "mine.yaml", mine)
	dir := filepath.Dir(path)
	if err := os.WriteFile(filepath.Join(dir, "broken.yaml"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var unknown *provider.UnknownError
	if err := provider.CheckNames([]string{"openai", "mine", "broken"}, dir); err != nil {
		t.Errorf("known names: %v", err)
	}
	if err := provider.CheckNames([]string{"openai", "mien"}, dir); !errors.As(err, &unknown) || unknown.Name != "mien" {
		t.Errorf("a misspelt name: %v", err)
	}
}

func BenchmarkLoad(b *testing.B) {
	text, err := os.ReadFile("builtin/archetype.yaml")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := manifest.Parse("archetype.yaml", text); err != nil {
			b.Fatal(err)
		}
	}
}

// TestDocumentedManifest loads the example of the reference, as a user would.
func TestDocumentedManifest(t *testing.T) {
	text, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the reference has no example")
	}
	m, err := provider.Load(write(t, "acme.yaml", example))
	if err != nil || m.Name != "acme" || m.KeyEnv() != "ACME_API_KEY" {
		t.Errorf("read %v, %v", m, err)
	}
}
