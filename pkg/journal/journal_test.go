package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

var target = upload.Target{Provider: "openai", Base: "https://api.example/v1", Name: "a.bin", Type: "text/plain", Options: json.RawMessage(`{"purpose":"x"}`)}

func newJournal(t testing.TB) *Journal {
	t.Helper()
	return &Journal{Path: filepath.Join(t.TempDir(), "state", "journal.db")}
}

func openEntry(t testing.TB, j *Journal, path string) upload.Entry {
	t.Helper()
	e, err := j.Open(t.Context(), target, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func loadRecord(t testing.TB, e upload.Entry) *upload.Record {
	t.Helper()
	r, err := e.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantJournalError checks the class of an error and what it says.
func wantJournalError(t testing.TB, err error, says ...string) {
	t.Helper()
	if !errors.Is(err, upload.ErrJournal) {
		t.Fatalf("error %v, want one that wraps upload.ErrJournal", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// sample is a record of a few parts.
func sample() upload.Record {
	return upload.Record{
		State: upload.Sending,
		Upload: upload.Upload{
			ID:    "up-1",
			File:  upload.File{Path: "/data/a.bin", Name: "a.bin", Type: "text/plain", Size: 30, ModTime: time.Unix(1_700_000_000, 5).UTC()},
			Parts: []upload.Part{{Number: 0, Offset: 0, Size: 10}, {Number: 1, Offset: 10, Size: 10}, {Number: 7, Offset: 20, Size: 10}},
		},
		Presigned: []upload.Presigned{{Part: 7, URL: "https://store.example/7?sig=x", Header: map[string]string{"X-A": "b"}}},
	}
}

// fill sets every field that v has, however deep, to something.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+int64(*n), int64(*n)).UTC()))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"<&>":%d}`, *n))))
		return
	case map[int]upload.Receipt:
		var r upload.Receipt
		fill(reflect.ValueOf(&r).Elem(), n)
		r.Part = *n
		v.Set(reflect.ValueOf(map[int]upload.Receipt{*n: r}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, val := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(val, n)
		v.SetMapIndex(key, val)
	case reflect.String:
		v.SetString(fmt.Sprintf("%d \"<&>\"\n\t=", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint32, reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	default:
		panic("a kind of field that this test does not know: " + v.Kind().String())
	}
}

// Whatever fields the structs of package upload have or get: they come back.
func TestEveryFieldComesBack(t *testing.T) {
	var r upload.Record
	n := 0
	fill(reflect.ValueOf(&r).Elem(), &n)
	j := newJournal(t)
	e, err := j.Open(t.Context(), r.Target, r.Path)
	must(t, err)
	defer e.Close()
	r.Path, _ = filepath.Abs(r.Path)
	same := func(r upload.Record) {
		t.Helper()
		must(t, e.Begin(t.Context(), r))
		got := loadRecord(t, e)
		if got.Updated.Before(r.Updated) {
			t.Errorf("updated %v", got.Updated)
		}
		r.Updated = got.Updated
		if !reflect.DeepEqual(*got, r) {
			t.Errorf("got  %+v\nwant %+v", *got, r)
		}
	}
	done, sending, renewed := r, r, r
	done.State, done.Presigned = upload.Done, nil
	same(done)
	sending.State, sending.Outcome, sending.Upload.Renewable = upload.Sending, nil, false
	same(sending)
	// Presigned that can be had again are not kept, whoever hands them in.
	renewed.State, renewed.Outcome = upload.Sending, nil
	must(t, e.Begin(t.Context(), renewed))
	if got := loadRecord(t, e); !got.Upload.Renewable || got.Presigned != nil {
		t.Errorf("renewable %t, urls %v", got.Upload.Renewable, got.Presigned)
	}
	if err := e.Begin(t.Context(), r); err == nil {
		t.Error("an outcome without an end was taken")
	}
}

func TestNamesThatAreNotText(t *testing.T) {
	j := newJournal(t)
	odd := target
	odd.Name = "b\xff.bin"
	path := filepath.Join(t.TempDir(), "b\xff.bin")
	e, err := j.Open(t.Context(), odd, path)
	must(t, err)
	defer e.Close()
	r := sample()
	r.Upload.File.Path, r.Upload.File.Name = path, odd.Name
	r.Upload.File.ModTime = time.Date(30_000, 1, 1, 0, 0, 0, 0, time.UTC)
	must(t, e.Begin(t.Context(), r))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: "\xfe\"\n\x00", ETag: "é\xff=\" x=1"}))
	got := loadRecord(t, e)
	if got.Path != path || got.Target.Name != odd.Name || got.Upload.File.Path != path || got.Upload.File.Name != odd.Name {
		t.Errorf("names: %q %q %q %q", got.Path, got.Target.Name, got.Upload.File.Path, got.Upload.File.Name)
	}
	if r := got.Receipts[1]; r.Value != "\xfe\"\n\x00" || r.ETag != "é\xff=\" x=1" {
		t.Errorf("receipt %q %q", r.Value, r.ETag)
	}
	moved, err := j.Moved(t.Context(), odd, 30)
	must(t, err)
	if len(moved) != 1 {
		t.Errorf("found %d records of an odd name", len(moved))
	}
}

func TestStates(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	if r := loadRecord(t, e); r != nil {
		t.Fatalf("a record of nothing: %+v", r)
	}
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 0, Value: "a"}, upload.Receipt{Part: 1, Value: "b"}))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: "c", Checkpointed: true}))
	must(t, e.Receive(t.Context()))
	if r := loadRecord(t, e); len(r.Receipts) != 2 || r.Receipts[1].Value != "c" || !r.Receipts[1].Checkpointed || len(r.Presigned) != 1 {
		t.Fatalf("%+v", r)
	}
	f := sample().Upload.File
	f.ModTime = f.ModTime.Add(time.Hour)
	must(t, e.Refresh(t.Context(), f, 0, 99))
	if r := loadRecord(t, e); len(r.Receipts) != 1 || !r.Upload.File.ModTime.Equal(f.ModTime) || r.Path != "/data/a.bin" {
		t.Fatalf("%+v", r)
	}
	must(t, e.Advance(t.Context(), upload.Completing, nil))
	must(t, e.Advance(t.Context(), upload.Sending, nil)) // clearly refused
	must(t, e.Advance(t.Context(), upload.Completing, nil))
	if err := e.Advance(t.Context(), upload.Done, nil); err == nil {
		t.Fatal("done without an outcome")
	}
	must(t, e.Advance(t.Context(), upload.Done, &upload.Outcome{Result: upload.Result{Value: "file-1", Reply: json.RawMessage("not json")}, Verification: "etag"}))
	if err := e.Advance(t.Context(), upload.Sending, nil); err == nil {
		t.Fatal("back from done")
	}
	r := loadRecord(t, e)
	if r.State != upload.Done || r.Presigned != nil || r.Outcome == nil || r.Outcome.Result.Value != "file-1" || string(r.Outcome.Result.Reply) != `"not json"` {
		t.Fatalf("%+v %+v", r, r.Outcome)
	}
	must(t, e.Advance(t.Context(), upload.Delivered, nil))
	if r := loadRecord(t, e); r.State != upload.Delivered || r.Outcome == nil || len(r.Receipts) != 1 {
		t.Fatalf("%+v", r)
	}
	if err := e.Advance(t.Context(), "finished", nil); err == nil {
		t.Fatal("a state that there is not")
	}
	// Nothing leads on from a corrupt one.
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Advance(t.Context(), upload.Completing, nil))
	must(t, e.Advance(t.Context(), upload.Corrupt, nil))
	for _, s := range []upload.State{upload.Sending, upload.Completing, upload.Done, upload.Delivered} {
		if err := e.Advance(t.Context(), s, &upload.Outcome{}); err == nil {
			t.Fatalf("from corrupt to %s", s)
		}
	}
	if r := loadRecord(t, e); r.State != upload.Corrupt || r.Outcome != nil || r.Presigned != nil {
		t.Fatalf("%+v", r)
	}
	// A new upload takes the place of the old, all of it.
	must(t, e.Begin(t.Context(), sample()))
	if r := loadRecord(t, e); r.State != upload.Sending || len(r.Receipts) != 0 || r.Outcome != nil || len(r.Presigned) != 1 {
		t.Fatalf("%+v", r)
	}
	must(t, e.Close())
	must(t, e.Close())
	if err := e.Receive(t.Context(), upload.Receipt{}); err == nil {
		t.Error("a closed entry writes")
	}
}

