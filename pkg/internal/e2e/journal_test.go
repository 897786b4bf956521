package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The file of an upload that cannot be read is moved aside, with one warning, and
// the upload starts over; another upload is not affected. One of a later version
// ends the upload with exit 73 before anything is sent, and is not touched.
func TestJournalFileThatCannotBeRead(t *testing.T) {
	for what, damage := range map[string]func(path string) error{
		"zeroed":  func(path string) error { return os.WriteFile(path, make([]byte, 1<<15), 0o600) },
		"cut off": func(path string) error { return os.Truncate(path, 9000) },
		"a text":  func(path string) error { return os.WriteFile(path, []byte("my notes\n"), 0o600) },
		"removed": os.Remove,
		"newer": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, bytes.ReplaceAll(b, []byte("version1"), []byte("version9")), 0o600)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "upscayl", 64<<10)
			file := r.file(t, 5*64<<10)
			other := filepath.Join(r.dir, "other.bin")
			if err := os.WriteFile(other, []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"upload", file, "-p", "upscayl", "-j", "1"}
			for _, args := range [][]string{args, {"upload", other, "-p", "upscayl"}} {
				if _, code := r.multiput(t, []string{killEnv + "=receipt=1+"}, args...); code != -1 {
					t.Fatalf("exit code %d, want to be killed", code)
				}
			}
			all, _, _ := r.said(t, "list", "--jq", ".uploads[] | select(.name == \"file.bin\").id")
			path := filepath.Join(r.dir, "multiput", "journal", strings.TrimSpace(all)+".db")
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			damaged, err := os.ReadFile(path)
			if err != nil && what != "removed" {
				t.Fatal(err)
			}
			if out, messages, code := r.said(t, "list", "--jq", ".uploads[] | \"\\(.name) \\(.state)\""); code != 0 || out != "file.bin unreadable\nother.bin sending\n" || strings.Count(messages, path) != 1 {
				t.Errorf("list: exit code %d: %s%s", code, out, messages)
			}
			before := len(r.server.Requests())
			for _, command := range []string{"show", "abort", "resume"} {
				out, messages, code := r.said(t, command, strings.TrimSpace(all))
				if code != exitJournal || out != "" || strings.Count(messages, path) != 1 || !strings.Contains(messages, "hint: multiput abort --local "+all[:8]) {
					t.Errorf("%s: exit code %d: %s%s", command, code, out, messages)
				}
			}
			out, messages, code := r.said(t, args...)
			kept := path
			switch what {
			case "removed":
				if code != 0 || strings.Count(messages, "warning: ") != 1 || !strings.Contains(messages, path+" was missing") {
					t.Errorf("exit code %d: %s", code, messages)
				}
				return
			case "newer":
				if code != exitJournal || out != "" || len(r.server.Requests()) != before || !strings.Contains(messages, "hint: use --journal DIR for another directory") {
					t.Errorf("exit code %d, %d requests: %s%s", code, len(r.server.Requests())-before, out, messages)
				}
			default:
				aside, err := filepath.Glob(path + ".damaged-*")
				if err != nil || len(aside) != 1 || code != 0 || strings.Count(messages, "warning: ") != 1 || !strings.Contains(messages, "It was moved to "+aside[0]) {
					t.Fatalf("moved aside: %q, %v; exit code %d: %s", aside, err, code, messages)
				}
				kept = aside[0]
			}
			if now, err := os.ReadFile(kept); err != nil || !bytes.Equal(now, damaged) {
				t.Errorf("%s is not what it was: %v", kept, err)
			}
			if _, messages, code := r.said(t, "upload", other, "-p", "upscayl", "--jq", ".parts_reused"); code != 0 {
				t.Errorf("the other upload: exit code %d: %s", code, messages)
			}
		})
	}
}

// A journal file of the version before, or any other, at the path of the
// directory: exit 73 before anything is sent.
func TestJournalIsAFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	path := filepath.Join(r.dir, "journal.db")
	before := bytes.Repeat([]byte("multiput journal"), 1000)
	if err := os.WriteFile(path, before, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"upload", r.file(t, 100), "-p", "upscayl"}, {"list"}, {"show", "x"}, {"resume"}, {"abort", "x"}, {"prune"}, {"upload", "--dry-run", r.file(t, 100), "-p", "upscayl"}} {
		out, messages, code := r.said(t, append(args, "--journal", path)...)
		if code != exitJournal || out != "" || len(r.server.Requests()) != 0 || !strings.Contains(messages, "it is a file: it was not touched") || !strings.Contains(messages, "hint: use --journal DIR for another directory") {
			t.Errorf("%s: exit code %d: %s%s", args[0], code, out, messages)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("it was touched: %v", err)
	}
}

// A state directory that others may read is closed to them.
func TestOpenStateDirectory(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	state := filepath.Join(r.dir, "multiput")
	for _, dir := range []string{state, filepath.Join(state, "journal")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if _, messages, code := r.said(t, "upload", r.file(t, 100), "-p", "upscayl"); code != 0 {
		t.Fatalf("exit code %d: %s", code, messages)
	}
	for _, dir := range []string{state, filepath.Join(state, "journal")} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info.Mode(), err)
		}
	}
}

// A history that cannot be read is a warning for who asks of unfinished uploads, and
// an error for who asks of finished ones. An upload ends with 73 before anything is
// sent.
func TestHistoryCannotBeRead(t *testing.T) {
	r := newRig(t, "upscayl", 64<<10)
	file := r.file(t, 2*64<<10)
	args := []string{"upload", file, "-p", "upscayl"}
	if _, code := r.multiput(t, []string{killEnv + "=receipt=1+"}, args...); code != -1 {
		t.Fatalf("exit code %d, want to be killed", code)
	}
	path := filepath.Join(r.dir, "multiput", "journal", "history.ndjson")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	id, messages, code := r.said(t, "list", "--jq", ".uploads[].id")
	if code != 0 || len(id) != 33 || strings.Count(messages, path) != 1 {
		t.Fatalf("list: exit code %d: %s%s", code, id, messages)
	}
	for _, args := range [][]string{{"show", id[:8]}, {"__complete", "show", ""}} {
		if out, messages, code := r.said(t, args...); code != 0 || !strings.Contains(out, id[:8]) {
			t.Errorf("%s: exit code %d: %s%s", args[0], code, out, messages)
		}
	}
	before := len(r.server.Requests())
	for _, args := range [][]string{args, {"list", "--all"}, {"list", "--state", "delivered"}} {
		if out, messages, code := r.said(t, args...); code != exitJournal || out != "" || strings.Count(messages, path+": ") != 1 {
			t.Errorf("%s: exit code %d: %s%s", args, code, out, messages)
		}
	}
	if n := len(r.server.Requests()) - before; n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
