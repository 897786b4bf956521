package upload_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

// What is foretold is what happens, and telling it leaves no trace.
func TestPreview(t *testing.T) {
	tests := []struct {
		name    string
		set     func(r *rig)
		before  func(r *rig) // what happened so far
		next    upload.Step
		compare bool
		left    []int // parts that are sent; nil: not known
		same    bool  // whether the upload stays u1
	}{
		{name: "nothing yet, the client plans", set: func(r *rig) { r.cloud.partSize, r.partSize = 0, 2000 }, next: upload.StepCreate, left: []int{1, 2, 3, 4, 5}},
		{name: "nothing yet, the provider plans", next: upload.StepCreate},
		{name: "half of it", before: func(r *rig) { r.half(5) }, next: upload.StepSend, left: []int{6, 7, 8, 9, 10}, same: true},
		{name: "half of it, touched", before: func(r *rig) { r.half(5); r.write(r.content, 1) }, next: upload.StepSend, compare: true, left: []int{6, 7, 8, 9, 10}, same: true},
		{name: "half of it, of another size", before: func(r *rig) { r.half(5); r.write(random(10_500), 1) }, next: upload.StepCreate},
		{name: "half of it, and restarted", before: func(r *rig) { r.half(5); r.restart = true }, next: upload.StepCreate},
		{name: "in doubt", before: func(r *rig) {
			r.cloud.loseComplete = func(int) error { return trouble(500) }
			if _, err := r.run(r.t.Context()); !errors.Is(err, upload.ErrDoubt) {
				r.t.Fatal(err)
			}
			r.cloud.loseComplete, r.cloud.already = nil, true
			r.journal.restart()
		}, next: upload.StepComplete, left: []int{}, same: true},
		{name: "done", before: func(r *rig) {
			r.deliver = func(upload.Report) error { return errors.New("a full disk") }
			if _, err := r.run(r.t.Context()); !errors.Is(err, upload.ErrUndelivered) {
				r.t.Fatal(err)
			}
			r.deliver = nil
			r.journal.restart()
		}, next: upload.StepDeliver, left: []int{}, same: true},
		{name: "corrupt", set: func(r *rig) { r.cloud.partSize, r.partSize = 0, 5000 }, before: func(r *rig) {
			r.cloud.onComplete = func(int) error { return upload.ErrChecksum }
			if _, err := r.run(r.t.Context()); !errors.Is(err, upload.ErrChecksum) {
				r.t.Fatal(err)
			}
			r.cloud.onComplete, r.cloud.aborted = nil, nil
			r.journal.restart()
		}, next: upload.StepCreate, left: []int{1, 2}},
		{name: "delivered", before: func(r *rig) { r.ok(); r.journal.restart() }, next: upload.StepCreate},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.cloud.partSize = 1000
				if test.set != nil {
					test.set(r)
				}
				r.cloud.limits.Plans = r.cloud.partSize > 0
				if test.before != nil {
					test.before(r)
				}
				writes, creates, completes := len(r.journal.writes), r.cloud.creates, r.cloud.completes
				v, err := r.uploader().Preview(t.Context(), upload.File{Path: r.path})
				if err != nil {
					t.Fatal(err)
				}
				if len(r.journal.writes) != writes || r.cloud.creates != creates || r.cloud.completes != completes || len(r.cloud.aborted) != 0 {
					t.Error("it left a trace")
				}
				if v.Next != test.next || v.Compare != test.compare {
					t.Errorf("next %q, compare %t", v.Next, v.Compare)
				}
				if v.File.Size != int64(len(r.content)) || v.Target.Name != "file.bin" || v.Target.Provider != "cloud" {
					t.Errorf("%+v, %+v", v.File, v.Target)
				}
				if test.left != nil && !slices.Equal(numbers(v.Left), test.left) {
					t.Errorf("left %v, want %v", numbers(v.Left), test.left)
				}
				if sent := sum(v.Left); test.left != nil && v.Stored+sent != v.File.Size {
					t.Errorf("%d bytes are stored and %d are sent, of %d", v.Stored, sent, v.File.Size)
				}
				// And so it comes.
				var put []int
				r.cloud.onPut = func(_ int, p upload.Part) error {
					put = append(put, p.Number)
					return nil
				}
				rep := r.ok()
				if slices.Sort(put); test.left != nil && !slices.Equal(put, test.left) {
					t.Errorf("sent were %v", put)
				}
				if (rep.Upload == "u1") != (test.same || creates == 0) || (r.cloud.creates > creates) != (v.Next == upload.StepCreate) {
					t.Errorf("the upload is %s, after %d creates", rep.Upload, r.cloud.creates)
				}
			})
		})
	}
}

func numbers(parts []upload.Part) []int {
	ns := []int{}
	for _, p := range parts {
		ns = append(ns, p.Number)
	}
	return ns
}

func sum(parts []upload.Part) (n int64) {
	for _, p := range parts {
		n += p.Size
	}
	return n
}