// Asking creates nothing, and what is not recorded cannot be changed.
func TestNothingThere(t *testing.T) {
	j := newJournal(t)
	if moved, err := j.Moved(t.Context(), target, 30); err != nil || moved != nil {
		t.Fatal(moved, err)
	}
	if _, err := os.Stat(filepath.Dir(j.Path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("asking created the directory: %v", err)
	}
	e := openEntry(t, j, "/data/a.bin")
	if r := loadRecord(t, e); r != nil {
		t.Fatal(r)
	}
	wantJournalError(t, e.Receive(t.Context(), upload.Receipt{Part: 1}), j.Path, "gone")
	wantJournalError(t, e.Advance(t.Context(), upload.Completing, nil), "gone")
	if _, err := os.Stat(j.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("that created a journal: %v", err)
	}
	other := openEntry(t, j, "/data/b.bin")
	must(t, other.Begin(t.Context(), sample()))
	wantJournalError(t, e.Refresh(t.Context(), upload.File{}), "gone")
	// Someone moves the journal away; someone its directory.
	must(t, os.Rename(j.Path, j.Path+".old"))
	wantJournalError(t, other.Receive(t.Context(), upload.Receipt{Part: 1}), j.Path, "gone")
	must(t, os.RemoveAll(filepath.Dir(j.Path)))
	wantJournalError(t, other.Receive(t.Context(), upload.Receipt{Part: 1}), j.Path, "gone")
	if r := loadRecord(t, other); r != nil {
		t.Fatal(r)
	}
	must(t, other.Begin(t.Context(), sample())) // begins anew
}

func TestMovedAndAdopted(t *testing.T) {
	j := newJournal(t)
	ids := map[string]string{"/old/1": "up-1", "/old/2": "up-2", "/old/3": "up-3", "/old/4": "up-4"}
	for _, path := range []string{"/old/1", "/old/2", "/old/3", "/old/4"} {
		e := openEntry(t, j, path)
		r := sample()
		r.Upload.ID = ids[path]
		must(t, e.Begin(t.Context(), r))
		must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: r.Upload.ID}))
		if path == "/old/4" {
			must(t, e.Advance(t.Context(), upload.Done, &upload.Outcome{}))
			must(t, e.Advance(t.Context(), upload.Delivered, nil))
		}
		if path != "/old/3" {
			must(t, e.Close())
		}
	}
	for name, n := range map[string]int64{"size": 31, "target": 30} {
		other := target
		if name == "target" {
			other.Options = json.RawMessage(`{"purpose":"y"}`)
		}
		if moved, err := j.Moved(t.Context(), other, n); err != nil || len(moved) != 0 {
			t.Errorf("another %s: %v %v", name, moved, err)
		}
	}
	moved, err := j.Moved(t.Context(), target, 30)
	must(t, err)
	var order []string
	for _, r := range moved {
		order = append(order, r.Upload.ID)
		if r.Receipts[1].Value != r.Upload.ID {
			t.Errorf("%s without its receipt", r.Upload.ID)
		}
	}
	if strings.Join(order, " ") != "up-3 up-2 up-1" {
		t.Fatalf("found %v", order)
	}

	e := openEntry(t, j, "/new/a.bin")
	must(t, e.Begin(t.Context(), sample())) // in the way
	// Another holds it.
	if err := e.Adopt(t.Context(), moved[0]); !errors.Is(err, upload.ErrBusy) {
		t.Fatalf("adopt a held one: %v", err)
	}
	// The file as it is now goes with it, whether r says the old path or the new.
	now := moved[1]
	now.Path, now.Upload.File.ModTime = "/new/a.bin", time.Unix(1_800_000_000, 0).UTC()
	must(t, e.Adopt(t.Context(), now))
	r := loadRecord(t, e)
	if r.Upload.ID != "up-2" || r.Path != "/new/a.bin" || r.Upload.File.Path != "/new/a.bin" || r.Receipts[1].Value != "up-2" ||
		len(r.Presigned) != 1 || len(r.Upload.Parts) != 3 || !r.Upload.File.ModTime.Equal(now.Upload.File.ModTime) {
		t.Fatalf("%+v", r)
	}
	if r := loadRecord(t, openEntry(t, j, "/old/2")); r != nil {
		t.Fatalf("left behind: %+v", r)
	}
	// One that was taken meanwhile.
	f := openEntry(t, j, "/new/b.bin")
	if err := f.Adopt(t.Context(), moved[1]); err == nil || !errors.Is(err, upload.ErrBusy) {
		t.Fatalf("adopt one that %s has: %v", "/new/a.bin", err)
	}
	must(t, f.Adopt(t.Context(), moved[2]))
	if r := loadRecord(t, f); r.Upload.ID != "up-1" || r.Path != "/new/b.bin" {
		t.Fatalf("%+v", r)
	}
	must(t, f.Receive(t.Context(), upload.Receipt{Part: 7, Value: "z"}))
}

