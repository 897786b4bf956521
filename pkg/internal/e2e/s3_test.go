package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// onS3 is a place to run multiput in, with the credentials of a store.
func onS3(t *testing.T, server realstore.Server) *rig {
	t.Helper()
	takePlace(t)
	dir := t.TempDir()
	return &rig{dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_STATE_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "NO_PROXY=*",
		"SystemRoot=" + os.Getenv("SystemRoot"), "USERPROFILE=" + dir, "LocalAppData=" + dir, "AppData=" + dir,
		"AWS_ACCESS_KEY_ID=" + server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + server.SecretKey, "AWS_REGION=" + realstore.Region,
		"AWS_ENDPOINT_URL_S3=" + server.Endpoint, "AWS_EC2_METADATA_DISABLED=true",
	}}
}

// TestS3KillAtEveryWrite kills an upload to a bucket at every write to the journal,
// runs the same command again, and reads the object back.
func TestS3KillAtEveryWrite(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) realstore.Server{"minio": realstore.MinIO, "versitygw": realstore.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			for _, size := range []int64{1000, 2*realPart + 1000} {
				n := 1
				for s3KillAt(t, server, size, fmt.Sprintf("write=%d", n)) {
					s3KillAt(t, server, size, fmt.Sprintf("write=%d+", n))
					n++
				}
				if n < 5 { // the plan, a receipt, completing, done, delivered
					t.Errorf("%d bytes: only %d writes were there to be killed at", size, n-1)
				}
			}
		})
	}
}

func s3KillAt(t *testing.T, server realstore.Server, size int64, at string) bool {
	t.Helper()
	r := onS3(t, server)
	file := r.file(t, size)
	to := "s3://" + server.Bucket + "/" + strings.ReplaceAll(at, "=", "-") + "/"
	args := []string{"upload", file, "-p", to, "-j", "2", "--part-size", "5MiB", "--checksum", "require"}
	told, code := r.multiput(t, []string{killEnv + "=" + at}, args...)
	if code == 0 {
		return false
	}
	if code != -1 {
		t.Fatalf("%s: exit code %d, want to be killed", at, code)
	}
	out, code := r.multiput(t, nil, args...)
	if want := to + "file.bin"; code != 0 || strings.TrimSpace(out) != want {
		t.Fatalf("%s: exit code %d the second time, and %q; want %s (the first time %q)", at, code, out, want, told)
	}
	body, _ := s3Object(t, server, strings.TrimPrefix(to, "s3://"+server.Bucket+"/")+"file.bin")
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(body, want) {
		t.Fatalf("%s: the object is not the file (%v)", at, err)
	}
	return true
}

func s3Object(t *testing.T, server realstore.Server, key string) ([]byte, minio.ObjectInfo) {
	t.Helper()
	client, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	o, err := client.GetObject(t.Context(), server.Bucket, key, minio.GetObjectOptions{Checksum: true})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	body, err := io.ReadAll(o)
	if err != nil {
		t.Fatal(err)
	}
	info, err := o.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return body, info
}

// TestS3Options looks at the object by another client, and for secrets in what was
// said.
func TestS3Options(t *testing.T) {
	t.Parallel()
	server := realstore.MinIO(t)
	r := onS3(t, server)
	for size, verification := range map[int64]string{0: "crc64nvme", 777: "crc64nvme", 2*realPart + 1: "crc64nvme"} {
		file := r.file(t, size)
		out, said, code := r.said(t, "upload", file, "-p", "s3://"+server.Bucket, "--name", "ü +?#%.bin", "--part-size", "5MiB", "-vv", "--json", "--content-type", "text/x-test",
			"--set", "metadata=author=Ada,n=1", "--set", `tags={"team":"a b"}`, "--set", "cache-control=no-store", "--set", "content-disposition=inline")
		if code != 0 || !strings.Contains(out, `"verification":"`+verification+`"`) || !strings.Contains(out, `"result":"s3://`+server.Bucket+`/ü +?#%.bin"`) {
			t.Fatalf("%d bytes: exit code %d, %s\n%s", size, code, out, said)
		}
		if all := out + said; strings.Contains(all, server.AccessKey) || strings.Contains(all, server.SecretKey) {
			t.Errorf("%d bytes: a key is in the output:\n%s", size, all)
		}
		body, info := s3Object(t, server, "ü +?#%.bin")
		if want, err := os.ReadFile(file); err != nil || !bytes.Equal(body, want) {
			t.Errorf("%d bytes: the object is not the file (%v)", size, err)
		}
		if info.UserMetadata["Author"] != "Ada" || info.UserMetadata["N"] != "1" || info.ContentType != "text/x-test" || info.Metadata.Get("Cache-Control") != "no-store" ||
			info.Metadata.Get("Content-Disposition") != "inline" || info.UserTagCount != 1 || info.ChecksumCRC64NVME == "" || !strings.Contains(out, info.ChecksumCRC64NVME) {
			t.Errorf("%d bytes: the object is %+v", size, info)
		}
	}
	if err := os.WriteFile(filepath.Join(r.dir, "other.bin"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(r.dir, "sub"), 0o700), os.WriteFile(filepath.Join(r.dir, "sub", "other.bin"), []byte("another"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, said, code := r.said(t, "upload", filepath.Join(r.dir, "other.bin"), filepath.Join(r.dir, "sub"), "-p", "s3://"+server.Bucket+"/same/"); code != exitUsage ||
		out != "s3://"+server.Bucket+"/same/other.bin\n" || !strings.Contains(said, "would replace it; --relative") {
		t.Errorf("two files for one key: exit code %d, %s%s", code, out, said)
	}
	if body, _ := s3Object(t, server, "same/other.bin"); string(body) != "other" {
		t.Errorf("of two files for one key the first is replaced by %q", body)
	}
	for _, single := range []string{"true", "false"} {
		_, said, code := r.said(t, "upload", filepath.Join(r.dir, "other.bin"), "-p", "s3://"+server.Bucket+"/ü +?#%.bin", "--set", "if-none-match=*", "--set", "single-put="+single)
		if code != exitFailed || !strings.Contains(said, "exists already") {
			t.Errorf("single-put=%s: overwriting: exit code %d, %s", single, code, said)
		}
	}
	for args, want := range map[string]int{
		"s3://no-such-bucket-here": exitFailed, "s3://": exitUsage, "s3://No": exitUsage, "s3": exitUsage,
	} {
		if _, said, code := r.said(t, "upload", filepath.Join(r.dir, "other.bin"), "-p", args); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", args, code, want, said)
		}
	}
	if out, said, _ := r.said(t, "list"); out != "" {
		t.Errorf("what the store refused, and has nothing of, is in the journal:\n%s%s", out, said)
	}
	r.env = append(r.env, "AWS_SECRET_ACCESS_KEY=", "AWS_ACCESS_KEY_ID=")
	if _, said, code := r.said(t, "upload", filepath.Join(r.dir, "other.bin"), "-p", "s3://"+server.Bucket); code != exitDenied || !strings.Contains(said, "AWS_ACCESS_KEY_ID") {
		t.Errorf("without credentials: exit code %d\n%s", code, said)
	}
}
