// Package journaltest is the contract of upload.Journal, as tests: whatever
// implements it passes.
package journaltest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Target is where the uploads of the suite go.
var Target = upload.Target{Provider: "p", Base: "https://api.example/v1", Name: "a.bin", Options: json.RawMessage(`{"x":"y"}`)}

// Record is an upload of three parts of ten bytes, of which none is stored.
func Record() upload.Record {
	return upload.Record{
		State: upload.Sending, Started: time.Date(2026, 11, 1, 12, 0, 0, 123, time.UTC),
		Upload: upload.Upload{
			ID: "up-1", File: upload.File{Path: "/data/a.bin", Name: "a.bin", Type: "text/plain", Size: 30, ModTime: time.Unix(1e9, 5).UTC(), ID: "7"},
			Expires: time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC),
			Parts:   []upload.Part{{Number: 0, Size: 10}, {Number: 5, Offset: 10, Size: 10}, {Number: 7, Offset: 20, Size: 10}},
			Data:    json.RawMessage(`{"key":"a & b <c>"}`),
		},
		Presigned: []upload.Presigned{{Part: 5, URL: "https://store.example/5?sig=x", Header: map[string]string{"X": "y"}, Expires: time.Date(2026, 11, 1, 13, 0, 0, 0, time.UTC)}},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens an entry, which is closed with the test if it is not before.
func open(t *testing.T, j upload.Journal, path string) upload.Entry {
	t.Helper()
	e, err := j.Open(t.Context(), Target, path)
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func load(t *testing.T, e upload.Entry) *upload.Record {
	t.Helper()
	r, err := e.Load(t.Context())
	must(t, err)
	return r
}

// Run runs the suite. fresh gives an empty journal; another is the same journal
// as another process has it.
func Run(t *testing.T, fresh func(t *testing.T) (j, another upload.Journal)) {
	for name, test := range map[string]func(t *testing.T, j, another upload.Journal){
		"nothing is recorded":     testNothing,
		"a whole life":            testLife,
		"one holder":              testHolder,
		"steps":                   testSteps,
		"refresh":                 testRefresh,
		"what is odd":             testOdd,
		"begin replaces":          testReplace,
		"corrupt":                 testCorrupt,
		"waiting":                 testWaiting,
		"moved":                   testMoved,
		"receipts that overlap":   testOverlap,
		"a context that is over":  testContext,
		"targets are told apart":  testTargets,
		"nothing without a plan":  testWithoutPlan,
		"only what is not issued": testRenewable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, another := fresh(t)
			test(t, j, another)
		})
	}
}

func testNothing(t *testing.T, j, another upload.Journal) {
	r, err := j.Find(t.Context(), Target, "/data/a.bin")
	if r != nil || err != nil {
		t.Errorf("found %v, %v", r, err)
	}
	if rs, err := j.Moved(t.Context(), Target, 30); len(rs) > 0 || err != nil {
		t.Errorf("moved %v, %v", rs, err)
	}
	e := open(t, j, "/data/a.bin")
	if r := load(t, e); r != nil {
		t.Errorf("loaded %v", r)
	}
	must(t, e.Close())
	must(t, e.Close())
	if r := load(t, open(t, another, "/data/a.bin")); r != nil {
		t.Errorf("after an entry that recorded nothing: %v", r)
	}
}

