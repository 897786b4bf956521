package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

// deliver takes an upload to its end.
func deliver(t testing.TB, j *Journal, path string, o upload.Outcome) {
	t.Helper()
	e := openEntry(t, j, path)
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Advance(t.Context(), upload.Done, &o))
	must(t, e.Advance(t.Context(), upload.Delivered, nil))
	must(t, e.Advance(t.Context(), upload.Delivered, nil))
	must(t, e.Close())
}

func historyLine(t testing.TB, n int, delivered time.Time) []byte {
	t.Helper()
	l := Listed{ID: fmt.Sprintf("%032x", n), Record: upload.Record{Path: "/data/x", State: upload.Delivered, Started: delivered, Updated: delivered}}
	return l.encode(mostLine)
}

// What is delivered leaves a line of at most a kibibyte, with all that show tells,
// and no other file.
func TestDelivered(t *testing.T) {
	j := newJournal(t)
	reply := json.RawMessage(`{"id":"file-1","what":"a & b <c>"}`)
	o := upload.Outcome{Result: upload.Result{Value: "two  blanks\u202f.bin ", Reply: reply}, Verification: "etag"}
	deliver(t, j, "/data/a.bin", o)
	o.Result.Reply = json.RawMessage(`"` + strings.Repeat("r", 5000) + `"`)
	deliver(t, j, "/data/b.bin", o)
	o.Result.Value = "\xff\xfe"
	deliver(t, j, "/data/\xff.bin", o)
	if got := files(t, j); len(got) != 1 || got[0] != "history.ndjson" {
		t.Errorf("left are %q", got)
	}
	b, err := os.ReadFile(j.history())
	must(t, err)
	for text := range bytes.Lines(b) {
		if len(text) > 1024 || !json.Valid(text) {
			t.Errorf("%d bytes: %s", len(text), text)
		}
	}
	all, err := (&Journal{Dir: j.Dir}).List(t.Context(), true)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d are listed, %v", len(all), err)
	}
	by := make(map[string]upload.Record)
	for _, l := range all {
		if l.Parts != 3 || l.PartSize != 10 || l.BytesStored != 30 || l.ID != ID(target, l.Record.Path) || l.Record.State != upload.Delivered || l.Holder != nil {
			t.Errorf("listed %+v", l)
		}
		by[l.Record.Path] = l.Record
	}
	a := by["/data/a.bin"]
	if a.Outcome.Result.Value != "two  blanks\u202f.bin " || !bytes.Equal(a.Outcome.Result.Reply, reply) || a.Outcome.Verification != "etag" || a.Upload.ID != "up-1" ||
		a.Target.Name != "a.bin" || a.Target.Base != target.Base || string(a.Target.Options) != string(target.Options) || a.Upload.File.Type != "text/plain" || !a.Upload.File.ModTime.Equal(sample().Upload.File.ModTime) {
		t.Errorf("delivered: %+v", a)
	}
	if b := by["/data/b.bin"]; b.Outcome.Result.Reply != nil || len(b.Target.Options) == 0 {
		t.Errorf("with a long reply: %+v", b)
	}
	if r := by["/data/\xff.bin"]; r.Outcome == nil || r.Outcome.Result.Value != "\xff\xfe" {
		t.Errorf("not UTF-8: %+v", r)
	}
}

// Torn and foreign lines are skipped, the same upload counts once, and what comes
// after a torn line is not lost.
func TestTornHistory(t *testing.T) {
	j := newJournal(t)
	deliver(t, j, "/data/a.bin", upload.Outcome{})
	whole, err := os.ReadFile(j.history())
	must(t, err)
	torn := append([]byte("garbage\n\x00\x00\x00\n{}\n[1]\n"), whole...)
	torn = append(torn, whole...)
	torn = append(torn, whole[:len(whole)/2]...)
	must(t, os.WriteFile(j.history(), torn, 0o600))
	deliver(t, j, "/data/b.bin", upload.Outcome{})
	if all, err := j.List(t.Context(), true); err != nil || len(all) != 2 {
		t.Errorf("%d are listed, %v", len(all), err)
	}
	n, _, err := j.Prune(t.Context(), time.Now().Add(-time.Hour))
	if n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	if b, err := os.ReadFile(j.history()); err != nil || bytes.Count(b, []byte("\n")) != 2 {
		t.Errorf("after prune: %s, %v", b, err)
	}
	if n, _, err := j.Prune(t.Context(), time.Now().Add(time.Hour)); n != 2 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	must(t, os.Remove(j.history()))
	must(t, os.Mkdir(j.history(), 0o700))
	if _, err := j.List(t.Context(), true); !errors.Is(err, upload.ErrJournal) {
		t.Errorf("a directory in its place: %v", err)
	}
	if all, err := j.List(t.Context(), false); err != nil || len(all) != 0 {
		t.Errorf("what is unfinished needs no history: %v, %v", all, err)
	}
}

