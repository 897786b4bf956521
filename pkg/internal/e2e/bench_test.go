package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// The benchmarks run multiput as a process of its own, built as a release is,
// against a server in this process that throws the bytes away. Their figures
// are explained in docs/performance.md.

// built is the program under measurement.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "multiput-bench")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "multiput")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "../../../cmd/multiput")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

// measured is one run of a process.
type measured struct {
	wall, cpu time.Duration
	peak      int64 // bytes of resident memory; 0 where the system does not tell
}

func measure(b *testing.B, env []string, name string, args ...string) measured {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), name, args...)
	cmd.Env = env
	var messages strings.Builder
	cmd.Stderr = &messages
	start := time.Now()
	err := cmd.Start()
	if err == nil {
		peak, ended := make(chan int64), make(chan struct{})
		go func() { peak <- watchPeak(cmd.Process.Pid, ended) }()
		err = cmd.Wait()
		took := time.Since(start)
		close(ended)
		if s, most := cmd.ProcessState, <-peak; err == nil {
			if most == 0 {
				most = peakMemory(s)
			}
			return measured{took, s.UserTime() + s.SystemTime(), most}
		}
	}
	b.Fatalf("%s: %v\n%s", name, err, messages.String())
	return measured{}
}

// watchPeak is the most resident memory that a process had, in bytes, as Linux
// tells it while it runs; 0 elsewhere. What Linux tells at its end counts the
// memory of the process that started it, which is the server here.
func watchPeak(pid int, ended <-chan struct{}) int64 {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	peak := int64(0)
	for {
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		if _, line, ok := strings.Cut(string(status), "\nVmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscanf(line, "%d kB", &kib); err == nil {
				peak = kib << 10
			}
		}
	}
}

// bench is multiput against a sandbox that keeps nothing.
type bench struct {
	*rig
	bin   string
	onPut atomic.Pointer[chan time.Time] // is told when a part arrives
}

func newBench(b *testing.B, api string, partSize int64) *bench {
	b.Helper()
	bin, err := built()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	r := &bench{bin: bin}
	s := &sandbox.Server{API: api, Dir: filepath.Join(dir, "served"), Key: "key", PartSize: partSize, Discard: true, Integrity: "none", Faults: &sandbox.Faults{}}
	s.Before = func(q sandbox.Request) {
		if c := r.onPut.Load(); c != nil && q.Step == sandbox.StepPut {
			*c <- time.Now()
		}
	}
	base, stop, err := s.Start(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stop() }) //nolint:errcheck // a benchmark
	m, err := provider.Load(api)
	if err != nil {
		b.Fatal(err)
	}
	r.rig = &rig{dir: dir, server: s, env: append(os.Environ(),
		"XDG_STATE_HOME="+dir, "XDG_CONFIG_HOME="+dir, "NO_PROXY=*",
		m.KeyEnv()+"="+s.Key, "MULTIPUT_"+strings.ToUpper(api)+"_BASE_URL="+base,
	)}
	return r
}

// sparse makes a file without blocks: reading it costs no disk.
func (r *bench) sparse(b *testing.B, size int64) string {
	b.Helper()
	path := filepath.Join(r.dir, "sparse-"+strconv.FormatInt(size, 10))
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		b.Fatal(err)
	}
	return path
}

// maxPeak is the resident memory that no upload may exceed.
const maxPeak = 64 << 20

// BenchmarkMemory measures the peak resident memory of an upload of a 10 GiB
// sparse file, and how it grows with parts, size and parts in flight.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct {
		name, api      string
		part           int64 // of the plan of the provider
		size           int64
		j              string
		chosen, option string // the part size the client chooses, and an option of the provider
	}{
		{"raw/1GiB/64MiB/j8", "archetype", 64 << 20, 1 << 30, "8", "", ""},
		{"raw/10GiB/64MiB/j8", "archetype", 64 << 20, 10 << 30, "8", "", ""},
		{"raw/10GiB/64MiB/j64", "archetype", 64 << 20, 10 << 30, "64", "", ""},
		{"raw/10000MiB/1MiB/j8", "archetype", 1 << 20, 10000 << 20, "8", "", ""},
		{"raw/10000MiB/1MiB/j64", "archetype", 1 << 20, 10000 << 20, "64", "", ""},
		{"presigned/10000MiB/1MiB/j64", "fileai", 1 << 20, 10000 << 20, "64", "", ""},
		// The form-data API takes no more than 8 GB.
		{"form/8GB/64MiB/j8", "openai", 0, 8e9, "8", "64MiB", "purpose=batch"},
		{"form/8GB/1MiB/j64", "openai", 0, 8e9, "64", "1MiB", "purpose=batch"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newBench(b, c.api, c.part)
			args := []string{"upload", r.sparse(b, c.size), "-p", c.api, "-j", c.j, "-q"}
			if c.chosen != "" {
				args = append(args, "--part-size", c.chosen, "--set", c.option)
			}
			b.SetBytes(c.size)
			for b.Loop() {
				m := measure(b, r.env, r.bin, args...)
				b.ReportMetric(float64(m.peak)/(1<<20), "peak-MiB")
				if m.peak > maxPeak {
					b.Errorf("%d MiB of memory, and at most %d are promised", m.peak>>20, maxPeak>>20)
				}
			}
		})
	}
}

