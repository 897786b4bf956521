package journal

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// A life of random steps: what is read is always what was stored, and after
// each step the file stands its examination, which must never take a sound
// journal for a damaged one.
func TestRandomLife(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	j := &Journal{Path: filepath.Join(t.TempDir(), "journal.db"), noSync: true}
	must(t, j.prepare())
	model := make(map[string]*upload.Record)
	paths := make([]string, 12)
	for i := range paths {
		paths[i] = fmt.Sprintf("/data/%d", i)
	}
	random := func(n int) upload.Receipt {
		r := upload.Receipt{Part: n, Value: strings.Repeat("x", rng.IntN(200)), CRC32C: rng.Uint32(), Checkpointed: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			r.MD5 = make([]byte, 16)
		}
		if rng.IntN(50) == 0 {
			r.ETag = strings.Repeat("long", rng.IntN(5000))
		}
		return r
	}
	steps := make(map[string]int)
	for step := range 120 * *times {
		path := paths[rng.IntN(len(paths))]
		e := openEntry(t, j, path)
		r := model[path]
		kind := rng.IntN(20)
		switch {
		case r == nil || kind == 0:
			steps["begin"]++
			n := []int{0, 1, 3, 200, 3000}[rng.IntN(5)]
			fresh := upload.Record{State: upload.Sending, Started: time.Now().Add(time.Duration(step)).UTC().Round(0), Receipts: make(map[int]upload.Receipt)}
			fresh.Upload = upload.Upload{ID: fmt.Sprint(step), File: upload.File{Path: path, Size: 30}, Renewable: rng.IntN(2) == 0}
			for i := range n {
				fresh.Upload.Parts = append(fresh.Upload.Parts, upload.Part{Number: i, Offset: int64(i), Size: 1})
				if !fresh.Upload.Renewable && rng.IntN(2) == 0 {
					fresh.Presigned = append(fresh.Presigned, upload.Presigned{Part: i, URL: strings.Repeat("u", rng.IntN(300))})
				}
				if rng.IntN(4) == 0 {
					fresh.Receipts[i] = random(i)
				}
			}
			must(t, e.Begin(t.Context(), fresh))
			fresh.Target, fresh.Path = target, path
			model[path] = &fresh
		case kind < 10:
			steps["receive"]++
			var rs []upload.Receipt
			for range 1 + rng.IntN(1+rng.IntN(300)) {
				receipt := random(rng.IntN(1 + len(r.Upload.Parts)))
				rs = append(rs, receipt)
				r.Receipts[receipt.Part] = receipt
			}
			must(t, e.Receive(t.Context(), rs...))
		case kind < 13:
			steps["refresh"]++
			drop := slices.Collect(maps.Keys(r.Receipts))
			rng.Shuffle(len(drop), func(a, b int) { drop[a], drop[b] = drop[b], drop[a] })
			if rng.IntN(3) > 0 && len(drop) > 0 {
				drop = drop[:rng.IntN(len(drop))]
			}
			for _, n := range drop {
				delete(r.Receipts, n)
			}
			r.Upload.File.ModTime = time.Unix(int64(step), 0).UTC()
			must(t, e.Refresh(t.Context(), r.Upload.File, drop...))
		case kind < 16:
			next := map[upload.State]upload.State{upload.Sending: upload.Completing, upload.Completing: upload.Done, upload.Done: upload.Delivered, upload.Delivered: upload.Delivered}[r.State]
			if r.State == upload.Corrupt {
				must(t, e.Close())
				continue
			}
			if next == upload.Done && rng.IntN(4) == 0 {
				next, r.Presigned = upload.Corrupt, nil
			}
			steps[string(next)]++
			var o *upload.Outcome
			if next == upload.Done {
				o = &upload.Outcome{Result: upload.Result{Value: "v", Reply: []byte(`"` + strings.Repeat("r", rng.IntN(9000)) + `"`)}}
				r.Outcome, r.Presigned = o, nil
			}
			r.State = next
			must(t, e.Advance(t.Context(), next, o))
		default:
			from := paths[rng.IntN(len(paths))]
			old := model[from]
			if old == nil || from == path || old.State == upload.Delivered {
				must(t, e.Close())
				continue
			}
			steps["adopt"]++
			must(t, e.Adopt(t.Context(), *old))
			old.Path, old.Upload.File.Path = path, path
			model[path] = old
			delete(model, from)
		}
		if err := j.inspect(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		got := loadRecord(t, e)
		want := *model[path]
		want.Updated = got.Updated
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("step %d: %s\ngot  %+v\nwant %+v", step, path, *got, want)
		}
		must(t, e.Close())
	}
	info, err := os.Stat(j.path)
	must(t, err)
	t.Logf("%v, %d bytes", steps, info.Size())
	for _, path := range paths {
		got := loadRecord(t, openEntry(t, j, path))
		if want := model[path]; want == nil && got != nil || want != nil && (got == nil || !reflect.DeepEqual(got.Receipts, want.Receipts)) {
			t.Errorf("%s at the end", path)
		}
	}
}