func testLife(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	want := Record()
	must(t, e.Begin(ctx, want))
	want.Target, want.Path, want.Receipts = Target, "/data/a.bin", map[int]upload.Receipt{}
	check := func() {
		t.Helper()
		got := load(t, e)
		if got == nil || time.Since(got.Updated) > time.Minute {
			t.Fatalf("updated: %+v", got)
		}
		want.Updated = got.Updated
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", *got, want)
		}
	}
	reopen := func() {
		t.Helper()
		must(t, e.Close())
		found, err := j.Find(ctx, Target, "/data/a.bin")
		must(t, err)
		want.Updated = found.Updated
		if !reflect.DeepEqual(*found, want) {
			t.Fatalf("found\n%+v\nwant\n%+v", *found, want)
		}
		j, another = another, j
		e = open(t, j, "/data/a.bin")
		check()
	}
	check()
	reopen()
	for _, r := range []upload.Receipt{
		{Part: 5, Value: `"etag"`, CRC32C: 1<<32 - 1, MD5: make([]byte, 16), Checkpointed: true},
		{Part: 0, Value: "\xff\x00\n", ETag: "e"},
		{Part: 5, Value: `"other"`, Verified: true},
		{Part: 7, Value: "c", Own: true, Known: json.RawMessage(`{"md5":"x"}`), Unconfirmed: json.RawMessage(`{"token": "<7>"}`)},
	} {
		must(t, e.Receive(ctx, r))
		want.Receipts[r.Part] = r
		check()
	}
	reopen()
	must(t, e.Advance(ctx, upload.Completing, nil))
	want.State = upload.Completing
	check()
	must(t, e.Advance(ctx, upload.Sending, nil))
	must(t, e.Advance(ctx, upload.Completing, nil))
	reopen()
	o := upload.Outcome{Result: upload.Result{Value: "file-1\u202f ", Reply: json.RawMessage(`{"id":"file-1"}`)}, Verification: "etag"}
	must(t, e.Advance(ctx, upload.Done, &o))
	want.State, want.Outcome, want.Presigned = upload.Done, &o, nil
	check()
	reopen()
	must(t, e.Advance(ctx, upload.Delivered, nil))
	must(t, e.Close())
	// What is delivered is as good as gone.
	e = open(t, another, "/data/a.bin")
	if r := load(t, e); r != nil && r.State != upload.Delivered {
		t.Errorf("delivered: %+v", r)
	}
	if rs, err := another.Moved(ctx, Target, 30); err != nil || len(rs) > 0 {
		t.Errorf("delivered, moved: %v, %v", rs, err)
	}
	must(t, e.Begin(ctx, Record()))
	if r := load(t, e); r == nil || r.State != upload.Sending || len(r.Receipts) > 0 {
		t.Errorf("started again: %+v", r)
	}
}

func testHolder(t *testing.T, j, another upload.Journal) {
	e := open(t, j, "/data/a.bin")
	for _, other := range []upload.Journal{j, another} {
		for range 2 { // before and after something is recorded
			_, err := other.Open(t.Context(), Target, "/data/a.bin")
			var busy *upload.BusyError
			if !errors.Is(err, upload.ErrBusy) || !errors.As(err, &busy) || busy.Holder == "" {
				t.Errorf("taken twice: %v", err)
			}
			if load(t, e) == nil {
				must(t, e.Begin(t.Context(), Record()))
			}
		}
		if _, err := other.Find(t.Context(), Target, "/data/a.bin"); !errors.Is(err, upload.ErrBusy) {
			t.Errorf("found: %v", err)
		}
	}
	must(t, open(t, another, "/data/b.bin").Close())
	must(t, e.Close())
	if r := load(t, open(t, another, "/data/a.bin")); r == nil {
		t.Error("it is gone with its holder")
	}
}

func testSteps(t *testing.T, j, _ upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(ctx, Record()))
	must(t, e.Advance(ctx, upload.Sending, nil))
	must(t, e.Advance(ctx, upload.Completing, nil))
	must(t, e.Advance(ctx, upload.Done, &upload.Outcome{Verification: "none"}))
	must(t, e.Advance(ctx, upload.Done, &upload.Outcome{Verification: "etag"}))
	if r := load(t, e); r.Outcome == nil || r.Outcome.Verification != "etag" {
		t.Errorf("done: %+v", r.Outcome)
	}
}

func testRefresh(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(ctx, Record()))
	must(t, e.Receive(ctx, upload.Receipt{Part: 0, Value: "a"}, upload.Receipt{Part: 5, Value: "b"}, upload.Receipt{Part: 7, Value: "c"}))
	f := Record().Upload.File
	f.ModTime, f.ID = time.Unix(2e9, 0).UTC(), "8"
	must(t, e.Refresh(ctx, f, 5, 7, 99))
	must(t, e.Close())
	r := load(t, open(t, another, "/data/a.bin"))
	if len(r.Receipts) != 1 || r.Receipts[0].Value != "a" || !reflect.DeepEqual(r.Upload.File, f) {
		t.Errorf("refreshed: %+v", r)
	}
}

