package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// oddNames are names whose bytes must come out as they went in.
var oddNames = []string{
	"two  blanks.bin", " at the ends ", "Screenshot 9.41.07\u202fAM.png", "no\u00a0break\u3000wide\u2003em.bin",
	"a\u2028line\u202egnp.exe", "ideographic\u3000", "e\u0301 and \u00e9", "zero\u200bwidth\ufeff", "quote\"s & <b>.bin", "-dash.bin",
}

// A result, a name and a path are for programs: byte for byte.
func TestNamesComeOutAsTheyWentIn(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows takes no such names")
	}
	r := rigFor(t, &sandbox.Server{API: "archetype"})
	list := filepath.Join(r.dir, "list")
	var names []string
	for i, name := range oddNames {
		dir := filepath.Join(r.dir, "files")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Join(dir, name))
	}
	if err := os.WriteFile(list, []byte(strings.Join(names, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"upload", "-q", "-p", "sandbox", "--files-from", list}
	out, messages, code := r.said(t, args...)
	results := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != 0 || len(results) != len(names) {
		t.Fatalf("exit code %d, %q: %s", code, out, messages)
	}
	for i, path := range results {
		// What stdout names is the object: with one byte more or less it is not there.
		b, err := os.ReadFile(path)
		if err != nil || len(b) != 1 || b[0] != byte(i) {
			t.Errorf("%q: %q holds %v, %v", oddNames[i], path, b, err)
		}
	}
	out, messages, code = r.said(t, append(args, "--json")...)
	objects := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != 0 || len(objects) != len(names) {
		t.Fatalf("exit code %d, %q: %s", code, out, messages)
	}
	for i, line := range objects {
		var o struct{ File, Result string }
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.File != names[i] {
			t.Errorf("%q: file is %q, %v", names[i], o.File, err)
		}
		if _, err := os.Stat(o.Result); err != nil {
			t.Errorf("%q: %v", names[i], err)
		}
	}
	// On a page of lines a name is as exact, where no terminal shows it.
	for _, args := range [][]string{{"list", "--all"}, {"show"}} {
		for i := range names {
			if args[0] == "show" {
				id, messages, code := r.said(t, "list", "--all", "--jq", `[.uploads[] | select(.name == "`+strings.ReplaceAll(oddNames[i], `"`, `\"`)+`") | .id][0]`)
				if code != 0 {
					t.Fatalf("%d: %s", code, messages)
				}
				args = []string{"show", strings.TrimSpace(id)}
			}
			if out, messages, code := r.said(t, args...); code != 0 || !strings.Contains(out, names[i]+"\n") {
				t.Errorf("%q is not in what %q prints: %q %s", names[i], args, out, messages)
			}
		}
	}
	out, messages, code = r.said(t, append(args, "--jq", ".file")...)
	if want := strings.Join(names, "\n") + "\n"; code != 0 || out != want {
		t.Errorf("--jq .file gives %q, want %q: %s", out, want, messages)
	}
}

// A name that is not UTF-8 is uploaded, and it is said that the provider may not keep
// it.
func TestANameThatIsNotUTF8(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system takes no such names")
	}
	r := rigFor(t, &sandbox.Server{API: "archetype"})
	file := filepath.Join(r.dir, "caf\xe9.bin")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, messages, code := r.said(t, "upload", file, "-p", "sandbox")
	if code != 0 || !strings.Contains(messages, `caf\xe9.bin: its name is not UTF-8`) {
		t.Errorf("exit code %d, %q: %s", code, out, messages)
	}
	if _, messages, _ := r.said(t, "upload", file, "-p", "sandbox", "--name", "cafe.bin"); strings.Contains(messages, "UTF-8") {
		t.Errorf("with --name: %s", messages)
	}
}

// A line of stderr begins in no name of a file.
func TestNoNameMakesALine(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows takes no such names")
	}
	r := newRig(t, "archetype", 64<<10)
	const forged = "multiput: all is well"
	bad := filepath.Join(r.dir, "a\n"+forged+"\tb")
	good := filepath.Join(r.dir, "b\n"+forged)
	if err := os.Rename(r.file(t, 100_000), good); err != nil {
		t.Fatal(err)
	}
	r.fault(t, "put@times=all:status=418,message=no")
	for _, args := range [][]string{
		{"upload", "-v", "-p", "archetype", bad}, {"upload", "-v", "-p", "archetype", good}, {"upload", "-p", "archetype", "--dry-run", bad},
		{"upload", "-p", "archetype", "--files-from", bad}, {"upload", "-p", "archetype", "--files-from=" + bad}, {"upload", "-p", bad + ".yaml", good},
		{"upload", "-p", "archetype", "--name", "x\n" + forged, good}, {"upload", "-p", "archetype", good, good}, {"upload", "-p", "archetype", "--cacert", bad, good},
		{"upload", "-p", "archetype", "--api-key-file", bad, good}, {"upload", "-p", "archetype", "--config", bad, good}, {"upload", "-p", "archetype", "--journal", filepath.Join(bad, "j"), good},
		{"upload", "-p", "archetype", "--part-size", "x\n" + forged, good}, {"show", "x\n" + forged}, {"x\n" + forged}, {"upload", "--x\n" + forged},
	} {
		_, messages, code := r.said(t, args...)
		for line := range strings.Lines(messages) {
			if strings.HasPrefix(line, forged) || code == 0 {
				t.Errorf("%q: exit code %d: %q", args, code, messages)
			}
		}
	}
}
