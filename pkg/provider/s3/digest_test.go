package s3

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/multiput/multiput/pkg/upload"
)

// opaque is a store that knows no checksums, and whose ETags look like MD5s and are
// none. It compares Content-MD5, as every store does, and damages the first part that
// comes with one.
func opaque(encrypts string, damaged *atomic.Bool, bare *atomic.Int32) func(*http.Request, string) (int, map[string]string, string) {
	n := 0
	return func(r *http.Request, body string) (int, map[string]string, string) {
		switch q := r.URL.Query(); {
		case r.Method == http.MethodPost && q.Has("uploads"):
			return 200, map[string]string{sseHeader: encrypts}, created
		case r.Method == http.MethodGet:
			return 200, nil, `<ListPartsResult><Part><PartNumber>1</PartNumber><Size>11</Size><ETag>"5eb63bbbe01eeed093cb22bb8f5acdc3"</ETag></Part></ListPartsResult>`
		case r.Method == http.MethodPost:
			return 200, nil, `<CompleteMultipartUploadResult><ETag>"whole-7"</ETag></CompleteMultipartUploadResult>`
		}
		n++
		sum := md5.Sum([]byte(body))
		switch given := r.Header.Get(md5Header); {
		case given == "":
			bare.Add(1)
		case damaged.CompareAndSwap(false, true) || given != base64.StdEncoding.EncodeToString(sum[:]):
			return 400, nil, `<Error><Code>BadDigest</Code><Message>The Content-MD5 you specified did not match.</Message></Error>`
		}
		return 200, map[string]string{"ETag": fmt.Sprintf(`"%032x"`, n)}, ""
	}
}

// TestETagsThatAreNoMD5s verifies parts by Content-MD5 where the store offers nothing
// else: if it is required, if the options have it encrypt so, or if the bucket does.
func TestETagsThatAreNoMD5s(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.bin")
	body := make([]byte, 7*minPart+1)
	_, _ = rand.NewChaCha8([32]byte{5}).Read(body)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set      map[string]string
		encrypts string
		checksum upload.Checksum
		size     int64 // of the file; 0: all of it
		want     string
	}{
		"required":     {nil, "", upload.ChecksumRequire, 0, upload.VerifiedHeader},
		"by options":   {map[string]string{"sse": "aws:kms"}, "", upload.ChecksumAuto, 0, upload.VerifiedHeader},
		"by bucket":    {nil, "aws:kms:dsse", upload.ChecksumAuto, 0, upload.VerifiedHeader},
		"other":        {nil, "AES256", upload.ChecksumAuto, 0, upload.Unverified},
		"one required": {nil, "", upload.ChecksumRequire, 1 << 20, upload.VerifiedMD5},
	} {
		t.Run(name, func(t *testing.T) {
			var damaged atomic.Bool
			var bare atomic.Int32
			s := &scripted{answer: opaque(c.encrypts, &damaged, &bare)}
			set := map[string]string{"checksum": "auto"}
			maps.Copy(set, c.set)
			p := s.open(t, place{"bucket", "k"}, set)
			p.proof = c.checksum == upload.ChecksumRequire
			file := path
			if c.size > 0 {
				file = filepath.Join(t.TempDir(), "small.bin")
				if err := os.WriteFile(file, body[:c.size], 0o600); err != nil {
					t.Fatal(err)
				}
			}
			u := upload.Uploader{Provider: p, Target: p.Target(), PartSize: minPart, Checksum: c.checksum}
			r, err := u.Upload(t.Context(), upload.File{Path: file})
			if err != nil || r.Verification != c.want {
				t.Fatalf("%+v, %v; want the verification %s", r, err, c.want)
			}
			if all := c.want == upload.Unverified; all != (bare.Load() > 0) || all == damaged.Load() {
				t.Errorf("%d parts came without an MD5", bare.Load())
			}
			for _, r := range s.asked {
				if r.Header.Get(md5Header) != "" && !strings.Contains(r.URL.Query().Get("X-Amz-SignedHeaders"), "content-md5") {
					t.Errorf("Content-MD5 is not signed: %s", r.URL.Query().Get("X-Amz-SignedHeaders"))
				}
			}
		})
	}
}

