package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// oneLine takes an upload of one part through its whole life.
func oneLine(b *testing.B, j *Journal, n int, last upload.State) {
	b.Helper()
	target := target
	target.Name = fmt.Sprintf("%d.txt", n)
	path := "/data/" + target.Name
	e, err := j.Open(b.Context(), target, path)
	must(b, err)
	if _, err := j.Moved(b.Context(), target, 10); err != nil {
		b.Fatal(err)
	}
	r := upload.Record{Upload: upload.Upload{ID: fmt.Sprintf("upload_%032d", n), Renewable: true, File: upload.File{Path: path, Name: target.Name, Size: 10}, Parts: []upload.Part{{Number: 1, Size: 10}}}}
	must(b, e.Begin(b.Context(), r))
	must(b, e.Receive(b.Context(), upload.Receipt{Part: 1, Value: `"d41d8cd98f00b204e9800998ecf8427e"`, MD5: make([]byte, 16)}))
	for _, s := range []upload.State{upload.Completing, upload.Done, upload.Delivered} {
		if last == upload.Sending {
			break
		}
		must(b, e.Advance(b.Context(), s, &upload.Outcome{Verification: "etag", Result: upload.Result{Value: fmt.Sprintf("file-%d", n), Reply: []byte(`{"id":"file","object":"upload","status":"completed"}`)}}))
	}
	must(b, e.Close())
}

// BenchmarkManyFiles takes 12,000 files in six batches through one journal: the
// last batch takes no longer than the first, and each leaves at most 1 KiB.
func BenchmarkManyFiles(b *testing.B) {
	for b.Loop() {
		j := &Journal{Dir: filepath.Join(b.TempDir(), "journal")}
		var took [6]time.Duration
		for batch := range took {
			began := time.Now()
			for n := range 2000 {
				oneLine(b, j, batch*2000+n, upload.Delivered)
			}
			took[batch] = time.Since(began)
		}
		var all time.Duration
		for _, t := range took {
			all += t
		}
		b.ReportMetric(float64(all.Microseconds())/12_000, "µs/file")
		b.ReportMetric(took[5].Seconds()/took[0].Seconds(), "last/first")
		var size int64
		for _, name := range files(b, j) {
			info, err := os.Stat(filepath.Join(j.Dir, name))
			must(b, err)
			size += info.Size()
		}
		b.ReportMetric(float64(size)/12_000, "B/delivered")
		began := time.Now()
		all12, err := (&Journal{Dir: j.Dir}).List(b.Context(), true)
		must(b, err)
		if len(all12) != 12_000 {
			b.Errorf("%d are listed", len(all12))
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms/list")
	}
}

// BenchmarkManyUnfinished begins an upload, and lists, where 12,000 others are
// not finished.
func BenchmarkManyUnfinished(b *testing.B) {
	j := &Journal{Dir: filepath.Join(b.TempDir(), "journal")}
	for n := range 12_000 {
		oneLine(b, j, n, upload.Sending)
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			all, err := (&Journal{Dir: j.Dir}).List(b.Context(), false)
			if err != nil || len(all) != 12_000 {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("one process", func(b *testing.B) {
		for n := 12_000; b.Loop(); n++ {
			oneLine(b, j, n, upload.Delivered)
		}
	})
	b.Run("a process each", func(b *testing.B) {
		for n := 12_000; b.Loop(); n++ {
			oneLine(b, &Journal{Dir: j.Dir}, n, upload.Delivered)
		}
	})
}

// BenchmarkReceipts stores the receipts of 10,000 parts, eight at a time.
func BenchmarkReceipts(b *testing.B) {
	for b.Loop() {
		j := &Journal{Dir: filepath.Join(b.TempDir(), "journal")}
		e := openEntry(b, j, "/data/big")
		r := upload.Record{Upload: upload.Upload{ID: "u", Renewable: true, File: upload.File{Size: 10_000}}}
		for n := range 10_000 {
			r.Upload.Parts = append(r.Upload.Parts, upload.Part{Number: n + 1, Offset: int64(n), Size: 1})
		}
		must(b, e.Begin(b.Context(), r))
		began := time.Now()
		for n := 0; n < 10_000; n += 8 {
			var rs []upload.Receipt
			for i := range 8 {
				rs = append(rs, upload.Receipt{Part: n + i + 1, Value: `"d41d8cd98f00b204e9800998ecf8427e"`, MD5: make([]byte, 16), CRC32C: 1})
			}
			must(b, e.Receive(b.Context(), rs...))
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/10_000, "µs/receipt")
		must(b, e.Close())
		began = time.Now()
		loadRecord(b, openEntry(b, j, "/data/big"))
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms/load")
	}
}
