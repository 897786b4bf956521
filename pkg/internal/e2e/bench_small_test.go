package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/upload"
)

// memoryDir is a directory on a file system in memory, where there is one: what is
// measured is the program and not the disk.
func memoryDir(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "multiput-bench") //nolint:usetesting // b.TempDir() is on a disk
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // a benchmark
	return dir
}

// thousands notes when every thousandth file was completed.
type thousands struct {
	n  atomic.Int64
	at [64]atomic.Int64
}

func (c *thousands) completed() {
	if n := c.n.Add(1); n%1000 == 0 && n/1000 < int64(len(c.at)) {
		c.at[n/1000].Store(time.Now().UnixNano())
	}
}

// took is how long the nth thousand took, from 1.
func (c *thousands) took(n int) float64 {
	return float64(c.at[n].Load() - c.at[n-1].Load())
}

// BenchmarkManySmallFiles uploads 10,000 files of one line, with the journal in
// memory, and has curl -Z make the same three requests for each. x-of-curl is the
// rate by curl's, last/first the time of the last thousand by that of the first,
// last/second by that of the second: in the first the number of parts in flight is
// found.
func BenchmarkManySmallFiles(b *testing.B) {
	const n = 10_000
	r := newBench(b, "archetype", 1<<20)
	dir := memoryDir(b)
	c := new(thousands)
	sink := (&discard{part: 1 << 20, completed: c.completed}).start(b)
	var list, curl strings.Builder
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("%05d.txt", i))
		if err := os.WriteFile(path, fmt.Appendf(nil, "line %d\n", i), 0o600); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintln(&list, path)
		fmt.Fprintf(&curl, "url=%[1]s/files/uploads/initiate\ndata=\"{\\\"filename\\\":\\\"%05[2]d.txt\\\",\\\"num_bytes\\\":11}\"\noutput=/dev/null\nnext\n"+
			"url=%[1]s/1\nupload-file=%[3]s\noutput=/dev/null\nnext\nurl=%[1]s/files/uploads/11/complete\ndata={}\noutput=/dev/null\nnext\n", sink, i, path)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	files, config := write("list", list.String()), write("curl", strings.TrimSuffix(curl.String(), "next\n"))
	if _, err := exec.LookPath("curl"); err != nil {
		b.Skip("curl is not installed")
	}
	for b.Loop() {
		byCurl := measure(b, os.Environ(), "curl", "-s", "-Z", "--parallel-max", "16", "-K", config)
		c.n.Store(0)
		c.at[0].Store(time.Now().UnixNano())
		journal := filepath.Join(dir, "journal")
		m := measure(b, r.env, r.bin, "upload", "--files-from", files, "-p", "archetype", "--base-url", sink, "--journal", journal, "-q")
		if done := c.n.Load(); done != n {
			b.Fatalf("%d of %d files were completed", done, n)
		}
		b.ReportMetric(c.took(10)/c.took(1), "last/first")
		b.ReportMetric(c.took(10)/c.took(2), "last/second")
		b.ReportMetric(byCurl.wall.Seconds()/m.wall.Seconds(), "x-of-curl")
		b.ReportMetric(m.cpu.Seconds()/n*1e6, "cpu-us/file")
		b.ReportMetric(m.wall.Seconds()/n*1e6, "us/file")
		b.ReportMetric(float64(m.peak)/(1<<20), "peak-MiB")
		if err := os.RemoveAll(journal); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList lists 12,000 uploads as a process of its own.
func BenchmarkList(b *testing.B) {
	bin, err := built()
	if err != nil {
		b.Fatal(err)
	}
	for _, last := range []upload.State{upload.Delivered, upload.Sending} {
		dir := memoryDir(b)
		j := &journal.Journal{Dir: dir}
		for n := range 12_000 {
			path := fmt.Sprintf("/data/%d.txt", n)
			e, err := j.Open(b.Context(), upload.Target{Provider: "archetype", Name: filepath.Base(path)}, path)
			if err != nil {
				b.Fatal(err)
			}
			err = e.Begin(b.Context(), upload.Record{Upload: upload.Upload{ID: "u", Renewable: true, File: upload.File{Path: path, Size: 10}, Parts: []upload.Part{{Number: 1, Size: 10}}}})
			if last == upload.Delivered {
				o := &upload.Outcome{Result: upload.Result{Value: "file", Reply: []byte(`{"id":"file"}`)}}
				err = errors.Join(err, e.Advance(b.Context(), upload.Done, o), e.Advance(b.Context(), last, nil))
			}
			if err = errors.Join(err, e.Close()); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(string(last), func(b *testing.B) {
			for b.Loop() {
				m := measure(b, os.Environ(), bin, "list", "--all", "--journal", dir)
				b.ReportMetric(float64(m.cpu.Milliseconds()), "cpu-ms")
			}
		})
	}
}
