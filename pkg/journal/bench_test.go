package journal

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// many is the number of parts that the figures in docs/design/journal.md are
// about.
const many = 10_000

func manyParts() upload.Record {
	const size = 64 << 20
	r := upload.Record{
		State: upload.Sending,
		Upload: upload.Upload{
			ID: "upload-1", Renewable: true,
			File: upload.File{Path: "/data/big.bin", Name: "big.bin", Type: "application/octet-stream", Size: many * size, ModTime: time.Unix(1_800_000_000, 0)},
		},
	}
	for n := range many {
		r.Upload.Parts = append(r.Upload.Parts, upload.Part{Number: n + 1, Offset: int64(n) * size, Size: size})
	}
	return r
}

func receiptOf(n int) upload.Receipt {
	return upload.Receipt{Part: n, Value: fmt.Sprintf("%q", fmt.Sprintf("%032x", n)), CRC32C: uint32(n) * 2654435761, MD5: make([]byte, 16)}
}

func begin(tb testing.TB, j *Journal) upload.Entry {
	tb.Helper()
	e, err := j.Open(context.Background(), upload.Target{Provider: "sandbox", Name: "big.bin"}, "/data/big.bin")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	if err := e.Begin(context.Background(), manyParts()); err != nil {
		tb.Fatal(err)
	}
	return e
}

// receiveAll stores the receipts of all parts, one a call.
func receiveAll(tb testing.TB, e upload.Entry, workers int) {
	tb.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for n := range next {
				if err := e.Receive(context.Background(), receiptOf(n)); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	for n := range many {
		next <- n + 1
	}
	close(next)
	wg.Wait()
}

// BenchmarkReceive stores 10,000 receipts, one a call, as 1, 8 and 32 senders
// do that do nothing else. One op is all of them.
func BenchmarkReceive(b *testing.B) {
	for _, workers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("senders=%d", workers), func(b *testing.B) {
			commits := 0
			for b.Loop() {
				b.StopTimer()
				j := &Journal{Path: filepath.Join(b.TempDir(), "journal.db")}
				e := begin(b, j)
				b.StartTimer()
				receiveAll(b, e, workers)
				b.StopTimer()
				commits += j.commits - 1
				_ = e.Close()
				b.StartTimer()
			}
			b.ReportMetric(many*float64(b.N)/float64(commits), "receipts/commit")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/many, "µs/receipt")
		})
	}
}

// BenchmarkLoad reads a record of 10,000 parts, all but one with a receipt, as
// a process does that resumes: the journal is examined first.
func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal.db")
	e := begin(b, &Journal{Path: path})
	var rs []upload.Receipt
	for n := 1; n < many; n++ {
		rs = append(rs, receiptOf(n))
	}
	if err := e.Receive(context.Background(), rs...); err != nil {
		b.Fatal(err)
	}
	_ = e.Close()
	for b.Loop() {
		j := &Journal{Path: path}
		e, err := j.Open(context.Background(), upload.Target{Provider: "sandbox", Name: "big.bin"}, "/data/big.bin")
		if err != nil {
			b.Fatal(err)
		}
		r, err := e.Load(context.Background())
		if err != nil || len(r.Receipts) != many-1 {
			b.Fatal(len(r.Receipts), err)
		}
		_ = e.Close()
	}
}
