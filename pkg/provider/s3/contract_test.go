package s3

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// static are credentials that do not change.
func static(id, secret string) func(context.Context, settings) (found, error) {
	return func(context.Context, settings) (found, error) {
		return found{credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		})}, nil
	}
}

// TestContractMinIO and TestContractVersityGW hold the provider to the suite that
// every provider passes, with a multipart upload of each size: what a single PUT
// does differently is in the other tests.
func TestContractMinIO(t *testing.T) { contract(t, realstore.MinIO(t), nil, upload.DigestCRC64NVME) }

func TestContractVersityGW(t *testing.T) {
	contract(t, realstore.VersityGW(t), nil, upload.DigestCRC64NVME)
}

// TestContractETags does without checksums.
func TestContractETags(t *testing.T) {
	contract(t, realstore.MinIO(t), map[string]string{"checksum": "etag"}, "")
}

func TestContractCRC32C(t *testing.T) {
	contract(t, realstore.MinIO(t), map[string]string{"checksum": "crc32c"}, upload.DigestCRC32C)
}

func contract(t *testing.T, server realstore.Server, set map[string]string, digest string) {
	t.Helper()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	var behind time.Duration
	check.Run(t, check.Subject{
		Open: func(o check.Opening) (upload.Provider, error) {
			options := map[string]string{"single-put": "false"}
			maps.Copy(options, set)
			maps.Copy(options, o.Options)
			p, err := open(place{bucket: server.Bucket, key: "below/"}, spec.Settings{Base: server.Endpoint, Options: options}, static(server.AccessKey, o.Key))
			if err == nil {
				p.now = func() time.Time { return time.Now().Add(-behind) }
			}
			return p, err
		},
		Key: server.SecretKey, BadKey: "a-secret-that-is-refused-9c1f",
		Object: func(ctx context.Context, u upload.Upload, r upload.Result) (string, []byte, error) {
			key := strings.TrimPrefix(r.Value, Scheme+server.Bucket+"/")
			o, err := client.GetObject(ctx, server.Bucket, key, minio.GetObjectOptions{})
			if err != nil {
				return "", nil, err
			}
			defer o.Close()
			b, err := io.ReadAll(o)
			return strings.TrimPrefix(key, "below/"), b, err
		},
		PartSize: minPart, Renewable: true, Aborts: true, Digest: digest, Tries: 3,
		Backdate: func() func() { behind = 24 * time.Hour; return func() { behind = 0 } },
		Only: slices.DeleteFunc(check.Cases(), func(name string) bool {
			// A URL is signed here, whatever the key; of the names some are none that
			// these stores take; and an empty file is a single PUT.
			return name == "a key refused later" || name == "names" || name == "empty file"
		}),
	})
}
