package upload_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
	"github.com/multiput/multiput/pkg/upload"
)

// secret is a key; where it comes from is the program's to decide.
type secret string

func (s secret) Reveal() string { return string(s) }

// archetype opens a built-in provider, here at a sandbox in place of the real
// API: leave Base out for that.
func archetype(ctx context.Context, dir string) (provider.Provider, func() error, error) {
	s := &sandbox.Server{API: "archetype", Dir: filepath.Join(dir, "sandbox"), Key: "my-key", PartSize: 64 << 10}
	base, stop, err := s.Start(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	d, err := provider.Load("archetype")
	if err != nil {
		return nil, stop, err
	}
	p, err := d.Open(provider.Settings{Base: base, Keys: []provider.Secret{secret("my-key")}})
	return p, stop, err
}

// Upload one file. The journal is on disk, so that the same program continues
// where it stopped after a crash.
func ExampleUploader_Upload() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "big.bin")
	if err := os.WriteFile(file, make([]byte, 300_000), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	p, stop, err := archetype(ctx, dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	u := &upload.Uploader{
		Provider: p,
		Target:   p.Target(),
		Journal:  &journal.Journal{Dir: filepath.Join(dir, "journal")},
		Observe: func(e upload.Event) {
			if w, ok := e.(upload.Warning); ok {
				fmt.Println("warning:", progress.Text(w))
			}
		},
	}
	report, err := u.Upload(ctx, upload.File{Path: file})
	switch {
	case errors.Is(err, upload.ErrUnfinished):
		fmt.Println("not finished, run it again:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Printf("%d parts, verified by %s\n", report.Parts, report.Verification)
	}
	// Output: 5 parts, verified by crc32c
}

// Upload several files, which share eight parts in flight. Results come in the
// order of the files.
func ExampleBatch() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	p, stop, err := archetype(ctx, dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	jobs := func(files ...string) iter.Seq[upload.Job] {
		return func(yield func(upload.Job) bool) {
			for _, file := range files {
				job := upload.Job{
					File: upload.File{Path: filepath.Join(dir, file)},
					Open: func(context.Context) (*upload.Uploader, error) {
						return &upload.Uploader{
							Provider: p, Target: p.Target(),
							Deliver: func(_ context.Context, r upload.Report) error {
								fmt.Println(r.File.Name, "is uploaded")
								return nil
							},
						}, nil
					},
				}
				if !yield(job) {
					return
				}
			}
		}
	}
	for _, file := range []string{"a.bin", "c.bin"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(file), 0o600); err != nil {
			fmt.Println(err)
			return
		}
	}
	b := upload.Batch{Concurrency: 8}
	err = b.Upload(ctx, jobs("a.bin", "b.bin", "c.bin"))
	fmt.Println("b.bin is missing:", errors.Is(err, upload.ErrNoInput))
	// Output:
	// a.bin is uploaded
	// c.bin is uploaded
	// b.bin is missing: true
}
