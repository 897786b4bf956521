package upload_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

// half runs an upload that is killed when some receipts are durable: those of
// parts 1 to n, of ten.
func (r *rig) half(n int) {
	r.t.Helper()
	j := r.concurrency
	r.concurrency = 1
	r.cloud.onPut = func(_ int, p upload.Part) error {
		if p.Number > n {
			r.journal.killed.Store(true)
			return errKilled
		}
		return nil
	}
	if _, err := r.run(r.t.Context()); err == nil {
		r.t.Fatal("it was killed")
	}
	r.cloud.onPut, r.concurrency = nil, j
	r.journal.restart()
	if rec := r.journal.of("u1"); rec == nil || len(rec.Receipts) != n {
		r.t.Fatalf("the journal has %+v", rec)
	}
}

func flipped(content []byte, at ...int) []byte {
	c := slices.Clone(content)
	for _, i := range at {
		c[i] ^= 0xff
	}
	return c
}

func TestResume(t *testing.T) {
	tests := []struct {
		name       string
		set        func(r *rig) // before the first run
		change     func(r *rig) // between the two
		startsOver bool         // it starts over, and gives the old one up
		resent     []int        // of the parts stored before, if it goes on
		warns      string
	}{
		{name: "nothing changed"},
		{name: "touched", change: func(r *rig) { r.write(r.content, 1) }},
		{name: "touched, checkpointed", set: (*rig).checkpoints, change: func(r *rig) { r.write(r.content, 1) }},
		{name: "touched, stored without MD5", set: func(r *rig) { r.checksum = upload.ChecksumOff }, change: func(r *rig) { r.write(r.content, 1) }},
		{name: "a stored part changed", change: func(r *rig) { r.write(flipped(r.content, 1500), 1) }, resent: []int{2}, warns: "1 of its stored parts"},
		{name: "two stored parts and others changed", change: func(r *rig) { r.write(flipped(r.content, 0, 4999, 7000), 1) }, resent: []int{1, 5}, warns: "2 of its stored parts"},
		{name: "changed, stored without MD5", set: func(r *rig) { r.checksum = upload.ChecksumOff }, change: func(r *rig) { r.write(flipped(r.content, 1500), 1) }, resent: []int{2}, warns: "1 of its"},
		{name: "all changed", change: func(r *rig) { r.write(random(10_001)[1:], 1) }, resent: []int{1, 2, 3, 4, 5}, warns: "5 of its stored parts"},
		{name: "an older version came back", change: func(r *rig) { r.write(r.content, -60) }},
		{name: "what is not stored changed", change: func(r *rig) { r.write(flipped(r.content, 9999), 1) }},
		{name: "a checkpointed part changed", set: (*rig).checkpoints, change: func(r *rig) { r.write(flipped(r.content, 1500), 1) }, startsOver: true, warns: "cannot be replaced"},
		{name: "another part than the checkpointed changed", set: (*rig).checkpoints, change: func(r *rig) { r.write(flipped(r.content, 9500), 1) }},
		{name: "larger", change: func(r *rig) { r.write(random(10_500), 1) }, startsOver: true, warns: "had 10000 bytes and has 10500"},
		{name: "smaller", change: func(r *rig) { r.write(r.content[:9999], 1) }, startsOver: true, warns: "had 10000 bytes and has 9999"},
		{name: "larger, of the same time", change: func(r *rig) { r.write(random(10_500), 0) }, startsOver: true},
		{name: "empty", change: func(r *rig) { r.write(nil, 1) }, startsOver: true},
		{name: "restart", change: func(r *rig) { r.restart = true }, startsOver: true, warns: "requested"},
		{name: "restart, checkpointed", set: (*rig).checkpoints, change: func(r *rig) { r.restart = true }, startsOver: true},
		{name: "not expired", set: func(r *rig) { r.cloud.expires = time.Now().Add(time.Hour) }},
		{name: "expired", set: func(r *rig) { r.cloud.ends, r.cloud.expires = true, time.Now().Add(time.Hour) }, change: func(*rig) { <-time.After(2 * time.Hour) }, startsOver: true, warns: "the upload expired at"},
		{name: "expired by our clock alone", set: func(r *rig) { r.cloud.expires = time.Now().Add(time.Hour) }, change: func(*rig) { <-time.After(2 * time.Hour) }},
		{name: "expired when it began", set: func(r *rig) { r.cloud.expires = time.Now().Add(-time.Second) }},
		{name: "gone", change: func(r *rig) { r.cloud.uploads["u1"].gone = true }, startsOver: true, warns: "is gone"},
		{name: "a journal whose plan is not one", change: func(r *rig) {
			for _, rec := range r.journal.records {
				rec.Upload.Parts[3].Offset++
			}
		}, startsOver: true, warns: "plan"},
		{name: "abort fails", set: func(r *rig) { r.cloud.onAbort = func(int) error { return trouble(500) } }, change: func(r *rig) { r.restart = true }, startsOver: true, warns: "could not abort"},
		{name: "abort is not offered", set: func(r *rig) { r.cloud.onAbort = func(int) error { return errors.ErrUnsupported } }, change: func(r *rig) { r.restart = true }, startsOver: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				if test.set != nil {
					test.set(r)
				}
				r.half(5)
				if test.change != nil {
					test.change(r)
				}
				// The stored parts that changed are durable until Refresh drops them.
				rep := r.ok()
				var warnings []string
				for _, w := range told[upload.Warning](r) {
					warnings = append(warnings, progress.Text(w))
				}
				if all := strings.Join(warnings, "\n"); !strings.Contains(all, test.warns) || (test.warns == "") != (all == "") && !test.startsOver {
					t.Errorf("warnings %q, want %q", all, test.warns)
				}
				if test.startsOver {
					wantAborts := 1
					if test.name == "gone" {
						wantAborts = 0
					}
					if rep.Upload != "u2" || len(r.cloud.aborted) != wantAborts || rep.PartsReused != 0 {
						t.Errorf("report %+v, %d aborted; want a new upload", rep, len(r.cloud.aborted))
					}
					r.once("u2")
					return
				}
				if rep.Upload != "u1" || rep.PartsReused != 5-len(test.resent) || len(r.cloud.aborted) != 0 {
					t.Errorf("report %+v, %d aborted; want the same upload", rep, len(r.cloud.aborted))
				}
				for part, n := range r.cloud.counts("u1") {
					want := 1
					if slices.Contains(test.resent, part) {
						want = 2
					}
					if n != want {
						t.Errorf("part %d was stored %d times, want %d", part, n, want)
					}
				}
				if p := told[upload.Planned](r)[0]; p.Stored != rep.PartsReused || p.StoredBytes != int64(1000*rep.PartsReused) {
					t.Errorf("planned %+v", p)
				}
			})
		})
	}
}

