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
var times = flag.Int("times", 1, "factor of the duration of random damage and kills")

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

// TestWaitingAndUnconfirmed: what an upload of several requests needs comes back
// from the disk.
func TestWaitingAndUnconfirmed(t *testing.T) {
	j := &Journal{Dir: filepath.Join(t.TempDir(), "journal")}
	target := upload.Target{Provider: "p", Name: "a"}
	reopen := func(do func(upload.Entry)) {
		t.Helper()
		e, err := j.Open(t.Context(), target, "/a")
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		do(e)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rec := upload.Record{State: upload.Sending, Upload: upload.Upload{
		ID: "u1", File: upload.File{Path: "/a", Name: "a", Size: 2}, Parts: []upload.Part{{Number: 1, Size: 2}}, Renewable: true, Data: []byte(`{"n":1}`),
	}}
	receipt := upload.Receipt{Part: 1, ETag: "e", Verified: true, VerifiedBy: upload.DigestCRC64NVME, Unconfirmed: []byte(`{"x":1}`)}
	reopen(func(e upload.Entry) {
		must(e.Begin(t.Context(), rec))
		must(e.Receive(t.Context(), receipt))
	})
	reopen(func(e upload.Entry) {
		r, err := e.Load(t.Context())
		must(err)
		if got := r.Receipts[1]; !got.Verified || got.VerifiedBy != upload.DigestCRC64NVME || string(got.Unconfirmed) != `{"x":1}` {
			t.Errorf("the receipt is %+v", got)
		}
		receipt.Unconfirmed, receipt.Value = nil, "v"
		must(e.Receive(t.Context(), receipt))
		must(e.Advance(t.Context(), upload.Completing, nil))
		r, err = e.Load(t.Context())
		must(err)
		r.Upload.Data = []byte(`{"n":2}`)
		must(e.Begin(t.Context(), *r))
	})
	reopen(func(e upload.Entry) {
		r, err := e.Load(t.Context())
		must(err)
		if string(r.Upload.Data) != `{"n":2}` || r.State != upload.Completing || r.Receipts[1].Unconfirmed != nil || r.Receipts[1].Value != "v" {
			t.Errorf("the record is %+v", r)
		}
		must(e.Advance(t.Context(), upload.Waiting, &upload.Outcome{Result: upload.Result{Value: "f"}}))
		if err := e.Advance(t.Context(), upload.Sending, nil); err == nil {
			t.Error("what was completed is sent again")
		}
	})
	reopen(func(e upload.Entry) {
		r, err := e.Load(t.Context())
		must(err)
		if r.State != upload.Waiting || r.Outcome == nil || r.Outcome.Result.Value != "f" {
			t.Errorf("the record is %+v", r)
		}
		must(e.Advance(t.Context(), upload.Done, &upload.Outcome{Result: upload.Result{Value: "g"}}))
		must(e.Advance(t.Context(), upload.Delivered, nil))
	})
}