func TestBusy(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	for _, other := range []*Journal{j, {Path: j.Path}} {
		_, err := other.Open(t.Context(), target, "/data/a.bin")
		var busy *upload.BusyError
		if !errors.As(err, &busy) || !strings.Contains(busy.Holder, fmt.Sprintf("process %d on ", os.Getpid())) {
			t.Fatalf("a second hand: %v", err)
		}
	}
	openEntry(t, j, "/data/b.bin")
	must(t, e.Close())
	openEntry(t, j, "/data/a.bin")
}

func TestPrune(t *testing.T) {
	j := newJournal(t)
	states := map[string]upload.State{"/old/sending": upload.Sending, "/old/done": upload.Done, "/old/delivered": upload.Delivered}
	for path, s := range states {
		e := openEntry(t, j, path).(*entry)
		r := sample()
		r.Target, r.Path, r.State, r.Updated = target, path, s, time.Now().Add(-keep-time.Hour)
		if ended(s) {
			r.Outcome = new(upload.Outcome)
		}
		made, err := encode(r)
		must(t, err)
		must(t, j.commit(t.Context(), true, func(uploads *bbolt.Bucket) error { return made.store(uploads, e.key) }))
		must(t, e.Close())
	}
	must(t, openEntry(t, j, "/new").Begin(t.Context(), sample()))
	for path, s := range states {
		if r := loadRecord(t, openEntry(t, j, path)); (r == nil) != (s == upload.Delivered) {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

// The clock jumps, by years and both ways: what is not delivered is never
// dropped, is found, and goes on.
func TestClockJumps(t *testing.T) {
	j := newJournal(t)
	times := map[string]time.Time{
		"long ago": time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), "years ahead": time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), "the end": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	states := []upload.State{upload.Sending, upload.Completing, upload.Done, upload.Delivered}
	for when, at := range times {
		for _, s := range states {
			e := openEntry(t, j, "/"+when+"/"+string(s)).(*entry)
			r := sample()
			r.Target, r.Path, r.State, r.Updated, r.Started = target, e.path, s, at, at
			if ended(s) {
				r.Outcome = new(upload.Outcome)
			}
			made, err := encode(r)
			must(t, err)
			must(t, j.commit(t.Context(), true, func(uploads *bbolt.Bucket) error { return made.store(uploads, e.key) }))
			must(t, e.Close())
		}
	}
	// Now it is now again, then the end of time, and then its beginning.
	must(t, openEntry(t, j, "/new").Begin(t.Context(), sample()))
	for _, now := range times {
		must(t, j.commit(t.Context(), false, func(uploads *bbolt.Bucket) error {
			_, err := prune(uploads, "", now.Add(-keep))
			return err
		}))
	}
	for when, at := range times {
		for _, s := range states[:3] {
			e := openEntry(t, j, "/"+when+"/"+string(s))
			r := loadRecord(t, e)
			if r == nil || r.State != s || !r.Updated.Equal(storable(at)) {
				t.Errorf("%s, %s: %+v", when, s, r)
				continue
			}
			if s != upload.Done {
				must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: "t"}))
			}
		}
	}
	rs, err := j.Moved(t.Context(), target, sample().Upload.File.Size)
	if must(t, err); len(rs) != 1+3*len(times) {
		t.Errorf("%d uploads are found, want %d", len(rs), 1+3*len(times))
	}
}

func TestPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	want := map[string]os.FileMode{
		filepath.Dir(j.Path): os.ModeDir | 0o700, j.Path: 0o600, j.Path + ".lock": 0o600, j.Path + ".locks": os.ModeDir | 0o700,
		e.(*entry).held.path: 0o600,
	}
	check := func() {
		t.Helper()
		for path, mode := range want {
			if info, err := os.Stat(path); err != nil || info.Mode() != mode {
				t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, mode)
			}
		}
	}
	check()
	must(t, e.Close())
	// A cache restored it for everybody to read.
	must(t, os.Chmod(j.Path, 0o644))
	loadRecord(t, openEntry(t, &Journal{Path: j.Path}, "/data/a.bin"))
	check()
}

func TestRelativePathAndLinks(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	must(t, os.Mkdir("real", 0o700))
	j := &Journal{Path: "real/journal.db"}
	must(t, openEntry(t, j, "a.bin").Begin(t.Context(), sample()))
	t.Chdir(t.TempDir())
	if err := os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "link")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	other := &Journal{Path: filepath.Join(dir, "link", "journal.db")}
	if _, err := other.Open(t.Context(), target, filepath.Join(dir, "a.bin")); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("the same journal by another name: %v", err)
	}
}

// heldLock takes the journal's lock as another process would.
func heldLock(t *testing.T, j *Journal) (release func()) {
	t.Helper()
	must(t, j.prepare())
	must(t, os.MkdirAll(filepath.Dir(j.path), 0o700))
	release, err := (&Journal{path: j.path}).lock(t.Context())
	must(t, err)
	return release
}