// The answer to complete is not known, or known and not delivered, and the file
// is another now.
func TestResumeOfAnEndedUpload(t *testing.T) {
	for name, test := range map[string]struct {
		set        func(r *rig)
		change     func(r *rig)
		startsOver bool
		aborts     int
	}{
		"done, the same":                {set: undelivered},
		"done, touched":                 {set: undelivered, change: func(r *rig) { r.write(r.content, 1) }},
		"done, changed":                 {set: undelivered, change: func(r *rig) { r.write(flipped(r.content, 0), 1) }, startsOver: true},
		"done, larger":                  {set: undelivered, change: func(r *rig) { r.write(random(3500), 1) }, startsOver: true},
		"done, restart":                 {set: undelivered, change: func(r *rig) { r.restart = true }, startsOver: true},
		"in doubt, the same":            {set: unanswered},
		"in doubt, touched":             {set: unanswered, change: func(r *rig) { r.write(r.content, 1) }},
		"in doubt, changed":             {set: unanswered, change: func(r *rig) { r.write(flipped(r.content, 0), 1) }, startsOver: true, aborts: 1},
		"in doubt, restart":             {set: unanswered, change: func(r *rig) { r.restart = true }, startsOver: true, aborts: 1},
		"in doubt, expired":             {set: func(r *rig) { r.cloud.expires = time.Now().Add(-1); unanswered(r) }},
		"in doubt, with held, touched":  {set: func(r *rig) { taken(r); unanswered(r) }, change: func(r *rig) { r.write(r.content, 1) }, startsOver: true},
		"in doubt, with held, the same": {set: func(r *rig) { taken(r); unanswered(r) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.cloud.already = true
				test.set(r)
				if _, err := r.run(t.Context()); err == nil {
					t.Fatal("the first run has to fail")
				}
				r.deliver, r.cloud.loseComplete, r.cloud.onComplete = nil, nil, nil
				if test.change != nil {
					test.change(r)
				}
				rep := r.ok()
				if (rep.Upload == "u2") != test.startsOver || len(r.cloud.aborted) != test.aborts {
					t.Errorf("%s, %d aborted", rep.Upload, len(r.cloud.aborted))
				}
				r.once("u1")
			})
		})
	}
}

func undelivered(r *rig) { r.deliver = func(upload.Report) error { return errors.New("broken pipe") } }

func unanswered(r *rig) {
	r.cloud.loseComplete = func(int) error { return silence() }
	r.cloud.onComplete = func(n int) error {
		if n > 1 {
			return silence()
		}
		return nil
	}
}

// taken makes the upload one of which the cloud had the first part before.
func taken(r *rig) {
	r.cloud.held = []upload.Range{{Offset: 0, Size: 1000}}
	r.cloud.digest = upload.DigestCRC32C
	for i := range 1000 {
		r.content[i] = heldByte
	}
	r.write(r.content, 0)
}

