package upload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// shelf is a provider of one's own: an API in memory that takes parts of four
// bytes. The engine plans, retries, verifies and remembers; a provider makes one
// request for each call and says what its errors mean.
type shelf struct {
	mu    sync.Mutex
	parts map[int][]byte
	fails int
}

var _ upload.Provider = (*shelf)(nil)

// Create opens an upload. Without Parts the engine splits the file, within the
// provider's Limits.
func (s *shelf) Create(context.Context, upload.File, upload.Hint) (upload.Upload, []upload.Presigned, error) {
	return upload.Upload{ID: "shelf-1", Renewable: true}, nil, nil
}

// Presign gives a URL for each part. An API that takes parts itself needs none.
func (s *shelf) Presign(_ context.Context, _ upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	urls := make([]upload.Presigned, len(parts))
	for i, p := range parts {
		urls[i] = upload.Presigned{Part: p.Number}
	}
	return urls, nil
}

// busy is an error after which the same request may succeed.
type busy struct{}

func (busy) Error() string             { return "busy" }
func (busy) Temporary() bool           { return true }
func (busy) RetryAfter() time.Duration { return 0 }

// Put stores a part. The receipt is what Complete needs of it.
func (s *shelf) Put(_ context.Context, _ upload.Upload, _ upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return upload.Receipt{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return upload.Receipt{}, fmt.Errorf("store part %d: %w", p.Number, busy{})
	}
	s.parts[p.Number] = b
	return upload.Receipt{Part: p.Number, Value: fmt.Sprint("part-", p.Number)}, nil
}

// Complete gets the receipts in the order of the plan.
func (s *shelf) Complete(_ context.Context, u upload.Upload, rs []upload.Receipt, _ upload.Digests) (upload.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var whole bytes.Buffer
	for _, r := range rs {
		part, ok := s.parts[r.Part]
		if !ok {
			return upload.Result{}, fmt.Errorf("complete %s: there is no part %d: %w", u.ID, r.Part, upload.ErrRefused)
		}
		whole.Write(part)
	}
	return upload.Result{Value: whole.String()}, nil
}

// Abort is not something that this API has a call for.
func (s *shelf) Abort(context.Context, upload.Upload) error { return errors.ErrUnsupported }

// A provider of one's own is five methods. The zero values of everything else
// work: the journal is in memory, and what is temporary is retried.
func Example_provider() {
	dir, remove, err := folder(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	file := filepath.Join(dir, "greeting.txt")
	if err := os.WriteFile(file, []byte("hello, world"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	u := upload.Uploader{Provider: &shelf{parts: map[int][]byte{}, fails: 1}, PartSize: 4}
	report, err := u.Upload(context.Background(), upload.File{Path: file})
	fmt.Println(report.Result.Value, report.Parts, err)
	// Output: hello, world 3 <nil>
}
