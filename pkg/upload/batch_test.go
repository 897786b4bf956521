package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// several are files of these sizes, all of which go to one cloud.
type several struct {
	*rig
	files   []string
	opened  []string
	results []string // in the order in which they were delivered

	mu    sync.Mutex // of what follows, while a batch runs
	ended map[string]error
}

func (s *several) done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended)
}

func newSeveral(t *testing.T, sizes ...int) *several {
	s := &several{rig: newRig(t, 0), ended: map[string]error{}}
	for i, size := range sizes {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("file%d", i))
		if err := os.WriteFile(path, random(size), 0o600); err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, path)
	}
	return s
}

func (s *several) jobs(deliver func(upload.Report) error) iter.Seq[upload.Job] {
	return func(yield func(upload.Job) bool) {
		for _, path := range s.files {
			job := upload.Job{
				File: upload.File{Path: path},
				Open: func(context.Context) (*upload.Uploader, error) {
					s.opened = append(s.opened, filepath.Base(path))
					return &upload.Uploader{
						Provider: s.cloud, Journal: s.journal, Target: upload.Target{Provider: "cloud"}, PartSize: 1000, Retry: s.retry,
						Deliver: func(_ context.Context, r upload.Report) error {
							if deliver != nil {
								if err := deliver(r); err != nil {
									return err
								}
							}
							s.results = append(s.results, r.File.Name)
							return nil
						},
					}, nil
				},
				Done: func(_ upload.Report, err error) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.ended[filepath.Base(path)] = err
				},
			}
			if !yield(job) {
				return
			}
		}
	}
}

// Files share the slots, results come in their order, and one that fails stops
// no other.
func TestBatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSeveral(t, 9000, 10, 20, 30)
		s.cloud.takes = time.Second
		if err := os.Remove(s.files[2]); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := (&upload.Batch{Concurrency: 3}).Upload(t.Context(), s.jobs(nil))
		if !errors.Is(err, upload.ErrNoInput) || !strings.Contains(err.Error(), "file2") {
			t.Errorf("it ended with %v", err)
		}
		if want := []string{"file0", "file1", "file3"}; !slices.Equal(s.results, want) {
			t.Errorf("delivered %v, want %v", s.results, want)
		}
		if len(s.ended) != 4 || !errors.Is(s.ended["file2"], upload.ErrNoInput) || s.ended["file3"] != nil {
			t.Errorf("ended: %v", s.ended)
		}
		if s.cloud.mostPutting > 3 {
			t.Errorf("%d parts were in flight at once", s.cloud.mostPutting)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %s: the files were not side by side", took)
		}
	})
}

// A file is asked for, and what takes it is made, when its turn comes.
func TestBatchIsLazy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSeveral(t, 10, 10, 10, 10)
		asked := 0
		jobs := func(yield func(upload.Job) bool) {
			for job := range s.jobs(nil) {
				// One has a slot, and the next waits for one.
				if asked++; asked > s.done()+2 {
					t.Errorf("asked for file %d when %d are done", asked, s.done())
				}
				if !yield(job) {
					return
				}
			}
		}
		if err := (&upload.Batch{Concurrency: 1}).Upload(t.Context(), jobs); err != nil || len(s.results) != 4 {
			t.Errorf("delivered %v: %v", s.results, err)
		}
	})
}

// After a result that no other will do better than, no file is begun.
func TestBatchStops(t *testing.T) {
	for _, concurrency := range []int{1, 3} {
		bubble(t, func(t *testing.T) {
			s := newSeveral(t, slices.Repeat([]int{10}, 200)...)
			s.cloud.takes = time.Second
			tries := 0
			err := (&upload.Batch{Concurrency: concurrency}).Upload(t.Context(), s.jobs(func(upload.Report) error {
				tries++
				return fmt.Errorf("%w: %w", upload.ErrStop, io.ErrClosedPipe)
			}))
			if !errors.Is(err, upload.ErrUndelivered) || !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("it ended with %v", err)
			}
			if tries != 1 || len(s.results) != 0 {
				t.Errorf("%d deliveries were tried", tries)
			}
			// Those that waited for their turn gave their slots to others before.
			if n := len(s.opened); n > 2*concurrency || concurrency == 1 && n > 1 {
				t.Errorf("%d files were begun", n)
			}
			for file, err := range s.ended {
				if !errors.Is(err, upload.ErrStop) || !errors.Is(err, upload.ErrUndelivered) {
					t.Errorf("%s ended with %v", file, err)
				}
			}
		})
	}
}

// An error of Deliver that is one file's alone stops nothing.
func TestBatchGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSeveral(t, 10, 10, 10)
		err := (&upload.Batch{}).Upload(t.Context(), s.jobs(func(r upload.Report) error {
			if r.File.Name == "file1" {
				return errors.New("not this one")
			}
			return nil
		}))
		if !errors.Is(err, upload.ErrUndelivered) || !slices.Equal(s.results, []string{"file0", "file2"}) {
			t.Errorf("delivered %v: %v", s.results, err)
		}
	})
}

// What cannot be opened is reported, and the others are uploaded.
func TestBatchOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSeveral(t, 10, 10)
		none := errors.New("no such provider")
		jobs := func(yield func(upload.Job) bool) {
			n := 0
			for job := range s.jobs(nil) {
				if n++; n == 1 {
					job.Open = func(context.Context) (*upload.Uploader, error) { return nil, none }
				}
				if !yield(job) {
					return
				}
			}
		}
		if err := (&upload.Batch{Concurrency: 1}).Upload(t.Context(), jobs); !errors.Is(err, none) || !errors.Is(s.ended["file0"], none) || !slices.Equal(s.results, []string{"file1"}) {
			t.Errorf("delivered %v: %v", s.results, err)
		}
	})
}

// An interruption ends what has begun, begins nothing, and is reported once for
// what has not.
func TestBatchIsInterrupted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSeveral(t, 9000, 9000, 9000, 9000)
		s.cloud.takes = time.Minute
		cause := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			synctest.Wait()
			cancel(cause)
		}()
		err := (&upload.Batch{Concurrency: 1}).Upload(ctx, s.jobs(nil))
		if !errors.Is(err, cause) || len(s.opened) != 1 || len(s.ended) != 2 || !errors.Is(s.ended["file1"], cause) {
			t.Errorf("%d were begun, ended: %v; %v", len(s.opened), s.ended, err)
		}
	})
}