// Names that are not UTF-8, years that JSON does not know, replies that are not
// JSON, values that are large.
func testOdd(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	target := Target
	target.Name = "\xff\xfe"
	e, err := j.Open(ctx, target, "/data/\x80.bin")
	must(t, err)
	r := Record()
	r.Upload.File.Path, r.Upload.File.Name, r.Upload.File.ModTime = "/data/\x80.bin", "\xff\xfe", time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, e.Begin(ctx, r))
	long := strings.Repeat("l", 100_000)
	must(t, e.Receive(ctx, upload.Receipt{Part: 0, Value: long}))
	must(t, e.Advance(ctx, upload.Completing, nil))
	must(t, e.Advance(ctx, upload.Done, &upload.Outcome{Result: upload.Result{Value: "v", Reply: json.RawMessage("not JSON")}}))
	must(t, e.Close())
	got, err := another.Find(ctx, target, "/data/\x80.bin")
	must(t, err)
	if got.Path != "/data/\x80.bin" || got.Target.Name != "\xff\xfe" || got.Upload.File.Name != "\xff\xfe" || got.Receipts[0].Value != long || len(got.Outcome.Result.Reply) == 0 {
		t.Errorf("%+v", got)
	}
}

func testReplace(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(ctx, Record()))
	must(t, e.Receive(ctx, upload.Receipt{Part: 5, Value: "a"}))
	r := Record()
	r.Upload.ID, r.Presigned = "up-2", nil
	r.Receipts = map[int]upload.Receipt{7: {Part: 7, Value: "z"}}
	must(t, e.Begin(ctx, r))
	must(t, e.Close())
	got := load(t, open(t, another, "/data/a.bin"))
	if got.Upload.ID != "up-2" || len(got.Receipts) != 1 || got.Receipts[7].Value != "z" || got.Presigned != nil {
		t.Errorf("replaced: %+v", got)
	}
}

func testCorrupt(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(ctx, Record()))
	must(t, e.Advance(ctx, upload.Completing, nil))
	must(t, e.Advance(ctx, upload.Corrupt, nil))
	must(t, e.Close())
	if r := load(t, open(t, another, "/data/a.bin")); r.State != upload.Corrupt || r.Presigned != nil {
		t.Errorf("corrupt: %+v", r)
	}
}

func testWaiting(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(ctx, Record()))
	must(t, e.Advance(ctx, upload.Completing, nil))
	must(t, e.Advance(ctx, upload.Waiting, &upload.Outcome{Result: upload.Result{Value: "early"}, Verification: "etag"}))
	must(t, e.Close())
	e = open(t, another, "/data/a.bin")
	if r := load(t, e); r.State != upload.Waiting || r.Outcome == nil || r.Outcome.Result.Value != "early" || r.Presigned != nil {
		t.Errorf("waiting: %+v", r)
	}
	must(t, e.Advance(ctx, upload.Done, &upload.Outcome{Result: upload.Result{Value: "late"}, Verification: "etag"}))
	must(t, e.Close())
	if r := load(t, open(t, j, "/data/a.bin")); r.State != upload.Done || r.Outcome.Result.Value != "late" {
		t.Errorf("done: %+v", r)
	}
}