// TestPlanOfABucketWithKMS sends a part that was planned without its checksum, with the
// URL as it is: that the store encrypts it so was found out when the upload was created.
func TestPlanOfABucketWithKMS(t *testing.T) {
	var damaged atomic.Bool
	var bare atomic.Int32
	damaged.Store(true)
	s := &scripted{answer: opaque("aws:kms", &damaged, &bare)}
	p := s.open(t, place{"bucket", "k"}, nil)
	u, _, err := p.Create(t.Context(), fileOf(11), upload.Hint{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	part := upload.Part{Number: 1, Size: 11}
	urls, err := p.Presign(t.Context(), u, []upload.Part{part})
	if err != nil {
		t.Fatal(err)
	}
	u.Planned, u.Parts = true, []upload.Part{part}
	sender := s.open(t, place{"bucket", "k"}, nil)
	if stored, err := p.Stored(t.Context(), u); err != nil || len(stored) != 1 || stored[0].MD5 != nil {
		t.Errorf("its ETag is taken for an MD5: %+v, %v", stored, err)
	}
	r, err := sender.Put(t.Context(), u, urls[0], part, strings.NewReader("hello world"))
	if err != nil || !r.Verified || bare.Load() != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if sent := s.asked[len(s.asked)-1].URL; !strings.HasSuffix(urls[0].URL, sent.RequestURI()) {
		t.Errorf("it went to %s, and the URL of the plan is %s", sent, urls[0].URL)
	}
}

// TestPlannedWithoutDigests tells an upload that another plan would have begun with a
// checksum from those that have one, or are to have none.
func TestPlannedWithoutDigests(t *testing.T) {
	s := &scripted{answer: func(*http.Request, string) (int, map[string]string, string) {
		return 200, map[string]string{"x-amz-checksum-algorithm": "CRC64NVME"}, created
	}}
	for _, c := range []struct {
		checksum     string
		digests      bool
		signs, would bool
	}{{"auto", false, false, true}, {"auto", true, true, false}, {"etag", true, false, false}, {"etag", false, false, false}} {
		p := s.open(t, place{"bucket", "k"}, map[string]string{"checksum": c.checksum})
		u, _, err := p.Create(t.Context(), fileOf(100), upload.Hint{Shared: true, Digests: c.digests})
		if err != nil || p.SignsDigests(u) != c.signs || p.WouldSign(u) != c.would {
			t.Errorf("%+v: %v, %v, %v", c, p.SignsDigests(u), p.WouldSign(u), err)
		}
	}
}

// TestPutWithoutTheChecksum sends small files to a store that refuses headers which it
// does not know: without the checksum, and verified by their ETags.
func TestPutWithoutTheChecksum(t *testing.T) {
	s := &scripted{answer: func(r *http.Request, body string) (int, map[string]string, string) {
		if r.Header.Get(sumHeader("crc64nvme")) != "" {
			return 400, nil, `<Error><Code>InvalidArgument</Code><Message>Unsupported header 'x-amz-checksum-crc64nvme' received for this API call.</Message></Error>`
		}
		return 200, map[string]string{"ETag": fmt.Sprintf(`"%x"`, md5.Sum([]byte(body)))}, ""
	}}
	dir := t.TempDir()
	p := s.open(t, place{bucket: "bucket"}, nil)
	for i, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		u := upload.Uploader{Provider: p, Target: p.Target(), Checksum: upload.ChecksumRequire}
		r, err := u.Upload(t.Context(), upload.File{Path: path})
		if err != nil || r.Verification != upload.VerifiedETag || len(s.asked) != i+2 {
			t.Errorf("%+v, %v, %d requests", r, err, len(s.asked))
		}
	}
	asked := s.open(t, place{bucket: "bucket"}, map[string]string{"checksum": "crc64nvme"})
	u := upload.Uploader{Provider: asked, Target: asked.Target()}
	if _, err := u.Upload(t.Context(), upload.File{Path: filepath.Join(dir, "a")}); !errors.Is(err, upload.ErrRefused) {
		t.Errorf("the checksum that was asked for is left out: %v", err)
	}
}
