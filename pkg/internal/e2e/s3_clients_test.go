package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// TestS3OtherClients reads back by aws and mc what was uploaded, and looks for the
// checksum, metadata and tags. (An aws of before 2025 knows no CRC-64/NVME.)
func TestS3OtherClients(t *testing.T) {
	t.Parallel()
	server := realstore.MinIO(t)
	r := onS3(t, server)
	file := r.file(t, 2*realPart+17)
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, code := r.multiput(t, nil, "upload", file, "-p", "s3://"+server.Bucket+"/k/", "--part-size", "5MiB", "--set", "checksum=crc32c",
		"--set", "metadata=author=Ada", "--set", "tags=team=blue", "--jq", ".reply.checksum_crc32c")
	sum := strings.TrimSpace(out)
	if code != 0 || sum == "" {
		t.Fatalf("upload: exit code %d, %q", code, out)
	}
	key, env := "k/file.bin", append(slices.Clone(r.env), "MC_HOST_m="+strings.Replace(server.Endpoint, "://", "://"+server.AccessKey+":"+server.SecretKey+"@", 1))
	got := filepath.Join(r.dir, "got")
	for tool, steps := range map[string][]struct {
		args  []string
		wants []string
	}{
		"aws": {
			{[]string{"--endpoint-url", server.Endpoint, "s3api", "head-object", "--bucket", server.Bucket, "--key", key, "--checksum-mode", "ENABLED"}, []string{`"author": "Ada"`, sum}},
			{[]string{"--endpoint-url", server.Endpoint, "s3api", "get-object-tagging", "--bucket", server.Bucket, "--key", key}, []string{`"team"`, `"blue"`}},
			{[]string{"--endpoint-url", server.Endpoint, "s3", "cp", "--only-show-errors", "s3://" + server.Bucket + "/" + key, got}, nil},
		},
		"mc": {
			{[]string{"stat", "--json", "m/" + server.Bucket + "/" + key}, []string{`"X-Amz-Meta-Author":"Ada"`, sum}},
			{[]string{"tag", "list", "--json", "m/" + server.Bucket + "/" + key}, []string{`"team":"blue"`}},
			{[]string{"cp", "--quiet", "m/" + server.Bucket + "/" + key, got + ".mc"}, nil},
		},
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			bin, err := exec.LookPath(tool)
			if err != nil {
				why := fmt.Sprintf("%s: NOT TESTED WITH %s, which is not installed", t.Name(), tool)
				fmt.Fprintln(os.Stderr, why)
				t.Skip(why)
			}
			for _, s := range steps {
				cmd := exec.CommandContext(t.Context(), bin, s.args...)
				cmd.Env = env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s %q: %v\n%s", tool, s.args, err, out)
				}
				plain := strings.ReplaceAll(strings.ReplaceAll(string(out), `": "`, `":"`), "\n", "")
				for _, w := range s.wants {
					if !strings.Contains(plain, strings.ReplaceAll(w, `": "`, `":"`)) {
						t.Errorf("%s %q has not %s:\n%s", tool, s.args, w, out)
					}
				}
			}
			path := map[string]string{"aws": got, "mc": got + ".mc"}[tool]
			if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, want) {
				t.Errorf("%s reads other bytes (%v)", tool, err)
			}
		})
	}
}