// Calls that overlap share a commit: however many wait, one transaction takes
// them.
func TestCallsShareACommit(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	stranger := openEntry(t, j, "/data/b.bin") // has no record: refused, and harms nobody
	before := j.commits

	release := heldLock(t, j)
	const n = 50
	queued := make(chan struct{}, n+1)
	j.queued = func() { queued <- struct{}{} }
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := e.Receive(t.Context(), upload.Receipt{Part: i, Value: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if err := stranger.Receive(t.Context(), upload.Receipt{Part: 1}); !errors.Is(err, upload.ErrJournal) {
			t.Error(err)
		}
	})
	for range n + 1 {
		<-queued
	}
	release()
	wg.Wait()
	if got := j.commits - before; got != 1 {
		t.Errorf("%d calls took %d commits, want 1", n, got)
	}
	if r := loadRecord(t, e); len(r.Receipts) != n {
		t.Errorf("%d of %d receipts", len(r.Receipts), n)
	}
}

// Whoever stops waiting takes only his own call back.
func TestContext(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	release := heldLock(t, j)
	queued := make(chan struct{}, 4)
	j.queued = func() { queued <- struct{}{} }

	impatient, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	stored := make(chan error)
	for i := range 2 {
		go func() { gaveUp <- e.Receive(impatient, upload.Receipt{Part: i}) }() // one of them leads
		<-queued
	}
	go func() { stored <- e.Receive(t.Context(), upload.Receipt{Part: 7}) }()
	<-queued
	cancel()
	for range 2 {
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	if _, err := e.Load(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("load: %v", err)
	}
	if _, err := j.Open(impatient, target, "/data/c.bin"); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	release()
	must(t, <-stored)
	if r := loadRecord(t, e); len(r.Receipts) != 1 {
		t.Errorf("receipts %v", r.Receipts)
	}
}

// Waiting has an end, at which all who wait are told; and a lock that comes
// too late is given back.
func TestWaitEnds(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	release := heldLock(t, j)
	j.Wait = 20 * time.Millisecond
	errs := make(chan error)
	for i := range 4 {
		go func() { errs <- e.Receive(t.Context(), upload.Receipt{Part: i}) }()
	}
	for range 4 {
		err := <-errs
		if !errors.Is(err, upload.ErrUnfinished) || errors.Is(err, upload.ErrJournal) || !strings.Contains(err.Error(), j.path+".lock") {
			t.Errorf("waited for too long: %v", err)
		}
	}
	if _, err := e.Load(t.Context()); !errors.Is(err, upload.ErrUnfinished) {
		t.Errorf("load: %v", err)
	}
	release()
	j.Wait = 0
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1}))
}

// Another program has the file open, and knows nothing of our lock.
func TestForeignReader(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	db, err := bbolt.Open(j.Path, 0o600, nil)
	must(t, err)
	j.Wait = 20 * time.Millisecond
	if err := e.Receive(t.Context(), upload.Receipt{Part: 1}); !errors.Is(err, upload.ErrUnfinished) {
		t.Errorf("while another program has it: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	must(t, db.Close())
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1}))
}
