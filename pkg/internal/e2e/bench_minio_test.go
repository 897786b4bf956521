package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// BenchmarkMinIO sends 2 GiB to a MinIO on this machine: with those of `mc cp`, `aws s3
// cp` and `rclone copyto` that are on the PATH, with verification, without, and with four
// processes that share a plan. MinIO's mc has to be there:
//
//	go install github.com/minio/mc@latest
func BenchmarkMinIO(b *testing.B) {
	const size = 2 << 30
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
		"MC_HOST_bench="+scheme+"://"+server.AccessKey+":"+server.SecretKey+"@"+host,
		"RCLONE_CONFIG_BENCH_TYPE=s3", "RCLONE_CONFIG_BENCH_PROVIDER=Minio", "RCLONE_CONFIG_BENCH_ENV_AUTH=true", "RCLONE_CONFIG_BENCH_ENDPOINT="+server.Endpoint)
	run := func(name string, args ...string) func() measured {
		return func() measured { return measure(b, env, name, args...) }
	}
	to := "s3://" + server.Bucket + "/f" // the same object for all, since each takes 2 GiB
	tools := []*tool{
		{name: "verified", run: run(r.bin, "upload", file, "-p", to, "-q", "--checksum", "require")},
		{name: "off", run: run(r.bin, "upload", file, "-p", to, "-q", "--checksum", "off", "--set", "checksum=etag")},
		{name: "put", run: func() measured {
			plan := filepath.Join(r.dir, "plan")
			measure(b, env, r.bin, "plan", file, "-p", to, "-q", "-o", plan, "--part-checksums")
			took := measure(b, env, "sh", "-c", `seq 4 | xargs -P 4 -I{} "$0" put "$1" "$2" --shard {}/4 -q -o "$1".{}`, r.bin, plan, file)
			measure(b, env, "sh", "-c", `exec "$0" complete "$1" "$1".? -q`, r.bin, plan)
			return took
		}},
	}
	others := map[string][]string{
		"mc":     {"-q", "cp", file, "bench/" + server.Bucket + "/f"},
		"aws":    {"s3", "cp", file, to, "--endpoint-url", server.Endpoint, "--only-show-errors"},
		"rclone": {"copyto", file, "bench:" + server.Bucket + "/f", "-q"},
	}
	for name, args := range others {
		if _, err := exec.LookPath(name); err != nil {
			delete(others, name)
			continue
		}
		tools = append(tools, &tool{name: name, run: run(name, args...)})
	}
	took := compareTools(b, tools...)
	for name := range others {
		compare(b, "verified/"+name, took["verified"], took[name])
	}
	compare(b, "off/mc", took["off"], took["mc"])
	compare(b, "put/verified", took["put"], took["verified"])
	b.ReportMetric(size*float64(b.N)/took["verified"].wall.Seconds()/1e6, "verified-MB/s")
}