// TestMoved: another runner checks out elsewhere.
func TestMoved(t *testing.T) {
	move := func(r *rig) {
		r.t.Helper()
		to := filepath.Join(r.t.TempDir(), "file.bin")
		if err := os.Rename(r.path, to); err != nil {
			r.t.Fatal(err)
		}
		r.path = to
	}
	for name, test := range map[string]struct {
		before     func(r *rig)
		change     func(r *rig)
		startsOver bool
	}{
		"moved":                       {change: move},
		"moved and touched":           {change: func(r *rig) { move(r); r.write(r.content, 1) }},
		"moved, checkpointed":         {before: func(r *rig) { r.checkpoints() }, change: move},
		"moved, the rest is another":  {change: func(r *rig) { move(r); r.write(flipped(r.content, 9000), 1) }},
		"moved, a part is another":    {change: func(r *rig) { move(r); r.write(flipped(r.content, 4999), 1) }, startsOver: true},
		"moved, another size":         {change: func(r *rig) { move(r); r.write(random(10_001), 1) }, startsOver: true},
		"moved and renamed":           {change: func(r *rig) { move(r); rename(r) }, startsOver: true},
		"moved, and to begin again":   {change: func(r *rig) { move(r); r.restart = true }, startsOver: true},
		"copied":                      {change: func(r *rig) { r.path = filepath.Join(r.t.TempDir(), "file.bin"); r.write(r.content, 0) }},
		"moved, and another has it":   {change: func(r *rig) { r.hold(); move(r) }, startsOver: true},
		"moved, and nothing is there": {before: func(r *rig) { r.cloud.first = 100 }, change: move}, // half stores none of 100 to 109
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				if test.before != nil {
					test.before(r)
				}
				if name == "moved, and nothing is there" {
					r.half(0)
					test.startsOver = true
				} else {
					r.half(5)
				}
				old := r.path
				test.change(r)
				rep := r.ok()
				want := "u1"
				if test.startsOver {
					want = "u2"
				}
				if rep.Upload != want {
					t.Errorf("resumed %s, want %s", rep.Upload, want)
				}
				if !test.startsOver {
					r.once("u1")
					if rep.PartsReused != 5 || len(r.journal.records) != 1 || rep.File.Path != r.path {
						t.Errorf("report %+v, %d records", rep, len(r.journal.records))
					}
				} else if rec := r.journal.of("u1"); rec == nil || rec.Path != old {
					t.Errorf("the other's record is %+v", rec)
				}
			})
		})
	}
}

func rename(r *rig) {
	to := filepath.Join(filepath.Dir(r.path), "other.bin")
	if err := os.Rename(r.path, to); err != nil {
		r.t.Fatal(err)
	}
	r.path = to
}

// hold takes the lock of the upload, as another process.
func (r *rig) hold() {
	rec := r.journal.of("u1")
	if _, err := r.journal.Open(r.t.Context(), rec.Target, rec.Path); err != nil {
		r.t.Fatal(err)
	}
}

// A moved upload that is done is delivered from its new place.
func TestMovedAndDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		undelivered(r)
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrUndelivered) {
			t.Fatal(err)
		}
		r.deliver = nil
		to := filepath.Join(t.TempDir(), "file.bin")
		if err := os.Rename(r.path, to); err != nil {
			t.Fatal(err)
		}
		r.path = to
		if rep := r.ok(); rep.Upload != "u1" || r.cloud.completes != 1 || rep.BytesSent != 0 {
			t.Errorf("%+v, %d completes", rep, r.cloud.completes)
		}
	})
}

// A file that is moved to where another was, of which the journal knows, is found
// all the same: no second object is made of it.
func TestMovedOverAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		undelivered(r)
		here, there := r.path, filepath.Join(t.TempDir(), "file.bin")
		for _, first := range []bool{true, false} {
			if r.path = here; first {
				r.path = there
				r.write(flipped(r.content, 10), 0)
			} else {
				r.write(random(3000), 1)
			}
			if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrUndelivered) {
				t.Fatal(err)
			}
		}
		r.deliver = nil
		if err := os.Rename(here, there); err != nil {
			t.Fatal(err)
		}
		r.path = there
		rep, err := r.run(t.Context())
		if err != nil || rep.Upload != "u2" || len(r.cloud.objects) != 2 {
			t.Errorf("%v, %+v, %d objects", err, rep, len(r.cloud.objects))
		}
	})
}

// While a changed file is compared, an interrupt is heard.
func TestInterruptedWhileComparing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.half(5)
		r.write(r.content, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("ctrl-c")
		cancel(why)
		if _, err := r.run(ctx); !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
		r.ok()
		r.once("u1")
	})
}