// What is older than 30 days, or beyond 100,000 lines, is not listed, and is
// dropped when another process adds more.
func TestHistoryIsBounded(t *testing.T) {
	j := newJournal(t)
	deliver(t, j, "/data/a.bin", upload.Outcome{})
	var b bytes.Buffer
	for n := range 100_500 {
		at := time.Now().Add(-time.Hour)
		if n < 200 {
			at = time.Now().Add(-32 * 24 * time.Hour)
		}
		b.Write(historyLine(t, n, at))
	}
	must(t, os.WriteFile(j.history(), b.Bytes(), 0o600))
	all, err := j.List(t.Context(), true)
	if err != nil || len(all) != 100_000 {
		t.Errorf("%d are listed, %v", len(all), err)
	}
	deliver(t, &Journal{Dir: j.Dir}, "/data/b.bin", upload.Outcome{})
	b.Reset()
	text, err := os.ReadFile(j.history())
	must(t, err)
	if n := bytes.Count(text, []byte("\n")); n != 100_000 {
		t.Errorf("%d lines are kept", n)
	}
	if !bytes.Contains(text, []byte("/data/b.bin")) {
		t.Error("the last one is not among them")
	}
	if got := files(t, j); len(got) != 1 {
		t.Errorf("left are %q", got)
	}
}

