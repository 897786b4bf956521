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
func archetype(ctx context.Context, dir string) (p provider.Provider, stop func(), err error) {
	s := &sandbox.Server{API: "archetype", Dir: filepath.Join(dir, "sandbox"), Key: "my-key", PartSize: 64 << 10}
	base, end, err := s.Start(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	d, err := provider.Load("archetype")
	if err == nil {
		p, err = d.Open(provider.Settings{Base: base, Keys: []provider.Secret{secret("my-key")}})
	}
	return p, func() { _ = end() }, err
}

// folder makes a temporary directory with files of so many bytes in it.
func folder(files map[string]int) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "example"); err != nil {
		return "", nil, err
	}
	for name, size := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600))
	}
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// Upload one file. The journal is on disk, so that the same program continues
// where it stopped after a crash.
func ExampleUploader_Upload() {
	ctx := context.Background()
	dir, remove, err := folder(map[string]int{"big.bin": 300_000})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
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
	report, err := u.Upload(ctx, upload.File{Path: filepath.Join(dir, "big.bin")})
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
	dir, remove, err := folder(map[string]int{"a.bin": 10, "c.bin": 30}) // and no b.bin
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
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
	b := upload.Batch{Concurrency: 8}
	err = b.Upload(ctx, jobs("a.bin", "b.bin", "c.bin"))
	fmt.Println("b.bin is missing:", errors.Is(err, upload.ErrNoInput))
	// Output:
	// a.bin is uploaded
	// c.bin is uploaded
	// b.bin is missing: true
}