func testMoved(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	begun := time.Now().Add(-time.Hour).UTC().Round(0)
	for i, path := range []string{"/one/a.bin", "/two/a.bin", "/three/a.bin"} {
		e := open(t, j, path)
		r := Record()
		r.Upload.ID, r.Started, r.Upload.File.Path = path, begun, path
		if i == 2 {
			r.Upload.File.Size++
		}
		must(t, e.Begin(ctx, r))
		must(t, e.Receive(ctx, upload.Receipt{Part: 5, Value: path}))
		must(t, e.Close())
	}
	rs, err := another.Moved(ctx, Target, 30)
	if err != nil || len(rs) != 2 || rs[0].Path != "/two/a.bin" || rs[0].Receipts[5].Value != "/two/a.bin" {
		t.Fatalf("moved: %+v, %v", rs, err)
	}
	e := open(t, another, "/four/a.bin")
	adopted := rs[1]
	adopted.Path, adopted.Upload.File.Path, adopted.Upload.File.ID = "/four/a.bin", "/four/a.bin", "9"
	held := open(t, j, "/one/a.bin")
	if err := e.Adopt(ctx, adopted); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("adopted from a holder: %v", err)
	}
	if r := load(t, e); r != nil {
		t.Errorf("adopted all the same: %+v", r)
	}
	must(t, held.Close())
	must(t, e.Adopt(ctx, adopted))
	r := load(t, e)
	if r.Path != "/four/a.bin" || r.Upload.ID != "/one/a.bin" || r.Upload.File.ID != "9" || r.Receipts[5].Value != "/one/a.bin" || !r.Started.Equal(begun) {
		t.Errorf("adopted: %+v", r)
	}
	must(t, e.Receive(ctx, upload.Receipt{Part: 7, Value: "more"}))
	if old, err := j.Find(ctx, Target, "/one/a.bin"); old != nil || err != nil {
		t.Errorf("left behind: %+v, %v", old, err)
	}
	if err := open(t, j, "/five/a.bin").Adopt(ctx, rs[1]); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("adopted twice: %v", err)
	}
	must(t, e.Close())
	if r, err := j.Find(ctx, Target, "/four/a.bin"); err != nil || len(r.Receipts) != 2 {
		t.Errorf("found: %+v, %v", r, err)
	}
}

func testOverlap(t *testing.T, j, another upload.Journal) {
	e := open(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), Record()))
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() {
			if err := e.Receive(t.Context(), upload.Receipt{Part: n, Value: "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, e.Close())
	if r := load(t, open(t, another, "/data/a.bin")); len(r.Receipts) != 40 {
		t.Errorf("%d of 40 receipts", len(r.Receipts))
	}
}

func testContext(t *testing.T, j, _ upload.Journal) {
	e := open(t, j, "/data/a.bin")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Begin(over, Record()); err == nil {
		t.Error("started")
	}
	if r := load(t, e); r != nil {
		t.Errorf("recorded: %+v", r)
	}
}

func testTargets(t *testing.T, j, another upload.Journal) {
	ctx := t.Context()
	must(t, open(t, j, "/data/a.bin").Begin(ctx, Record()))
	for _, change := range []func(o *upload.Target){
		func(o *upload.Target) { o.Provider += "x" }, func(o *upload.Target) { o.Base += "x" }, func(o *upload.Target) { o.Name += "x" },
		func(o *upload.Target) { o.Type = "text/html" }, func(o *upload.Target) { o.Options = nil },
	} {
		other := Target
		change(&other)
		if r, err := another.Find(ctx, other, "/data/a.bin"); r != nil || err != nil {
			t.Errorf("%+v: %+v, %v", other, r, err)
		}
		if rs, err := another.Moved(ctx, other, 30); len(rs) > 0 || err != nil {
			t.Errorf("%+v: %+v, %v", other, rs, err)
		}
	}
}

func testWithoutPlan(t *testing.T, j, _ upload.Journal) {
	ctx := t.Context()
	e := open(t, j, "/data/a.bin")
	for what, err := range map[string]error{
		"a receipt": e.Receive(ctx, upload.Receipt{Part: 1}), "a state": e.Advance(ctx, upload.Completing, nil), "a file": e.Refresh(ctx, upload.File{}),
	} {
		if !errors.Is(err, upload.ErrJournal) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func testRenewable(t *testing.T, j, another upload.Journal) {
	e := open(t, j, "/data/a.bin")
	r := Record()
	r.Upload.Renewable = true
	r.Presigned = nil // the engine gives none
	must(t, e.Begin(t.Context(), r))
	must(t, e.Close())
	if r := load(t, open(t, another, "/data/a.bin")); r.Presigned != nil || !r.Upload.Renewable {
		t.Errorf("%+v", r)
	}
}
