package realstore_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

var build = flag.Bool("build", false, "wait until all servers are built, however long that takes")

func TestMain(m *testing.M) {
	flag.Parse()
	if *build {
		if err := os.Setenv("CI", "true"); err != nil { // there they have to be
			panic(err)
		}
	}
	os.Exit(m.Run())
}

var stores = []struct {
	name  string
	start func(testing.TB) realstore.Server
}{
	{"minio", realstore.MinIO},
	{"versitygw", realstore.VersityGW},
}

func TestStoreKeepsWhatItIsGiven(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			s := store.start(t)
			c := client(t, s)
			want := bytes.Repeat([]byte("multiput "), 700_000) // 6 MB: two parts

			core := minio.Core{Client: c}
			id, err := core.NewMultipartUpload(t.Context(), s.Bucket, "a/b.bin", minio.PutObjectOptions{})
			if err != nil {
				t.Fatalf("create: %v", err)
			}
			var parts []minio.CompletePart
			for i, body := range [][]byte{want[:5<<20], want[5<<20:]} {
				p, err := core.PutObjectPart(t.Context(), s.Bucket, "a/b.bin", id, i+1, bytes.NewReader(body), int64(len(body)), minio.PutObjectPartOptions{})
				if err != nil {
					t.Fatalf("part %d: %v", i+1, err)
				}
				parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag})
			}
			if _, err := core.CompleteMultipartUpload(t.Context(), s.Bucket, "a/b.bin", id, parts, minio.PutObjectOptions{}); err != nil {
				t.Fatalf("complete: %v", err)
			}

			r, err := c.GetObject(t.Context(), s.Bucket, "a/b.bin", minio.GetObjectOptions{})
			if err != nil {
				t.Fatalf("get: %v", err)
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got %d bytes, want %d, or they differ", len(got), len(want))
			}
		})
	}
}

func TestStoreRefusesAWrongKey(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			s := store.start(t)
			s.SecretKey += "x"
			if _, err := client(t, s).ListBuckets(t.Context()); err == nil {
				t.Error("a wrong secret key was accepted")
			}
		})
	}
}

func TestStoreEndsWithItsTest(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			var s realstore.Server
			if !t.Run("life", func(t *testing.T) {
				s = store.start(t)
				if !answers(t.Context(), t, s.Endpoint) {
					t.Error("it does not listen while its test runs")
				}
			}) {
				t.FailNow()
			}
			if s.Endpoint == "" {
				t.SkipNow() // the inner test was skipped, and said why
			}
			if answers(t.Context(), t, s.Endpoint) {
				t.Error("it still listens after its test")
			}
		})
	}
}

func client(t *testing.T, s realstore.Server) *minio.Client {
	t.Helper()
	c, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answers tells whether anything listens at the endpoint.
func answers(ctx context.Context, t *testing.T, endpoint string) bool {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