// BenchmarkManyParts sends 10,000 parts of 64 KiB and of 1 MiB.
func BenchmarkManyParts(b *testing.B) {
	for _, part := range []int64{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", part>>10), func(b *testing.B) {
			r := newBench(b, "fileai", part)
			file := r.sparse(b, 10000*part)
			b.SetBytes(10000 * part)
			for b.Loop() {
				m := measure(b, r.env, r.bin, "upload", file, "-p", "fileai", "-j", "8", "-q")
				b.ReportMetric(float64(m.peak)/(1<<20), "peak-MiB")
				b.ReportMetric(m.cpu.Seconds(), "cpu-s")
			}
		})
	}
}

// BenchmarkResume is the time from the start of the process to the first byte
// of the one part that is missing of 10,000.
func BenchmarkResume(b *testing.B) {
	const part = 16 << 10
	r := newBench(b, "fileai", part)
	file := r.sparse(b, 10000*part)
	var first time.Duration
	for b.Loop() {
		b.StopTimer()
		if err := r.server.Faults.Add("put@part=10000@times=3:status=503"); err != nil {
			b.Fatal(err)
		}
		cmd := exec.CommandContext(b.Context(), r.bin, "upload", file, "-p", "fileai", "-q", "--restart", "--retries", "2", "--retry-for", "0")
		cmd.Env = r.env
		if err := cmd.Run(); err == nil {
			b.Fatal("the last part was stored")
		}
		start := time.Now()
		arrived := make(chan time.Time, 2)
		r.onPut.Store(&arrived)
		b.StartTimer()
		measure(b, r.env, r.bin, "upload", file, "-p", "fileai", "-q")
		first += (<-arrived).Sub(start)
		if len(arrived) > 0 {
			b.Fatal("more than the missing part was sent")
		}
		r.onPut.Store(nil)
	}
	b.ReportMetric(float64(first.Milliseconds())/float64(b.N), "ms-to-first-part")
}

// BenchmarkTwentyProcesses has twenty processes upload a file each, with a journal
// that they share and with one for each: the ratio is 1 if none waits for another.
func BenchmarkTwentyProcesses(b *testing.B) {
	const n = 20
	r := newBench(b, "archetype", 64<<10)
	file := r.sparse(b, 1<<20)
	took := make(map[bool]time.Duration)
	run := 0
	for b.Loop() {
		for _, shared := range []bool{true, false} {
			run++
			began := time.Now()
			var g errgroup.Group
			for i := range n {
				journal := filepath.Join(r.dir, fmt.Sprintf("journal-%d", run))
				if !shared {
					journal += fmt.Sprintf("-%d", i)
				}
				cmd := exec.CommandContext(b.Context(), r.bin, "upload", file, "-p", "archetype", "-q", "-j", "4", "--name", fmt.Sprint(run, "-", i), "--journal", journal)
				cmd.Env = r.env
				g.Go(cmd.Run)
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			took[shared] += time.Since(began)
		}
	}
	b.ReportMetric(took[true].Seconds()/took[false].Seconds(), "shared/own")
	b.ReportMetric(float64(took[true].Milliseconds())/float64(b.N), "ms-shared")
}

// BenchmarkStart is what a process costs before it does anything.
func BenchmarkStart(b *testing.B) {
	bin, err := built()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		measure(b, os.Environ(), bin, "version")
	}
}

// BenchmarkSmallFile uploads 1 KiB: three round trips on loopback, and all that
// multiput adds to them.
func BenchmarkSmallFile(b *testing.B) {
	for _, api := range provider.Names() {
		if api == "sandbox" || api == "s3" {
			continue
		}
		b.Run(api, func(b *testing.B) {
			r := newBench(b, api, 0)
			file := r.sparse(b, 1<<10)
			args := []string{"upload", file, "-p", api, "-q"}
			if api == "openai" {
				args = append(args, "--set", "purpose=batch")
			}
			var served time.Duration
			for b.Loop() {
				before := len(r.server.Requests())
				measure(b, r.env, r.bin, args...)
				for _, q := range r.server.Requests()[before:] {
					served += q.Took
				}
			}
			b.ReportMetric(float64(served.Nanoseconds())/float64(b.N), "served-ns/op")
		})
	}
}
