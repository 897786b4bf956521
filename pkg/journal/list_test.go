package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/multiput/multiput/pkg/upload"
)

func list(t testing.TB, j *Journal) []Listed {
	t.Helper()
	all, err := j.List(t.Context())
	must(t, err)
	return all
}

func TestList(t *testing.T) {
	j := newJournal(t)
	if all := list(t, j); all != nil {
		t.Errorf("where there is no journal: %v", all)
	}
	if _, err := os.Stat(j.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made a journal: %v", err)
	}
	first := openEntry(t, j, "/data/a.bin")
	r := sample()
	r.Upload.Held = []upload.Range{{Offset: 30, Size: 5}}
	must(t, first.Begin(t.Context(), r))
	must(t, first.Receive(t.Context(), upload.Receipt{Part: 1, Value: "x"}, upload.Receipt{Part: 7, Value: "y"}))
	second := openEntry(t, j, "/data/b.bin")
	must(t, second.Begin(t.Context(), sample()))
	must(t, second.Close())

	all := list(t, j)
	if len(all) != 2 || all[0].ID != ID(target, "/data/a.bin") || all[1].ID != ID(target, "/data/b.bin") {
		t.Fatalf("listed %+v", all)
	}
	if a := all[0]; a.PartsStored != 2 || a.BytesStored != 25 {
		t.Errorf("%d parts and %d bytes are stored", a.PartsStored, a.BytesStored)
	}
	want := *loadRecord(t, first)
	want.Receipts = nil
	if !reflect.DeepEqual(all[0].Record, want) {
		t.Errorf("listed  %+v\nof      %+v", all[0].Record, want)
	}
	if h := all[0].Holder; h == nil || h.PID != os.Getpid() || !strings.Contains(h.String(), fmt.Sprintf("process %d on ", os.Getpid())) {
		t.Errorf("the holder is %v", h)
	}
	if h := all[1].Holder; h != nil {
		t.Errorf("it was closed, and its holder is %v", h)
	}
}

// Whoever looks takes locks for an instant, and nobody may take that for a
// process that is at an upload.
func TestLookingDisturbsNobody(t *testing.T) {
	j := newJournal(t)
	j.noSync = true
	must(t, openEntry(t, j, "/data/other").Begin(t.Context(), sample()))
	e, err := j.Open(t.Context(), target, "/data/a.bin")
	must(t, err)
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Close())
	ctx, stop := context.WithCancel(t.Context())
	var lookers sync.WaitGroup
	looked := new(atomic.Int64)
	for range 2 {
		lookers.Go(func() {
			own := &Journal{Path: j.Path}
			for ctx.Err() == nil {
				if _, err := own.List(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				looked.Add(1)
			}
		})
	}
	for n := 0; n < 2000 || looked.Load() < 50; n++ {
		e, err := j.Open(t.Context(), target, "/data/a.bin")
		if err != nil {
			t.Errorf("after %d times: %v", n, err)
			break
		}
		must(t, e.Close())
	}
	stop()
	lookers.Wait()
}

func TestFind(t *testing.T) {
	j := newJournal(t)
	if r, err := j.Find(t.Context(), target, "/data/a.bin"); r != nil || err != nil {
		t.Errorf("where there is no journal: %v, %v", r, err)
	}
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	must(t, e.Receive(t.Context(), upload.Receipt{Part: 1, Value: "x"}))
	want := loadRecord(t, e)
	r, err := j.Find(t.Context(), target, "/data/a.bin")
	var busy *upload.BusyError
	if !errors.As(err, &busy) || !strings.Contains(busy.Holder, "process") {
		t.Errorf("while it is held: %v", err)
	}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("found %+v, want %+v", r, want)
	}
	must(t, e.Close())
	if r, err = j.Find(t.Context(), target, "/data/a.bin"); err != nil || !reflect.DeepEqual(r, want) {
		t.Errorf("found %+v, %v", r, err)
	}
	if r, err = j.Find(t.Context(), target, "/data/b.bin"); r != nil || err != nil {
		t.Errorf("what is not there: %v, %v", r, err)
	}
}

