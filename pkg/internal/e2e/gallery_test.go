package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// real is a third-party server that a manifest of the gallery is for.
type real struct {
	*rig
	args   []string                        // of upload
	result string                          // the end of what stdout says
	object func(*testing.T, string) []byte // by the result
	// stored is how many objects there are, where the server cannot say whether
	// an upload was completed that it no longer knows.
	stored func(*testing.T) int
}

// TestGalleryOnRealServers takes files through manifests of the gallery to the
// servers that they are for: round trips, and killed at every write to the
// journal and run again. What is stored is compared byte by byte.
func TestGalleryOnRealServers(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) real{"uppy-companion": onCompanion, "azure-blob": onAzurite} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			for _, size := range []int64{0, 1, realPart, 2*realPart + 1000} {
				r.upload(t, size, nil)
			}
			n := 1
			for r.upload(t, 2*realPart+1000, []string{killEnv + "=" + fmt.Sprintf("write=%d", n)}) {
				r.upload(t, 2*realPart+1000, []string{killEnv + "=" + fmt.Sprintf("write=%d+", n)})
				n++
			}
			if n < 5 { // the plan, a receipt, completing, done, delivered
				t.Errorf("only %d writes were there to be killed at", n-1)
			}
		})
	}
}

// upload uploads a file, and once more if it was killed, and reads it back.
func (r real) upload(t *testing.T, size int64, env []string) (killed bool) {
	t.Helper()
	file := r.file(t, size)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"upload", file, "-j", "2", "--part-size", "5MiB"}, r.args...)
	before := 0
	if r.stored != nil {
		before = r.stored(t)
	}
	told, code := r.multiput(t, env, args...)
	if killed = code == -1 && env != nil; killed {
		told, code = r.multiput(t, nil, args...)
	}
	if killed && code == exitDoubt && r.stored != nil {
		if r.stored(t) != before+1 {
			t.Fatalf("%v: it may have been completed, and was not", env)
		}
		if told, code = r.multiput(t, nil, append(args, "--restart")...); code != 0 {
			t.Fatalf("%v: exit code %d, started over", env, code)
		}
	}
	result := strings.TrimSuffix(told, "\n")
	if code != 0 || !strings.HasSuffix(result, r.result) {
		t.Fatalf("%d bytes, %v: exit code %d, %q", size, env, code, told)
	}
	if got := r.object(t, result); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, %v: %d others are stored", size, env, len(got))
	}
	return killed
}

func onCompanion(t *testing.T) real {
	t.Helper()
	server := realstore.MinIO(t)
	base := realstore.Companion(t, server)
	return real{
		rig: onS3(t, server), args: []string{"-p", "gallery/uppy-companion", "--base-url", base, "--checksum", "require"},
		result: "-file.bin",
		object: func(t *testing.T, key string) []byte {
			t.Helper()
			body, _ := s3Object(t, server, key)
			return body
		},
		stored: func(t *testing.T) (n int) {
			t.Helper()
			client, err := server.Client()
			if err != nil {
				t.Fatal(err)
			}
			for o := range client.ListObjects(t.Context(), server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
				if o.Err != nil {
					t.Fatal(o.Err)
				}
				n++
			}
			return n
		},
	}
}

func onAzurite(t *testing.T) real {
	t.Helper()
	account := realstore.Azurite(t)
	sas := azureSAS(t)
	container := account + "/files"
	if res, body := azure(t, http.MethodPut, container+"?restype=container&"+sas); res != http.StatusCreated {
		t.Fatalf("create the container: %d %s", res, body)
	}
	takePlace(t)
	return real{
		rig: onS3(t, realstore.Server{}), args: []string{"-p", "gallery/azure-blob", "--base-url", container, "--set", "sas=" + sas, "--checksum", "require"},
		result: container + "/file.bin",
		object: func(t *testing.T, to string) []byte {
			t.Helper()
			status, body := azure(t, http.MethodGet, to+"?"+sas)
			if status != http.StatusOK {
				t.Fatalf("%s is not there: %d %s", to, status, body)
			}
			return body
		},
	}
}

func azure(t *testing.T, method, to string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

// azureSAS is a shared access signature of Azurite's account.
func azureSAS(t *testing.T) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(realstore.AzuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	const version, rights = "2019-12-12", "rwlc"
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s\nb\nsco\n\n%s\n\n\n%s\n", realstore.AzuriteAccount, rights, until, version)
	return url.Values{
		"sv": {version}, "ss": {"b"}, "srt": {"sco"}, "sp": {rights}, "se": {until}, "sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}.Encode()
}
