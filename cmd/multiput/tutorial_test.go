package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/multiput/multiput/pkg/journal"
)

var fenced = regexp.MustCompile("(?ms)^```(yaml|console)(?: (\\S+))?\n(.*?)^```$")

// TestTutorial does what docs/tutorial-manifest.md says, in its order: what is
// YAML goes into the manifest, and each command has to print what follows it.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile("../../docs/tutorial-manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	home := t.TempDir()
	for _, k := range []string{"HOME", "USERPROFILE", "LocalAppData", "AppData", "XDG_STATE_HOME", "XDG_CONFIG_HOME"} {
		t.Setenv(k, home)
	}
	t.Setenv("NO_PROXY", "*")
	t.Setenv("PARCEL_API_KEY", "")
	t.Setenv("CRATE_API_KEY", "")
	p := &parcel{t: t, parts: map[string][]byte{}}
	server := httptest.NewServer(p)
	defer server.Close()
	p.base = server.URL
	film := bytes.Repeat([]byte("film "), 20)
	if err := os.WriteFile("film.mp4", film, 0o600); err != nil {
		t.Fatal(err)
	}
	manifests := map[string][]byte{}
	commands := 0
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "yaml" {
			name := cmp.Or(m[2], "parcel.yaml")
			manifests[name] = append(manifests[name], m[3]...)
			if err := os.WriteFile(name, manifests[name], 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for _, part := range strings.Split("\n"+m[3], "\n$ ")[1:] {
			commands++
			command, want, _ := strings.Cut(part, "\n")
			if name, value, ok := strings.Cut(strings.TrimPrefix(command, "export "), "="); ok && strings.HasPrefix(command, "export ") {
				t.Setenv(name, value)
				continue
			}
			args := strings.Fields(strings.ReplaceAll(command, "http://127.0.0.1:8080", server.URL))
			var said bytes.Buffer
			a := app{stdin: strings.NewReader(""), stdout: &said, stderr: &said, journal: openJournal, remote: journal.Remote}
			a.run(t.Context(), args[1:])
			if got := strings.TrimSuffix(said.String(), "\n"); got != strings.TrimSuffix(want, "\n") {
				t.Errorf("$ %s\nprints\n%s\nand the tutorial says\n%s", command, got, want)
			}
		}
	}
	if commands < 6 {
		t.Errorf("there are only %d commands in the tutorial", commands)
	}
	if !bytes.Equal(p.last, film) {
		t.Errorf("what was uploaded last is %q", p.last)
	}
	if got, err := filepath.Glob("*"); err != nil || len(got) != 3 {
		t.Errorf("it leaves %v, %v", got, err)
	}
}

// parcel is the API of the tutorial, and its store.
type parcel struct {
	t    *testing.T
	base string

	mu    sync.Mutex
	parts map[string][]byte
	last  []byte
}

func (p *parcel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if path, ok := strings.CutPrefix(r.URL.Path, "/crate/boxes"); ok {
		p.crate(w, r, path, b)
		return
	}
	if r.Method == http.MethodPut {
		if r.Header.Get("X-Parcel-Key") != "" {
			p.t.Error("the store was sent the key")
		}
		p.parts[r.URL.Path] = b
		w.Header().Set("ETag", `"e`+filepath.Base(r.URL.Path)+`"`)
		return
	}
	if r.Header.Get("X-Parcel-Key") != "my-parcel-key" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in struct {
		Bytes   int
		Numbers []int
		Parts   []struct {
			N    int
			ETag string
		}
	}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &in); err != nil {
			p.t.Error(err)
		}
	}
	targets := func(numbers ...int) (list []map[string]any) {
		for _, n := range numbers {
			list = append(list, map[string]any{"n": n, "put": fmt.Sprintf("%s/store/%d", p.base, n)})
		}
		return list
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v2/uploads":
		clear(p.parts)
		half := (in.Bytes + 1) / 2
		_ = json.NewEncoder(w).Encode(map[string]any{"upload": map[string]any{"id": "u1", "part_bytes": half}, "targets": targets(1, 2)})
	case "POST /v2/uploads/u1/targets":
		_ = json.NewEncoder(w).Encode(map[string]any{"targets": targets(in.Numbers...)})
	case "POST /v2/uploads/u1/finish":
		p.last = nil
		for _, part := range in.Parts {
			p.last = append(p.last, p.parts[fmt.Sprintf("/store/%d", part.N)]...)
			if part.ETag != fmt.Sprintf(`"e%d"`, part.N) {
				p.t.Errorf("part %d was reported with %s", part.N, part.ETag)
			}
		}
		fmt.Fprint(w, `{"state": "ready", "file": {"id": "f1"}}`)
	case "DELETE /v2/uploads/u1":
	default:
		p.t.Errorf("%s %s", r.Method, r.URL)
	}
}

// crate is the other API of the tutorial.
func (p *parcel) crate(w http.ResponseWriter, r *http.Request, path string, b []byte) {
	if r.Header.Get("Authorization") != "Bearer my-crate-key" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + path {
	case "POST ":
		p.last = nil
		fmt.Fprint(w, `{"box": "b1"}`)
	case "PUT /b1/slices/1":
		p.parts["crate"] = b
		fmt.Fprint(w, `{"slice": "s1"}`)
	case "POST /b1/close":
		if string(b) != `{"slices":["s1"]}` {
			p.t.Errorf("the box is closed with %s", b)
		}
		p.last = p.parts["crate"]
		fmt.Fprint(w, `{"closed": true, "url": "https://crate.example/b1"}`)
	default:
		p.t.Errorf("%s %s", r.Method, r.URL)
	}
}
