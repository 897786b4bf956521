package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A journal that cannot be used ends every command with exit 73 before anything
// is sent, and says what to do. A damaged one is moved aside; what is not ours,
// or of a later version, is not touched.
func TestJournalThatCannotBeUsed(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(b []byte) []byte
		says  []string
		aside bool // whether it is moved away, and the next run begins anew
	}{
		"damaged": {func(b []byte) []byte {
			for i := len(b) / 4; i < len(b)/2; i++ {
				b[i] ^= 0xff
			}
			return b
		}, []string{"it was moved to ", "the parts already stored are still at the provider"}, true},
		"truncated": {func(b []byte) []byte { return b[:len(b)/2] }, []string{"it was moved to "}, true},
		"a text":    {func([]byte) []byte { return []byte(strings.Repeat("my notes\n", 1000)) }, []string{"not a multiput journal", "it was not touched"}, false},
		"another file": {func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte("multiput journal"), []byte("another's things"))
		}, []string{"it was not touched"}, false},
		"of a later version": {func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("version1"), []byte("version2")) },
			[]string{"newer version of multiput", "it was not touched; use that version, or another journal"}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRehearsal(t, "upscayl", 64<<10)
			file := r.file(t, 5*64<<10)
			args := []string{"upload", file, "-p", "upscayl", "-j", "1"}
			if _, code := r.multiput(t, []string{killEnv + "=receipt=3+"}, args...); code != -1 {
				t.Fatalf("exit code %d, want to be killed", code)
			}
			path := filepath.Join(r.dir, "multiput", "journal")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoilt := c.spoil(append([]byte{}, b...))
			if bytes.Equal(b, spoilt) {
				t.Fatal("nothing was done to it")
			}
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			before := len(r.server.Requests())
			out, talk, code := r.said(t, args...)
			if code != exitJournal || out != "" || len(r.server.Requests()) != before {
				t.Errorf("exit code %d, %d requests: %s%s", code, len(r.server.Requests())-before, out, talk)
			}
			for _, want := range append(c.says, "hint: --journal PATH names another journal") {
				if !strings.Contains(talk, want) {
					t.Errorf("it does not say %q: %s", want, talk)
				}
			}
			moved, err := filepath.Glob(path + ".damaged-*")
			if err != nil {
				t.Fatal(err)
			}
			kept := path
			if c.aside {
				if len(moved) != 1 {
					t.Fatalf("moved aside: %q", moved)
				}
				kept = moved[0]
			} else if len(moved) > 0 {
				t.Errorf("moved aside: %q", moved)
			}
			if now, err := os.ReadFile(kept); err != nil || !bytes.Equal(now, spoilt) {
				t.Errorf("%s is not what it was: %v", kept, err)
			}
			_, talk, code = r.said(t, args...)
			if want := map[bool]int{true: 0, false: exitJournal}[c.aside]; code != want {
				t.Errorf("the next run: exit code %d, want %d: %s", code, want, talk)
			}
			if c.aside {
				r.cmpObject(t, file)
				return
			}
			if _, talk, code = r.said(t, append(args, "--journal", path+".other")...); code != 0 {
				t.Errorf("with another journal: exit code %d: %s", code, talk)
			}
		})
	}
}
