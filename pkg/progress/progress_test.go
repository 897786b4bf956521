package progress_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

// life is an upload of four parts, one of which was stored before, one of which
// is lost and stored again.
func life() []upload.Event {
	part := func(n int) upload.Part { return upload.Part{Number: n, Offset: int64(n-1) * 100, Size: 100} }
	return []upload.Event{
		upload.Planned{File: upload.File{Name: "a\x1b[31m.bin", Path: "/a.bin", Size: 400}, Upload: "u1", Parts: 4, Stored: 1, StoredBytes: 100},
		upload.Sent{Part: part(2), Bytes: 100},
		upload.Stored{Part: part(2)},
		upload.Retrying{Op: "part 3", Err: errors.New("reset"), Wait: time.Second},
		upload.Stored{Part: part(3)},
		upload.Lost{Part: part(2), Why: "damaged"},
		upload.Stored{Part: part(4)},
		upload.Warning{Text: "odd\r\x1b[2Jtext"},
		upload.Stored{Part: part(2)},
		upload.Ending{},
		upload.Ended{Report: upload.Report{
			File: upload.File{Name: "a.bin", Size: 400}, Parts: 4, PartsReused: 1, BytesSent: 400,
			Elapsed: 2 * time.Second, Verification: upload.VerifiedETag,
		}},
	}
}

func show(t *testing.T, s progress.Style, verbose bool, events []upload.Event) string {
	t.Helper()
	var out strings.Builder
	observe, end := progress.New(&out, s, verbose)
	for _, e := range events {
		observe(e)
	}
	end()
	return out.String()
}

func TestPlain(t *testing.T) {
	got := show(t, progress.Plain, false, life())
	want := `a[31m.bin: 400 B in 4 parts, 1 already stored
a[31m.bin: 50% (2 of 4 parts)
a[31m.bin: 75% (3 of 4 parts)
warning: part 2 is sent again: damaged
warning: odd [2Jtext
a[31m.bin: 400 B in 2s (200 B/s), 4 parts, 1 of them stored before, verified by etag
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if verbose := show(t, progress.Plain, true, life()); !strings.Contains(verbose, "part 3: trying again in 1s: reset\n") {
		t.Errorf("verbose says nothing of the retry:\n%s", verbose)
	}
}

// However often parts are lost and sent again, it is never more than all.
func TestPlainNeverPassesAll(t *testing.T) {
	for _, line := range strings.Split(show(t, progress.Plain, true, append(life()[:9], life()[2:]...)), "\n") {
		if strings.Contains(line, "100%") || strings.Contains(line, "5 of 4") {
			t.Errorf("it says %q", line)
		}
	}
}

func TestNoControlCharacters(t *testing.T) {
	for _, s := range []progress.Style{progress.Plain, progress.JSON} {
		if got := show(t, s, true, life()); strings.ContainsAny(got, "\x1b\r") {
			t.Errorf("%s: %q", s, got)
		}
	}
}

func TestBarEndsItsLine(t *testing.T) {
	if got := show(t, progress.Bar, false, life()[:3]); !strings.HasSuffix(got, "\n") {
		t.Errorf("an upload that stopped leaves the cursor in the line: %q", got)
	}
	got := show(t, progress.Bar, false, life())
	if !strings.HasSuffix(got, "verified by etag\n") || strings.HasSuffix(got, "\n\n") {
		t.Errorf("it ends with %q", got[max(0, len(got)-100):])
	}
}

func TestJSON(t *testing.T) {
	var kinds []string
	for _, line := range strings.Split(strings.TrimSpace(show(t, progress.JSON, false, life())), "\n") {
		var o struct {
			Schema int
			Event  string
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.Schema != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		kinds = append(kinds, o.Event)
	}
	want := "planned stored retrying stored lost stored warning stored completing done"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
}

func TestNone(t *testing.T) {
	if got := show(t, progress.None, true, life()); got != "" {
		t.Errorf("it says %q", got)
	}
}

// What an empty file shows must not divide by its size, and a stored result
// that is delivered again has no plan.
func TestOdd(t *testing.T) {
	for _, s := range []progress.Style{progress.Plain, progress.Bar, progress.JSON} {
		show(t, s, false, []upload.Event{
			upload.Planned{File: upload.File{Name: "empty"}, Parts: 1}, upload.Stored{}, upload.Ended{},
		})
		got := show(t, s, false, []upload.Event{upload.Ended{Report: upload.Report{File: upload.File{Name: "again"}, Verification: upload.Unverified}}})
		if s != progress.JSON && !strings.Contains(got, "again: 0 B in 0s") {
			t.Errorf("%s: %q", s, got)
		}
	}
}
