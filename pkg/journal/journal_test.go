package journal

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/multiput/multiput/pkg/internal/journaltest"
	"github.com/multiput/multiput/pkg/upload"
)

// times makes the tests that are left to chance longer: go test -times 100.
var times = flag.Int("times", 1, "how many times as long to go on with random damage and kills")

var target = journaltest.Target

func sample() upload.Record { return journaltest.Record() }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newJournal(t testing.TB) *Journal {
	t.Helper()
	j := &Journal{Dir: filepath.Join(t.TempDir(), "state", "journal")}
	j.Warn = func(text string) { t.Errorf("warned: %s", text) }
	return j
}

func openEntry(t testing.TB, j *Journal, path string) upload.Entry {
	t.Helper()
	e, err := j.Open(t.Context(), target, path)
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func loadRecord(t testing.TB, e upload.Entry) *upload.Record {
	t.Helper()
	r, err := e.Load(t.Context())
	must(t, err)
	return r
}

// files are the names in the directory.
func files(t testing.TB, j *Journal) []string {
	t.Helper()
	entries, err := os.ReadDir(j.Dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) (upload.Journal, upload.Journal) {
		j := newJournal(t)
		return j, &Journal{Dir: j.Dir}
	})
}
