package e2e

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// state is every file that may come to be in the journal.
var state = regexp.MustCompile(`^multiput/(|journal/(|history\.ndjson|[0-9a-f]{32}\.(db|json)))$`)

// Whatever ids, keys and names a server answers with, and whatever the file is
// called there, nothing is written but the journal.
func TestRepliesWriteNothing(t *testing.T) {
	t.Parallel()
	const up = `../../../../../../escaped`
	for what, c := range map[string]struct{ api, fault, name string }{
		"an id":       {"openai", `create:patch={"id":"` + up + `"}`, ""},
		"an id, once": {"archetype", `create:patch={"upload_id":"` + up + `"}`, ""},
		"a drive":     {"archetype", `create:patch={"upload_id":"C:\\escaped"}`, ""},
		"a key":       {"upscayl", `complete:patch={"data":{"key":"` + up + `","path":"` + up + `"}}`, ""},
		"a result":    {"archetype", `complete:patch={"file_uid":"` + up + `","file_name":"` + up + `"}`, ""},
		"its name":    {"archetype", "", up},
		"its name, 2": {"upscayl", "", "/etc/../" + up},
		"its name, 3": {"fileai", "", `..\..\escaped`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.api, 64<<10)
			if c.fault != "" {
				if err := r.server.Faults.Add(c.fault); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"upload", r.file(t, 100_000), "-p", c.api, "--retries", "0"}
			if c.name != "" {
				args = append(args, "--name", c.name)
			}
			if c.api == "openai" {
				args = append(args, "--set", "purpose=batch")
			}
			_, messages, code := r.said(t, args...)
			t.Logf("exit code %d: %s", code, messages)
			if left := r.server.Faults.Unfired(); len(left) > 0 {
				t.Errorf("these did not happen: %v", left)
			}
			err := filepath.WalkDir(filepath.Dir(r.dir), func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				name, err := filepath.Rel(r.dir, path)
				if err != nil {
					return err
				}
				name = filepath.ToSlash(name)
				if d.IsDir() {
					name += "/"
				}
				switch {
				case name == "../", name == "./", name == "file.bin", strings.HasPrefix(name, "served/"), state.MatchString(name):
				default:
					t.Errorf("%s was written", name)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