// What Upload refuses before its first request is refused here too.
func TestPreviewRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(r *rig)
		want error
	}{
		"no file":           {func(r *rig) { r.path += "x" }, upload.ErrNoInput},
		"too large":         {func(r *rig) { r.cloud.limits.MaxSize = 100 }, upload.ErrLimit},
		"a part size":       {func(r *rig) { r.cloud.limits.MaxPart, r.partSize = 100, 101 }, upload.ErrPartSize},
		"too many parts":    {func(r *rig) { r.cloud.partSize, r.partSize, r.cloud.limits.MaxParts = 0, 10, 10 }, upload.ErrPartSize},
		"held by a process": {func(r *rig) { r.half(1); r.hold() }, upload.ErrBusy},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 10_000)
			test.set(r)
			if _, err := r.uploader().Preview(t.Context(), upload.File{Path: r.path}); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if _, err := r.uploader().Upload(t.Context(), upload.File{Path: r.path}); !errors.Is(err, test.want) {
				t.Errorf("upload: error %v, want %v", err, test.want)
			}
		})
	}
}

// An upload of a file that is somewhere else now may be resumed.
func TestPreviewMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.partSize = 1000
		r.half(5)
		old := r.path
		r.path = filepath.Join(t.TempDir(), "file.bin")
		if err := os.Rename(old, r.path); err != nil {
			t.Fatal(err)
		}
		v, err := r.uploader().Preview(t.Context(), upload.File{Path: r.path})
		if err != nil || v.Next != upload.StepCreate || len(v.Moved) != 1 || filepath.Base(v.Moved[0]) != "file.bin" {
			t.Errorf("%+v, %v", v, err)
		}
		if rep := r.ok(); rep.Upload != "u1" || rep.PartsReused != 5 {
			t.Errorf("%+v", rep)
		}
	})
}

// Whether the time will do is said as far as it is known.
func TestPreviewTime(t *testing.T) {
	preview := func(r *rig) string {
		t.Helper()
		v, err := r.uploader().Preview(t.Context(), upload.File{Path: r.path})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, w := range v.Warnings {
			all = append(all, progress.Text(w))
		}
		return strings.Join(all, "\n")
	}
	bubble(t, func(t *testing.T) {
		r := onceOnly(t, 30*mib, 15*time.Minute)
		r.cloud.limits.URLLife, r.cloud.limits.Plans = 15*time.Minute, true
		r.limitRate = 20 << 10
		if w := preview(r); !strings.Contains(w, "requesting parts of 10 MiB") {
			t.Errorf("a rate that is too low: %q", w)
		}
		r.limitRate = 20 << 20
		if w := preview(r); w != "" {
			t.Errorf("a rate that will do: %q", w)
		}
		r.limitRate, r.cloud.wants, r.cloud.limits.URLLife = 0, false, 10*time.Second
		if w := preview(r); !strings.Contains(w, "presigned URLs once, and they expire in 10s") {
			t.Errorf("no rate is known: %q", w)
		}
		// Of an upload that is there, its own end counts.
		r = newRig(t, 30*mib)
		r.cloud.partSize, r.cloud.expires = 3*mib, time.Now().Add(time.Hour)
		r.half(5)
		r.limitRate = 1 << 10
		if w := preview(r); !strings.Contains(w, "the upload expires in") {
			t.Errorf("an upload that ends: %q", w)
		}
	})
}

// To resume is to begin nothing.
func TestResumeBeginsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.partSize = 1000
		resume := func() error {
			u := r.uploader()
			u.Resume = true
			_, err := u.Upload(t.Context(), upload.File{Path: r.path})
			return err
		}
		if err := resume(); !errors.Is(err, upload.ErrNothing) {
			t.Errorf("nothing is there: %v", err)
		}
		r.half(5)
		if err := resume(); err != nil || r.cloud.creates != 1 {
			t.Errorf("half of it is there: %v, %d creates", err, r.cloud.creates)
		}
		if err := resume(); !errors.Is(err, upload.ErrNothing) || r.cloud.creates != 1 {
			t.Errorf("it is delivered: %v, %d creates", err, r.cloud.creates)
		}
	})
}

func TestAbort(t *testing.T) {
	for name, test := range map[string]struct {
		on    func(n int) error
		want  error // nil: none
		tries int
	}{
		"well":                  {tries: 1},
		"trouble that passes":   {on: func(n int) error { return []error{trouble(503), trouble(500), nil}[n-1] }, tries: 3},
		"trouble that does not": {on: func(int) error { return trouble(503) }, want: upload.ErrUnfinished, tries: 6},
		"already gone":          {on: func(int) error { return upload.ErrGone }, tries: 1},
		"refused":               {on: func(int) error { return upload.ErrRefused }, want: upload.ErrRefused, tries: 1},
		"a bad key":             {on: func(int) error { return upload.ErrDenied }, want: upload.ErrDenied, tries: 1},
		"not offered":           {on: func(int) error { return errors.ErrUnsupported }, want: errors.ErrUnsupported, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 100)
				r.cloud.onAbort = test.on
				err := r.uploader().Abort(t.Context(), upload.Upload{ID: "u1"})
				if !errors.Is(err, test.want) || len(r.cloud.aborted) != test.tries {
					t.Errorf("error %v after %d tries", err, len(r.cloud.aborted))
				}
			})
		})
	}
	bubble(t, func(t *testing.T) {
		r := newRig(t, 100)
		r.cloud.onAbort = func(int) error { return trouble(503) }
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second/10, func() { cancel(errCtrlC) })
		r.retry.Base, r.retry.Cap = time.Hour, time.Hour
		if err := r.uploader().Abort(ctx, upload.Upload{ID: "u1"}); !errors.Is(err, errCtrlC) {
			t.Errorf("interrupted: %v", err)
		}
	})
}
