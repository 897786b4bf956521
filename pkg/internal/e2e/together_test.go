package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// sameBytes reports whether one of the objects is the file.
func sameBytes(t *testing.T, objects [][]byte, file string) bool {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(objects, func(o []byte) bool { return bytes.Equal(o, want) })
}

// TestTwentyProcesses: twenty processes share one journal, all at once, each
// with a file of its own.
func TestTwentyProcesses(t *testing.T) {
	t.Parallel()
	const n = 20
	r := rigFor(t, &sandbox.Server{API: "archetype", PartSize: 64 << 10})
	var (
		files     [n]string
		processes [n]*life
	)
	for i := range n {
		files[i] = r.named(t, fmt.Sprintf("file-%d.bin", i), 5*64<<10)
	}
	for i := range n {
		processes[i] = r.launch(t, nil, "multiput", "upload", files[i], "-p", "archetype", "-j", "4")
	}
	for _, p := range processes {
		if code := p.wait(t); code != 0 {
			t.Errorf("exit code %d\n%s", code, p.stderr.String())
		}
	}
	objects := r.objects(t)
	if len(objects) != n || r.puts() != n*5 {
		t.Errorf("%d objects of %d parts", len(objects), r.puts())
	}
	for _, f := range files {
		if !sameBytes(t, objects, f) {
			t.Errorf("no object is %s", filepath.Base(f))
		}
	}
	if left, err := filepath.Glob(filepath.Join(r.dir, "multiput", "journal", "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "history.ndjson" {
		t.Errorf("left are %v, %v: want the history alone", left, err)
	}
}

// TestTwoProcesses: the second process on one upload ends at once, says who has
// it, and sends nothing; the first is not disturbed.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	r := rigFor(t, &sandbox.Server{API: "archetype", PartSize: 64 << 10})
	file := r.file(t, 3*64<<10)
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	hold := func(q sandbox.Request, after bool) {
		if q.Step == sandbox.StepPut && !after {
			arrived <- struct{}{}
			<-release
		}
	}
	r.onEvent.Store(&hold)
	command := []string{"upload", file, "-p", "archetype", "-j", "1"}
	first := r.launch(t, nil, "multiput", command...)
	<-arrived
	second := r.launch(t, nil, "multiput", command...)
	if code := second.wait(t); code != exitAgain {
		t.Errorf("the second ends with %d, want %d", code, exitAgain)
	}
	second.says(t, fmt.Sprintf(`process %d\b`, first.cmd.Process.Pid), 1)
	close(release)
	if code := first.wait(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, first.stderr.String())
	}
	if n := r.puts(); n != 3 {
		t.Errorf("%d parts were sent, want 3", n)
	}
	r.cmpObject(t, file)
}

// TestServerGone: the server, API and store, ends in the middle and is back at
// the same address a little later. What it had is still there.
func TestServerGone(t *testing.T) {
	t.Parallel()
	r := rigFor(t, &sandbox.Server{API: "archetype", PartSize: 64 << 10})
	file := r.file(t, 6*64<<10)
	second := make(chan struct{})
	var seen atomic.Int32
	count := func(q sandbox.Request, after bool) {
		if q.Step == sandbox.StepPut && after {
			if seen.Add(1) == 2 {
				close(second)
			}
		}
	}
	r.onEvent.Store(&count)
	p := r.launch(t, nil, "multiput", "upload", file, "-p", "archetype", "-j", "1", "-v", "--limit-rate", "256KiB")
	<-second
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	before := r.puts()
	p.says(t, "retrying.*refused", 1)
	r.serveAgain(t)
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.stderr.String())
	}
	if n := before + r.puts(); before < 2 || n > 6+1 {
		t.Errorf("%d parts were stored before and %d in all", before, n)
	}
	r.cmpObject(t, file)
}