// Lines that are appended while the history is trimmed, over and over, are all
// there.
func TestTrimmedWhileAppended(t *testing.T) {
	j := newJournal(t)
	must(t, j.prepare(true))
	var appending, trimming sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		trimming.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				// A line that is too old makes each trim rewrite the history.
				if _, err := j.appendHistory(historyLine(t, 1_000_000+i, time.Unix(0, 0))); err != nil {
					t.Error(err)
				}
				if _, err := j.trimHistory(time.Now().Add(-time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	const writers, each = 4, 200
	for w := range writers {
		appending.Go(func() {
			for n := range each {
				if _, err := j.appendHistory(historyLine(t, w*each+n, time.Now())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	appending.Wait()
	close(done)
	trimming.Wait()
	if all, err := j.List(t.Context(), true); err != nil || len(all) != writers*each {
		t.Errorf("%d of %d are listed, %v", len(all), writers*each, err)
	}
}

// FuzzHistory: whatever a history holds, reading it ends, and what is read is
// what can be written again.
func FuzzHistory(f *testing.F) {
	f.Add(historyLine(f, 1, time.Now()))
	f.Add([]byte(`{"v":1,"id":"x"}` + "\n{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		lines, found := parseHistory(b)
		for i, l := range lines {
			if again, ok := parse(l.encode(0)); !ok || again.Record.Path != l.Record.Path {
				t.Errorf("%s: %+v", found[i], again)
			}
		}
	})
}

// FuzzHead: whatever is in a head whose checksum is right, reading it ends, and
// without the checksum it is not believed.
func FuzzHead(f *testing.F) {
	whole := historyLine(f, 1, time.Now())
	f.Add(whole[:len(whole)-len(textSum)-1])
	f.Add([]byte(`{"v":1,"id":"00000000000000000000000000000000","path":["/w=="],"size":-1,"reply":{"a":["]"]}`))
	f.Add([]byte(`{"v":1,"id":"`))
	f.Add([]byte(`{"v":1,"id":`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parse(b); ok {
			t.Skip("it has its checksum")
		}
		if l, ok := parse(append(b, textChecksum(b)...)); ok && !isID(l.ID) {
			t.Errorf("%s", b)
		}
	})
}

// What is written is read back, whatever is in it, and it is JSON.
func TestListedRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 28, 1, 2, 3, 4, time.UTC)
	for _, odd := range []string{"", "plain", "a \"b\" \\ c", "tab\tline\n", "\xff\xfe", "<&>\u2028é", "],[{}", `\`} {
		want := Listed{
			ID: ID(target, "/x"), Parts: 3, PartSize: 10, LastPart: 9, PartsStored: 2, BytesStored: 1 << 40, InFlight: 5, URLsExpire: at,
			Holder: &Holder{PID: 7, Host: odd, Since: at},
			Record: upload.Record{
				Target: upload.Target{Provider: odd, Base: "b", Name: odd, Type: odd, Options: []byte(`{"a":"}],\\\""}`)}, Path: "/" + odd,
				State: upload.Delivered, Started: at, Updated: at,
				Upload:  upload.Upload{ID: odd, Expires: at, TakenOver: true, File: upload.File{Path: "/" + odd, Name: odd, Type: odd, Size: 1 << 50, ModTime: at}},
				Outcome: &upload.Outcome{Verification: odd, Result: upload.Result{Value: odd, Reply: []byte(`[1,{"x":"a,b"}]`)}},
			},
		}
		text := want.encode(0)
		if got, ok := parse(append(text, "  "...)); !ok || !reflect.DeepEqual(got, want) || !json.Valid(text) {
			t.Errorf("%q: got %+v, want %+v of %s", odd, got, want, text)
		}
		for n := range text {
			if _, ok := parse(text[:n]); ok && n < len(text)-1 {
				t.Errorf("%q: the first %d bytes are whole", odd, n)
			}
		}
	}
}

// Prune forgets what is delivered and what is corrupt, and nothing else; what a
// kill left is removed.
func TestPrune(t *testing.T) {
	j := newJournal(t)
	deliver(t, j, "/data/delivered", upload.Outcome{})
	for path, states := range map[string][]upload.State{
		"/data/sending": nil, "/data/in doubt": {upload.Completing}, "/data/done": {upload.Done}, "/data/corrupt": {upload.Corrupt},
	} {
		e := openEntry(t, j, path)
		must(t, e.Begin(t.Context(), sample()))
		for _, s := range states {
			must(t, e.Advance(t.Context(), s, &upload.Outcome{}))
		}
		must(t, e.Close())
	}
	held := openEntry(t, j, "/data/held")
	empty := filepath.Join(j.Dir, strings.Repeat("0", 32)+".db")
	must(t, os.WriteFile(empty, nil, 0o600))
	must(t, os.WriteFile(filepath.Join(j.Dir, strings.Repeat("1", 32)+".json"), []byte("{"), 0o600))
	if n, _, err := j.Prune(t.Context(), time.Now().Add(-time.Hour)); n != 0 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	if n, _, err := j.Prune(t.Context(), time.Now().Add(time.Second)); n != 2 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	must(t, held.Begin(t.Context(), sample()))
	must(t, held.Close())
	if all, err := j.List(t.Context(), true); err != nil || len(all) != 4 {
		t.Errorf("%d are listed, %v", len(all), err)
	}
	if got := files(t, j); len(got) != 9 {
		t.Errorf("left are %q", got)
	}
}

// What is left of a stream is pruned, and goes by age; what may still be resumed
// or is in doubt stays.
func TestLeftOverStreams(t *testing.T) {
	j := newJournal(t)
	begin := func(path string, updated time.Time, states ...upload.State) {
		t.Helper()
		e := openEntry(t, j, path)
		must(t, e.Begin(t.Context(), sample()))
		for _, s := range states {
			must(t, e.Advance(t.Context(), s, &upload.Outcome{}))
		}
		r := *e.(*entry).rec
		r.Updated = updated
		state, err := encodeState(r)
		must(t, err)
		must(t, e.(*entry).commit(func(tx *bbolt.Tx) error { return put(tx, bucketState, state) }))
		e.(*entry).head.Record.Updated = updated
		must(t, e.Close())
	}
	old := time.Now().Add(-31 * 24 * time.Hour)
	begin("/-/stream-1", old)
	begin("/-/stream-2", time.Now().Add(-time.Hour))
	begin("/-/stream-3", old, upload.Completing)
	begin("/-/7:8:0", old) // a file that a shell opened: it can be resumed
	begin("/data/file", old)
	held := openEntry(t, j, "/-/stream-4")
	must(t, held.Begin(t.Context(), sample()))
	paths := func() (paths []string) {
		all, err := j.List(t.Context(), false)
		must(t, err)
		for _, l := range all {
			paths = append(paths, l.Record.Path)
		}
		slices.Sort(paths)
		return paths
	}
	deliver(t, j, "/data/other", upload.Outcome{}) // the first line of the day
	if got, want := paths(), []string{"/-/7:8:0", "/-/stream-2", "/-/stream-3", "/-/stream-4", "/data/file"}; !slices.Equal(got, want) {
		t.Errorf("after a delivery there are %q, want %q", got, want)
	}
	if n, _, err := j.Prune(t.Context(), time.Now().Add(time.Second)); n != 2 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
	if got, want := paths(), []string{"/-/7:8:0", "/-/stream-3", "/-/stream-4", "/data/file"}; !slices.Equal(got, want) {
		t.Errorf("after prune there are %q, want %q", got, want)
	}
}

// Take gives an upload to abort it; what others have stays theirs.
func TestTake(t *testing.T) {
	j, db := begun(t)
	id := strings.TrimSuffix(filepath.Base(db), ".db")
	taken, err := j.Take(t.Context(), id)
	must(t, err)
	if r, err := taken.Load(t.Context()); err != nil || r.Path != "/data/a.bin" || len(r.Receipts) != 2 || r.Target.Name != target.Name {
		t.Errorf("taken %+v, %v", r, err)
	}
	if _, err := j.Open(t.Context(), target, "/data/a.bin"); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("opened: %v", err)
	}
	must(t, taken.Close())
	taken, err = j.Take(t.Context(), id)
	must(t, err)
	must(t, taken.Forget(t.Context()))
	must(t, taken.Close())
	if got := files(t, j); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
	taken, err = j.Take(t.Context(), id)
	must(t, err)
	if r, err := taken.Load(t.Context()); r != nil || err != nil {
		t.Errorf("gone, and it is %+v, %v", r, err)
	}
	must(t, taken.Close())
	if _, err := j.Take(t.Context(), "../../etc/passwd"); !errors.Is(err, upload.ErrJournal) {
		t.Errorf("taken: %v", err)
	}
}

// What is sent shows in the head within a second, and at the end all of it.
func TestProgress(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 0}, upload.Receipt{Part: 0}, upload.Receipt{Part: 99}))
	e.(upload.InFlighter).InFlight(12)
	late := time.After(10 * time.Second)
	for {
		all, err := (&Journal{Dir: j.Dir}).List(t.Context(), false)
		must(t, err)
		if len(all) != 1 || all[0].Holder == nil || all[0].Holder.PID != os.Getpid() {
			t.Fatalf("listed %+v", all)
		}
		if all[0].PartsStored == 1 && all[0].BytesStored == 10 && all[0].InFlight == 12 {
			break
		}
		select {
		case <-late:
			t.Fatalf("listed %+v", all[0])
		case <-time.After(50 * time.Millisecond):
		}
	}
	must(t, e.Close())
	all, err := j.List(t.Context(), false)
	if err != nil || all[0].Holder != nil || all[0].InFlight != 0 || all[0].PartsStored != 1 {
		t.Errorf("listed %+v, %v", all, err)
	}
}

// A shard of another machine's upload stays for as long as the history: no process tells
// this machine when the upload is complete.
func TestPruneKeepsShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal(t)
		target := upload.Target{Provider: "archetype", Name: "a", Share: "plan 1/2"}
		e, err := j.Open(t.Context(), target, "/data/a")
		must(t, err)
		must(t, e.Begin(t.Context(), sample()))
		must(t, e.Close())
		prune := func(want int) {
			if n, _, err := j.Prune(t.Context(), time.Now().Add(time.Second)); n != want || err != nil {
				t.Errorf("pruned %d, %v; want %d", n, err, want)
			}
		}
		prune(0)
		<-time.After(keepFor + time.Hour)
		prune(1)
	})
}
