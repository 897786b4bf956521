package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/docs"
)

const module = "github.com/multiput/multiput/"

// knows is who may import whom, of our own packages, directly.
var knows = map[string][]string{
	"pkg/source":            nil,
	"pkg/source/tree":       {"pkg/source"},
	"pkg/transport":         {"pkg/internal/text"},
	"pkg/internal/text":     nil,
	"pkg/upload":            {"pkg/internal/text", "pkg/source", "pkg/transport"},
	"pkg/journal":           {"pkg/upload"},
	"pkg/config":            {"pkg/internal/text"},
	"pkg/handoff":           {"pkg/upload"},
	"pkg/progress":          {"pkg/internal/text", "pkg/upload", "pkg/transport"},
	"pkg/internal/exact":    nil,
	"pkg/provider/spec":     {"pkg/upload", "pkg/transport", "pkg/internal/exact", "pkg/internal/text"},
	"pkg/provider/storeerr": {"pkg/transport", "pkg/internal/text"},
	"pkg/provider/check":    {"pkg/provider/spec", "pkg/upload", "pkg/transport", "pkg/internal/exact", "pkg/internal/text"},
	"pkg/provider/manifest": {
		"pkg/provider/spec", "pkg/provider/storeerr", "pkg/upload", "pkg/transport", "pkg/internal/exact", "pkg/internal/text",
	},
	"pkg/provider/s3": {
		"pkg/provider/spec", "pkg/provider/storeerr", "pkg/upload", "pkg/transport", "pkg/internal/text",
	},
	"pkg/provider": {"docs", "pkg/provider/manifest", "pkg/provider/s3", "pkg/provider/spec", "pkg/transport", "pkg/internal/text"},
	"pkg/sandbox":  {"pkg/internal/text"},
	"docs":         nil,
	"cmd/multiput": {
		"docs",
		"pkg/config", "pkg/handoff", "pkg/journal", "pkg/progress", "pkg/provider", "pkg/provider/check",
		"pkg/sandbox", "pkg/source/tree", "pkg/transport", "pkg/upload",
	},
}

// only says which packages may import a library.
var only = map[string]string{
	"go.etcd.io/bbolt":                  "pkg/journal",
	"github.com/fxamacker/cbor/v2":      "pkg/journal",
	"github.com/spf13/viper":            "pkg/config",
	"github.com/zalando/go-keyring":     "pkg/config",
	"github.com/schollz/progressbar/v3": "pkg/progress",
	"github.com/bmatcuk/doublestar/v4":  "pkg/source/tree",
	"github.com/minio/md5-simd":         "pkg/source",
	"github.com/rivo/uniseg":            "pkg/progress",
	"github.com/spf13/cobra":            "cmd/multiput",
	"github.com/aws/aws-sdk-go-v2":      "pkg/provider/s3",
	"github.com/minio/minio-go/v7":      "",
}

// TestLayout holds docs/project-layout.md to the tree: it lists each package, and
// each file that it names is there.
func TestLayout(t *testing.T) {
	b, err := docs.Pages.ReadFile("project-layout.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, p := range list(t, "./cmd/...", "./pkg/...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		if at := path.Base(name) + "/"; !strings.Contains(page, "\n"+name+"/ ") && !strings.Contains(page, "; "+at) {
			t.Errorf("docs/project-layout.md does not list %s", name)
		}
	}
	_, walk, _ := strings.Cut(page, "## One upload")
	named := regexp.MustCompile("`([a-z_]+\\.go)`").FindAllStringSubmatch(walk, -1)
	for _, m := range named {
		found, err := filepath.Glob("../../*/*/" + m[1])
		if err != nil || len(found) == 0 {
			t.Errorf("docs/project-layout.md names %s, which is not there", m[1])
		}
	}
	if len(named) < 10 {
		t.Errorf("it names %d files", len(named))
	}
}

// TestImportRules holds the walls between the rooms: upload and transport know
// no provider, no store and no screen, and each big library has one room.
func TestImportRules(t *testing.T) {
	seen := 0
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ours := knows[name]
		if !ours {
			continue // support for tests; the binary's own list is below
		}
		seen++
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s must not import %s", name, own)
			}
			for lib, room := range only {
				if (i == lib || strings.HasPrefix(i, lib+"/")) && name != room {
					t.Errorf("%s must not import %s: only %q may", name, i, room)
				}
			}
		}
	}
	if seen != len(knows) {
		t.Errorf("%d of the %d packages were found", seen, len(knows))
	}
}

// TestBinaryHoldsNoTestSupport looks through everything that the program is
// made of.
func TestBinaryHoldsNoTestSupport(t *testing.T) {
	for _, p := range list(t, "-deps", "./cmd/multiput") {
		name, ours := strings.CutPrefix(p.ImportPath, module)
		if _, known := knows[name]; ours && !known {
			t.Errorf("the program contains %s", name)
		}
		if strings.HasPrefix(p.ImportPath, "github.com/minio/minio") || strings.HasPrefix(p.ImportPath, "github.com/santhosh-tekuri/") || p.ImportPath == "testing" {
			t.Errorf("the program contains %s", p.ImportPath)
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(out); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return all
}
