package s3

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// TestResumeWithTheirChecksums takes over uploads that other clients began with
// checksums of the parts alone: the rest is sent with the same, and complete names all.
func TestResumeWithTheirChecksums(t *testing.T) {
	server := realstore.MinIO(t)
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 3*minPart+4711)
	_, _ = rand.NewChaCha8([32]byte{13}).Read(body)
	path := filepath.Join(t.TempDir(), "f.bin")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"crc32", "crc32c", "sha1", "sha256"} {
		p, err := open(place{server.Bucket, "theirs/" + name}, spec.Settings{Base: server.Endpoint, Options: map[string]string{"resume": "auto"}}, static(server.AccessKey, server.SecretKey))
		if err != nil {
			t.Fatal(err)
		}
		a, err := p.do(t.Context(), call{method: http.MethodPost, key: p.place.key, query: url.Values{"uploads": {""}}, header: http.Header{"X-Amz-Checksum-Algorithm": {strings.ToUpper(name)}}})
		if err != nil {
			t.Fatal(err)
		}
		var begun struct {
			ID string `xml:"UploadId"`
		}
		if err := xml.Unmarshal(a.Body, &begun); err != nil {
			t.Fatal(err)
		}
		for n, part := range map[int][]byte{1: body[:minPart], 3: bytes.Repeat([]byte{7}, minPart)} { // the third is of another file
			h := hashes[name]()
			h.Write(part)
			_, err := p.do(t.Context(), call{
				method: http.MethodPut, key: p.place.key, query: url.Values{"uploadId": {begun.ID}, "partNumber": {strconv.Itoa(n)}},
				header: http.Header{sumHeader(name): {base64.StdEncoding.EncodeToString(h.Sum(nil))}}, body: part,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		u := upload.Uploader{Provider: p, Target: p.Target(), Checksum: upload.ChecksumRequire}
		r, err := u.Upload(t.Context(), upload.File{Path: path})
		if err != nil || r.PartsReused != 1 || r.Parts != 4 || r.Verification != upload.VerifiedETag || r.BytesSent != int64(len(body)-minPart) {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		o, err := client.GetObject(t.Context(), server.Bucket, p.place.key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := got.ReadFrom(o); err != nil || !bytes.Equal(got.Bytes(), body) {
			t.Errorf("%s: the object has %d bytes that are not the file's: %v", name, got.Len(), err)
		}
		a, err = p.do(t.Context(), headCall(data{Key: p.place.key}))
		if err != nil || !strings.HasSuffix(a.Header.Get(sumHeader(name)), "-4") {
			t.Errorf("%s: the checksum of the object is %q, %v", name, a.Header.Get(sumHeader(name)), err)
		}
	}
}

// TestNoOverwriting finds an object before anything of a large file is sent.
func TestNoOverwriting(t *testing.T) {
	there := true
	s := &scripted{answer: func(r *http.Request, _ string) (int, map[string]string, string) {
		switch {
		case r.Method == http.MethodHead && there:
			return 200, map[string]string{"ETag": `"e"`}, ""
		case r.Method == http.MethodHead:
			return 403, nil, "" // as without s3:GetObject
		}
		return 200, nil, created
	}}
	p := s.open(t, place{"bucket", "k"}, map[string]string{"if-none-match": "*"})
	_, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{})
	if err == nil || !strings.Contains(err.Error(), "s3://bucket/k exists already, and must not be overwritten") || len(s.asked) != 1 {
		t.Errorf("%d requests: %v", len(s.asked), err)
	}
	there = false
	if u, _, err := p.Create(t.Context(), fileOf(100<<20), upload.Hint{}); err != nil || u.ID != "up-1" {
		t.Errorf("%+v, %v", u, err)
	}
}
