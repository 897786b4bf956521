package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// BenchmarkMinIO sends 1 GiB to a MinIO on this machine: with `mc cp`, with
// verification, and without. For the first, mc is looked for on the PATH:
//
//	go install github.com/minio/mc@latest
func BenchmarkMinIO(b *testing.B) {
	const size = 1 << 30
	if by, err := exec.CommandContext(b.Context(), "mc", "--version").Output(); err != nil || !strings.Contains(string(by), "MinIO") {
		b.Skip("MinIO's mc is not installed: go install github.com/minio/mc@latest")
	}
	server := realstore.MinIO(b)
	r := newBench(b, "archetype", 1<<20)
	file := r.sparse(b, size)
	warm(b, file)
	scheme, host, _ := strings.Cut(server.Endpoint, "://")
	env := append(os.Environ(), "XDG_STATE_HOME="+r.dir, "XDG_CONFIG_HOME="+r.dir, "HOME="+r.dir, "NO_PROXY=*", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey, "AWS_REGION="+realstore.Region, "AWS_ENDPOINT_URL_S3="+server.Endpoint,
		"MC_HOST_bench="+scheme+"://"+server.AccessKey+":"+server.SecretKey+"@"+host)
	multiput := func(checksum string) func() measured {
		return func() measured {
			return measure(b, env, r.bin, "upload", file, "-p", "s3://"+server.Bucket+"/multiput/", "-q", "--checksum", checksum)
		}
	}
	took := compareTools(b,
		&tool{name: "mc", run: func() measured { return measure(b, env, "mc", "-q", "cp", file, "bench/"+server.Bucket+"/mc/") }},
		&tool{name: "verified", run: multiput("require")},
		&tool{name: "off", run: multiput("off")},
	)
	compare(b, "verified/mc", took["verified"], took["mc"])
	compare(b, "off/mc", took["off"], took["mc"])
	b.ReportMetric(size*float64(b.N)/took["verified"].wall.Seconds()/1e6, "verified-MB/s")
}
