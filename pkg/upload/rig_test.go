package upload_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// rig is a file, a journal and a cloud, and what happened between them. It
// watches over the order of things in every test: what is visible is durable,
// and what is durable is not sent again.
type rig struct {
	t       *testing.T
	path    string
	content []byte
	journal *memory
	cloud   *cloud

	// What each run's Uploader has.
	provider    upload.Provider
	concurrency int
	partSize    int64
	retry       transport.Policy
	limitRate   int64
	slots       *upload.Slots
	rank        int
	checksum    upload.Checksum
	restart     bool
	deliver     func(upload.Report) error
	observe     func(upload.Event)

	mu        sync.Mutex
	events    []upload.Event
	delivered []upload.Report
}

// bubble runs a test in its own time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// pass lets time go by, in the bubble's.
func pass(d time.Duration) { <-time.After(d) }

func newRig(t *testing.T, size int) *rig {
	t.Helper()
	p := new(process)
	r := &rig{
		t: t, path: filepath.Join(t.TempDir(), "file.bin"), content: random(size),
		journal: newMemory(p), cloud: newCloud(p), concurrency: 3,
		retry: transport.Policy{Retries: 5, Base: time.Second, Cap: 10 * time.Second, MaxAfter: time.Minute},
	}
	r.provider = r.cloud
	r.write(r.content, 0)
	r.cloud.spyPut = func(id string, p upload.Part) {
		if r.journal.has(id, p.Number) {
			t.Errorf("part %d of %s is sent, and its receipt is durable", p.Number, id)
		}
		if r.journal.state(id) != upload.Sending {
			t.Errorf("part %d of %s is sent in state %q", p.Number, id, r.journal.state(id))
		}
	}
	r.cloud.spyComplete = func(id string) {
		if s := r.journal.state(id); s != upload.Completing {
			t.Errorf("complete is sent in state %q", s)
		}
	}
	r.cloud.spyProbe = func(id string) {
		if s := r.journal.state(id); s != upload.Completing {
			t.Errorf("asked how it ended in state %q", s)
		}
	}
	return r
}

// askable makes the cloud one that can be asked how an upload ended.
func (r *rig) askable() { r.provider = askable{r.cloud} }

// checkpoints makes the cloud one that takes them, and does not want to be told
// again of what it took.
func (r *rig) checkpoints() {
	r.cloud.strict = true
	r.provider = checkpointing{r.cloud}
}

func random(n int) []byte {
	b := make([]byte, n)
	g := rand.NewPCG(uint64(n), 7)
	for i := range b {
		b[i] = byte(g.Uint64())
	}
	return b
}

// write puts the file there, as of so many minutes after the first time.
func (r *rig) write(content []byte, minutes int) {
	r.t.Helper()
	err := os.WriteFile(r.path, content, 0o600)
	if err == nil {
		at := time.Date(2026, 11, 1, 12, minutes, 0, 0, time.UTC)
		err = os.Chtimes(r.path, at, at)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.content = slices.Clone(content)
}

func (r *rig) seen(e upload.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.journal.killed.Load() {
		return // the output of a dying process is lost
	}
	id := r.current()
	switch e := e.(type) {
	case upload.Planned:
		if r.journal.state(e.Upload) == "" {
			r.t.Errorf("planned, and the journal does not know it")
		}
	case upload.Stored:
		if !r.journal.has(id, e.Part.Number) {
			r.t.Errorf("part %d of %s counts as stored, and its receipt is not durable", e.Part.Number, id)
		}
	case upload.Finishing:
		if s := r.journal.state(id); s != upload.Completing {
			r.t.Errorf("ending in state %q", s)
		}
	case upload.Finished:
		if s := r.journal.state(id); s != upload.Done {
			r.t.Errorf("ended in state %q", s)
		}
	}
	if r.observe != nil {
		r.observe(e)
	}
}

// current is the upload of which the last Planned told.
func (r *rig) current() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range slices.Backward(r.events) {
		switch e := e.(type) {
		case upload.Planned:
			return e.Upload
		case upload.Finished:
			return e.Report.Upload
		}
	}
	return fmt.Sprintf("u%d", r.cloud.ids)
}

// run is a new process that uploads the file.
func (r *rig) run(ctx context.Context) (upload.Report, error) {
	return r.uploader().Upload(ctx, upload.File{Path: r.path})
}

// from is one that uploads a stream of the file's bytes.
func (r *rig) from(ctx context.Context, size, room int64) (upload.Report, error) {
	s := upload.Spool{Dir: filepath.Join(r.t.TempDir(), "spool"), Limit: room}
	return r.uploader().UploadStream(ctx, bytes.NewReader(r.content), size, s, upload.File{Name: "file.bin"})
}

func (r *rig) uploader() *upload.Uploader {
	r.mu.Lock()
	r.events = nil
	r.mu.Unlock()
	return &upload.Uploader{
		Provider: r.provider, Journal: r.journal, Target: upload.Target{Provider: "cloud", Base: "https://cloud"},
		Concurrency: r.concurrency, PartSize: r.partSize, Retry: r.retry, Rate: r.limitRate, Slots: r.slots, Rank: r.rank, Checksum: r.checksum, Restart: r.restart,
		Observe: r.seen,
		Deliver: func(_ context.Context, rep upload.Report) error {
			if s := r.journal.state(rep.Upload); s != upload.Done && !r.journal.killed.Load() {
				r.t.Errorf("delivered in state %q", s)
			}
			if r.deliver != nil {
				if err := r.deliver(rep); err != nil {
					return err
				}
			}
			r.delivered = append(r.delivered, rep)
			return nil
		},
	}
}

// ok runs to a good end.
func (r *rig) ok() upload.Report {
	r.t.Helper()
	rep, err := r.run(r.t.Context())
	if err != nil {
		r.t.Fatalf("upload: %v", err)
	}
	r.check(rep)
	return rep
}

// check asserts that the last object is the file, and that the report is of it.
func (r *rig) check(rep upload.Report) {
	r.t.Helper()
	if len(r.cloud.objects) == 0 {
		r.t.Fatal("there is no object")
	}
	if got := r.cloud.objects[len(r.cloud.objects)-1]; !bytes.Equal(got, r.content) {
		r.t.Errorf("the object (%d bytes) is not the file (%d bytes)", len(got), len(r.content))
	}
	if rep.Result.Value != "object-"+rep.Upload || rep.PartsStored != rep.Parts || rep.File.Size != int64(len(r.content)) {
		r.t.Errorf("report %+v", rep)
	}
	if s := r.journal.state(rep.Upload); s != upload.Delivered {
		r.t.Errorf("the journal says %q", s)
	}
}

// once asserts that no part of an upload was stored twice.
func (r *rig) once(id string) {
	r.t.Helper()
	for part, n := range r.cloud.counts(id) {
		if n != 1 {
			r.t.Errorf("part %d of %s was stored %d times", part, id, n)
		}
	}
}

// told are the events of one kind.
func told[E upload.Event](r *rig) []E {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []E
	for _, e := range r.events {
		if e, ok := e.(E); ok {
			all = append(all, e)
		}
	}
	return all
}

func skipOnWindows(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not allow deleting or renaming an open file")
	}
}