func TestTakeAndForget(t *testing.T) {
	j := newJournal(t)
	e := openEntry(t, j, "/data/a.bin")
	must(t, e.Begin(t.Context(), sample()))
	id := ID(target, "/data/a.bin")
	if _, err := j.Take(t.Context(), id); !errors.Is(err, upload.ErrBusy) {
		t.Fatalf("while it is held: %v", err)
	}
	must(t, e.Close())
	for _, bad := range []string{"", "../../x", id[:31], strings.ToUpper(id)} {
		if _, err := j.Take(t.Context(), bad); !errors.Is(err, upload.ErrJournal) {
			t.Errorf("take %q: %v", bad, err)
		}
	}
	taken, err := j.Take(t.Context(), id)
	must(t, err)
	if _, err := j.Open(t.Context(), target, "/data/a.bin"); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("while it is taken: %v", err)
	}
	r, err := taken.Load(t.Context())
	if err != nil || r == nil || r.Upload.ID != "up-1" {
		t.Fatalf("loaded %+v, %v", r, err)
	}
	must(t, taken.Forget(t.Context()))
	must(t, taken.Forget(t.Context())) // is no error twice
	if r, err := taken.Load(t.Context()); r != nil || err != nil {
		t.Errorf("forgotten: %+v, %v", r, err)
	}
	must(t, taken.Close())
	if err := taken.Forget(t.Context()); err == nil {
		t.Error("forgot without the lock")
	}
	if all := list(t, j); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
	must(t, j.inspect())
}

func TestPruneByHand(t *testing.T) {
	j := newJournal(t)
	if n, err := j.Prune(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("where there is no journal: %d, %v", n, err)
	}
	age := map[string]time.Duration{"/old/delivered": 2 * time.Hour, "/new/delivered": time.Minute, "/old/sending": 2 * time.Hour, "/old/completing": 2 * time.Hour, "/old/done": 2 * time.Hour}
	for path, old := range age {
		r := sample()
		r.Target, r.Path, r.State, r.Updated = target, path, upload.State(strings.Split(path, "/")[2]), time.Now().Add(-old)
		if ended(r.State) {
			r.Outcome = new(upload.Outcome)
		}
		made, err := encode(r)
		must(t, err)
		e := openEntry(t, j, path).(*entry)
		must(t, j.commit(t.Context(), true, func(uploads *bbolt.Bucket) error { return made.store(uploads, e.key) }))
		must(t, e.Close())
	}
	must(t, openEntry(t, j, "/never/begun").Close())
	held := openEntry(t, j, "/held/not/begun")

	n, err := j.Prune(t.Context(), time.Now().Add(-time.Hour))
	must(t, err)
	if n != 1 {
		t.Errorf("%d were forgotten", n)
	}
	delete(age, "/old/delivered")
	for _, l := range list(t, j) {
		if _, ok := age[l.Record.Path]; !ok {
			t.Errorf("%s is still there", l.Record.Path)
		}
		delete(age, l.Record.Path)
	}
	if len(age) > 0 {
		t.Errorf("forgotten too: %v", age)
	}
	exists := func(path string) bool {
		_, err := os.Stat(j.lockPath(ID(target, path)))
		return err == nil
	}
	if !exists("/held/not/begun") || !exists("/old/sending") {
		t.Error("a lock file that is needed was removed")
	}
	if (exists("/old/delivered") || exists("/never/begun")) != (runtime.GOOS == "windows") {
		t.Error("lock files that nobody needs are left")
	}
	if _, err := j.Open(t.Context(), target, "/held/not/begun"); !errors.Is(err, upload.ErrBusy) {
		t.Errorf("its lock was lost: %v", err)
	}
	must(t, held.Close())
}

// While lock files are removed, no upload is in two hands, and none is refused
// that nobody has.
func TestSweepKeepsLocks(t *testing.T) {
	j := newJournal(t)
	j.noSync = true
	must(t, openEntry(t, j, "/data/other").Begin(t.Context(), sample()))
	ctx, stop := context.WithCancel(t.Context())
	swept := new(atomic.Int64)
	var sweeper sync.WaitGroup
	sweeper.Go(func() {
		own := &Journal{Path: j.Path, noSync: true}
		for ctx.Err() == nil {
			if _, err := own.Prune(ctx, time.Now()); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			swept.Add(1)
		}
	})
	var (
		hands  atomic.Int64
		takers sync.WaitGroup
		took   atomic.Int64
	)
	for range 2 {
		takers.Go(func() {
			for n := 0; n < 3000 || swept.Load() < 50; n++ {
				e, err := j.Open(t.Context(), target, "/data/a.bin")
				if errors.Is(err, upload.ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if hands.Add(1) != 1 {
					t.Error("it is in two hands")
				}
				took.Add(1)
				runtime.Gosched()
				hands.Add(-1)
				must(t, e.Close())
			}
		})
	}
	takers.Wait()
	stop()
	sweeper.Wait()
	t.Logf("taken %d times, swept %d times", took.Load(), swept.Load())
}
