package s3

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// TestResumeWithoutAJournal takes over what other clients left behind.
func TestResumeWithoutAJournal(t *testing.T) {
	for name, start := range map[string]func(testing.TB) realstore.Server{"minio": realstore.MinIO, "versitygw": realstore.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resumeWithoutAJournal(t, start(t))
		})
	}
}

func resumeWithoutAJournal(t *testing.T, server realstore.Server) {
	t.Helper()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	core := minio.Core{Client: client}
	body := make([]byte, 3*minPart+1000)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(body)
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(set map[string]string) *Provider {
		p, err := open(place{server.Bucket, "dir/"}, spec.Settings{Base: server.Endpoint, Options: set}, static(server.AccessKey, server.SecretKey))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	run := func(set map[string]string) (r upload.Report, took upload.TookOver, err error) {
		p := open(set)
		u := upload.Uploader{Provider: p, Target: p.Target(), Checksum: upload.ChecksumRequire, Retry: transport.DefaultPolicy, Observe: func(e upload.Event) {
			if e, is := e.(upload.TookOver); is {
				took = e
			}
		}}
		r, err = u.Upload(t.Context(), upload.File{Path: path})
		return r, took, err
	}
	const key = "dir/f.bin"
	begin := func() string {
		id, err := core.NewMultipartUpload(t.Context(), server.Bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	put := func(id string, n int, b []byte) {
		if _, err := core.PutObjectPart(t.Context(), server.Bucket, key, id, n, bytes.NewReader(b), int64(len(b)), minio.PutObjectPartOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	first := begin()
	put(first, 1, body[:minPart])
	put(first, 2, bytes.Repeat([]byte("other"), minPart/5))
	put(first, 3, body[2*minPart:3*minPart])
	r, took, err := run(map[string]string{"resume": "auto"})
	if err != nil {
		t.Fatal(err)
	}
	if took.Upload != first || took.Parts != 2 || len(took.Differ) != 1 || took.Differ[0] != 2 || r.BytesSent != minPart+1000 || r.Verification != upload.VerifiedETag {
		t.Errorf("took over %+v; report %+v", took, r)
	}
	o, err := client.GetObject(t.Context(), server.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(o); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("the object has %d bytes that are not the file's: %v", got.Len(), err)
	}

	// Ours, with checksums: begun by another machine.
	p := open(nil)
	u, _, err := p.Create(t.Context(), upload.File{Path: path, Name: "f.bin", Type: "x/y", Size: int64(len(body))}, upload.Hint{PartSize: minPart})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(t.Context(), u, upload.Presigned{}, upload.Part{Number: 1, Size: minPart}, bytes.NewReader(body[:minPart])); err != nil {
		t.Fatal(err)
	}
	second := begin()
	_, _, err = run(map[string]string{"resume": "auto"})
	if !errors.Is(err, upload.ErrRefused) || !strings.Contains(err.Error(), u.ID) || !strings.Contains(err.Error(), second) {
		t.Errorf("of two: %v", err)
	}
	r, took, err = run(map[string]string{"resume": u.ID})
	if err != nil || took.Parts != 1 || len(took.Differ) != 0 || r.Verification != upload.VerifiedCRC64NVME || r.PartsReused != 1 {
		t.Errorf("by its id: %+v, %+v, %v", took, r, err)
	}
	if _, _, err := run(map[string]string{"resume": u.ID}); !errors.Is(err, upload.ErrRefused) || !strings.Contains(err.Error(), "no unfinished upload "+u.ID) {
		t.Errorf("one that is completed: %v", err)
	}

	put(second, 1, body[:minPart])
	all, err := open(nil).Remote(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != second {
		t.Errorf("below dir/: %+v, %v", all, err)
	}
	whole, err := openAt(t, server, place{server.Bucket, key})
	if err != nil {
		t.Fatal(err)
	}
	if all, err = whole.Remote(t.Context()); err != nil || len(all) != 1 || all[0].ID != second || all[0].Bytes != minPart || all[0].Parts != 1 || time.Since(all[0].Started) > time.Hour {
		t.Fatalf("%+v, %v", all, err)
	}
	for range 2 {
		if err := whole.AbortRemote(t.Context(), all[0]); err != nil {
			t.Error(err)
		}
	}
	if all, err = whole.Remote(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("after the abort: %+v, %v", all, err)
	}
	if r, took, err := run(map[string]string{"resume": "auto"}); err != nil || took.Upload != "" || r.PartsReused != 0 {
		t.Errorf("without any: %+v, %+v, %v", took, r, err)
	}
}

func openAt(t *testing.T, server realstore.Server, at place) (*Provider, error) {
	t.Helper()
	return open(at, spec.Settings{Base: server.Endpoint}, static(server.AccessKey, server.SecretKey))
}

// TestRemoteBelowAPrefix plays MinIO, which takes a prefix only where it is a whole
// key: what is below it is found in the list of the bucket.
func TestRemoteBelowAPrefix(t *testing.T) {
	const one = `<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2026-11-28T06:09:00Z</Initiated></Upload>`
	s := &scripted{answer: func(r *http.Request, _ string) (int, map[string]string, string) {
		q := r.URL.Query()
		switch {
		case q.Get("uploadId") == "4": // completed when its parts are asked for
			return 404, nil, `<Error><Code>NoSuchUpload</Code></Error>`
		case q.Has("uploadId"):
			return 200, nil, `<ListPartsResult></ListPartsResult>`
		case q.Get("prefix") != "":
			return 200, nil, `<ListMultipartUploadsResult></ListMultipartUploadsResult>`
		}
		return 200, nil, `<ListMultipartUploadsResult>` + fmt.Sprintf(one, "logs/a", "1") + fmt.Sprintf(one, "logs", "2") + fmt.Sprintf(one, "logs/b", "4") + fmt.Sprintf(one, "x/logs/a", "3") + `</ListMultipartUploadsResult>`
	}}
	for key, want := range map[string]string{"logs/": "1", "logs": "1 2", "": "1 2 3", "none/": ""} {
		all, err := s.open(t, place{"bucket", key}, nil).Remote(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, len(all))
		for i, r := range all {
			ids[i] = r.ID
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

// TestSeveralCandidates holds that none of several uploads is guessed at, and that
// the option is named that chooses one.
func TestSeveralCandidates(t *testing.T) {
	s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) {
		const one = `<Upload><Key>k</Key><UploadId>%s</UploadId><Initiated>2026-11-28T06:09:00Z</Initiated></Upload>`
		return 200, nil, `<ListMultipartUploadsResult>` + fmt.Sprintf(one, "first-id") + fmt.Sprintf(one, "second-id") + `</ListMultipartUploadsResult>`
	}}
	_, _, err := s.open(t, place{"bucket", "k"}, map[string]string{"resume": "auto"}).Create(t.Context(), fileOf(100<<20), upload.Hint{})
	var hint interface{ OptionHint() (string, string) }
	if !errors.Is(err, upload.ErrRefused) || !strings.Contains(err.Error(), "first-id") || !strings.Contains(err.Error(), "second-id") || !errors.As(err, &hint) {
		t.Fatalf("%v", err)
	}
	if name, value := hint.OptionHint(); name != "resume" || value != "UPLOAD-ID" {
		t.Errorf("--set %s=%s", name, value)
	}
}
