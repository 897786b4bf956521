package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// Examine tells what is not over, and what is wrong, and touches nothing.
func TestExamine(t *testing.T) {
	j := newJournal(t)
	if open, found, err := j.Examine(t.Context()); found || err != nil || len(open) > 0 {
		t.Errorf("of no journal it says %v, %t, %v", open, found, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(j.Path)); err == nil && len(entries) > 0 {
		t.Errorf("it made %v", entries)
	}
	s := newSpecimen(t)
	if err := os.MkdirAll(filepath.Dir(j.Path), 0o700); err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(s.image, []byte(keyVersion+schemaVersion), []byte(keyVersion+"9"), 1)
	broken := bytes.Clone(s.image)
	for i := 2 * s.pageSize; i < len(broken); i++ {
		broken[i] ^= 0x55 // all but the two first pages, and what identifies it
	}
	for name, c := range map[string]struct {
		image []byte
		says  []string // nothing: it is in order
	}{
		"in order": {image: s.image},
		"cut off":  {s.image[:len(s.image)/2], []string{"damaged", "the next upload moves it aside"}},
		"newer":    {newer, []string{"newer version", "it was not touched"}},
		"foreign":  {[]byte(strings.Repeat("hello\n", 2000)), []string{"not a multiput journal"}},
		"broken":   {broken, []string{"journal"}},
	} {
		if err := os.WriteFile(j.Path, c.image, 0o600); err != nil {
			t.Fatal(err)
		}
		open, found, err := (&Journal{Path: j.Path}).Examine(t.Context())
		switch {
		case len(c.says) > 0:
			wantJournalError(t, err, c.says...)
		case err != nil || len(open) != 3:
			t.Errorf("%s: %d uploads, %v", name, len(open), err)
		}
		if !found {
			t.Errorf("%s: it is not found", name)
		}
		for _, r := range open {
			if want := s.now[r.Path]; want == nil || len(r.Receipts) != len(want.Receipts) || r.State == upload.Delivered {
				t.Errorf("%s: %+v", name, r)
			}
		}
		after, err := os.ReadFile(j.Path)
		if err != nil || !bytes.Equal(after, c.image) {
			t.Errorf("%s: the file was touched (%v)", name, err)
		}
		if aside, err := filepath.Glob(j.Path + ".damaged*"); err != nil || len(aside) > 0 {
			t.Errorf("%s: %v, %v", name, aside, err)
		}
	}
}
