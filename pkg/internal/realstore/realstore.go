// Package realstore runs real S3 servers for tests: MinIO and versitygw, of the
// versions pinned in testdata/tools; and toxiproxy, which breaks the network in
// front of them. Further Uppy's Companion, an upload API in front of an S3
// server, and Azurite, which npm installs. Each call starts a server of its own on a
// loopback port, with random credentials, an empty bucket and a temporary
// directory, and stops it when the test ends. It is for tests alone: nothing
// that ships imports it.
//
// The first test that asks for a server builds it, which takes minutes; the
// binary stays in the user's cache directory. To build all up front:
//
//	go test -timeout 30m ./pkg/internal/realstore -build
//
// The tests of a package wait for builds four minutes in all. Then, and where a
// server cannot be built, a test is skipped, and says so on stderr. With CI=true
// in the environment it waits until its own deadline and fails: there a skip
// would hide that nothing was tested.
// With -short no server is started anywhere.
package realstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Region is the region that every Server signs for.
const Region = "us-east-1"

// Gate limits how many tests run at once: if it is set, before any test runs, it
// is called when a server is built and about to start. So a test that waits for a
// build takes no place.
var Gate func(testing.TB)

// startWithin bounds the wait for a server's first good answer. It takes under
// a second, but longer on a machine that runs other tests at the same time.
const startWithin = time.Minute

// Server is a running S3 server with one empty bucket.
type Server struct {
	Endpoint  string // the origin, http://127.0.0.1:PORT
	Bucket    string
	AccessKey string
	SecretKey string
	PID       int // of its process, for tests that freeze it
}

// MinIO starts a MinIO server.
func MinIO(tb testing.TB) Server {
	tb.Helper()
	return start(tb, minioTool)
}

// VersityGW starts a versitygw server over a local directory.
//
// It keeps object metadata in files of their own rather than in extended
// attributes, so it runs on any file system.
func VersityGW(tb testing.TB) Server {
	tb.Helper()
	return start(tb, versitygwTool)
}

// Client returns an S3 client for s, to look at what a test stored. It tries
// each request once.
func (s Server) Client() (*minio.Client, error) {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	c, err := minio.New(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Region:       Region,
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   1,
	})
	if err != nil {
		return nil, fmt.Errorf("make client for %s: %w", s.Endpoint, err)
	}
	return c, nil
}

// tool is a server that testdata/tools pins.
type tool struct {
	name    string // its directory in testdata/tools
	module  string // the module whose version names the binary
	pkg     string // the package to build
	command func(addr, dir string, s Server) (args, env []string)
}

var minioTool = tool{
	name:   "minio",
	module: "github.com/minio/minio",
	pkg:    "github.com/minio/minio",
	command: func(addr, dir string, s Server) (args, env []string) {
		args = []string{"server", "--address", addr, "--quiet", "--anonymous",
			"--certs-dir", filepath.Join(dir, "certs"), filepath.Join(dir, "data")}
		env = []string{
			"MINIO_ROOT_USER=" + s.AccessKey,
			"MINIO_ROOT_PASSWORD=" + s.SecretKey,
			"MINIO_BROWSER=off", // no console, so no second port
			"MINIO_UPDATE=off",  // no look at the network for a newer version
		}
		return args, env
	},
}

var versitygwTool = tool{
	name:   "versitygw",
	module: "github.com/versity/versitygw",
	pkg:    "github.com/versity/versitygw/cmd/versitygw",
	command: func(addr, dir string, s Server) (args, env []string) {
		args = []string{"--port", addr, "--region", Region, "--quiet",
			"posix", "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data")}
		env = []string{
			"ROOT_ACCESS_KEY_ID=" + s.AccessKey,
			"ROOT_SECRET_ACCESS_KEY=" + s.SecretKey,
		}
		return args, env
	},
}

// start builds t if need be and runs it until the test ends.
func start(tb testing.TB, t tool) Server {
	tb.Helper()
	return started(tb, t, func(bin string) (Server, error) { return run(tb, t, bin) })
}

// started builds t if need be and runs it.
func started[S any](tb testing.TB, t tool, run func(bin string) (S, error)) S {
	tb.Helper()
	if testing.Short() {
		tb.Skipf("realstore: no %s with -short", t.name)
	}
	bin, err := build(tb, t)
	if err != nil {
		missing(tb, fmt.Sprintf("realstore: NOT TESTED AGAINST %s: %v\nbuild it once with: %s", t.name, err, Command))
	}
	if Gate != nil {
		Gate(tb)
	}
	// A program that knows nothing of our reservations may take the address
	// first. Then the server ends at once, and the next try finds another.
	for try := 1; ; try++ {
		s, err := run(bin)
		if err == nil {
			return s
		}
		if try == 3 || !errors.Is(err, errEnded) {
			tb.Fatalf("realstore: start %s: %v", t.name, err)
		}
		tb.Logf("realstore: start %s, try %d: %v", t.name, try, err)
	}
}

// missing ends a test that has no server: it fails in CI and is skipped elsewhere.
func missing(tb testing.TB, why string) {
	tb.Helper()
	if inCI() {
		tb.Fatal(why)
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", tb.Name(), why)
	tb.Skip(why)
}

func inCI() bool {
	ci := os.Getenv("CI")
	on, err := strconv.ParseBool(ci)
	return ci != "" && (on || err != nil)
}

// errEnded says that the server ended before it answered.
var errEnded = errors.New("the server ended")

// run starts bin once and waits until its bucket exists.
func run(tb testing.TB, t tool, bin string) (Server, error) {
	tb.Helper()
	dir := tb.TempDir()
	for _, d := range []string{"data", "meta", "certs", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			return Server{}, fmt.Errorf("make directory: %w", err)
		}
	}
	addr := Addr(tb)
	s := Server{
		Endpoint:  "http://" + addr,
		Bucket:    "multiput-" + strings.ToLower(rand.Text()[:10]),
		AccessKey: rand.Text()[:20],
		SecretKey: rand.Text(),
	}
	args, env := t.command(addr, dir, s)
	var err error
	s.PID, err = spawn(tb, t, bin, dir, args, env, func(ctx context.Context, p *process) error { return waitReady(ctx, s, p) })
	if err != nil {
		return Server{}, err
	}
	return s, nil
}

// spawn starts bin, waits until it is ready and has it end with the test.
func spawn(tb testing.TB, t tool, bin, dir string, args, env []string, ready func(context.Context, *process) error) (pid int, err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return 0, fmt.Errorf("create log: %w", err)
	}
	// The test's own context ends before its cleanups, which may need the server.
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = dir
	cmd.Env = append(environ(dir), env...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := launch(cmd)
	if err != nil {
		cancel()
		return 0, errors.Join(err, log.Close())
	}
	stop := func() {
		cancel() // a kill: what it stored is thrown away
		<-p.ended
		_ = log.Close()
	}
	if err := ready(tb.Context(), p); err != nil {
		stop()
		return 0, fmt.Errorf("%w\n%s", err, tail(log.Name()))
	}
	tb.Cleanup(func() {
		select {
		case <-p.ended:
			tb.Errorf("realstore: %s ended before the test did: %v\n%s", t.name, p.err, tail(log.Name()))
		default:
		}
		stop()
		if tb.Failed() {
			tb.Logf("realstore: the end of %s's log:\n%s", t.name, tail(log.Name()))
		}
	})
	return cmd.Process.Pid, nil
}

// environ is the little that a server needs of this process's environment:
// no credentials, no proxy, and a home of its own.
func environ(dir string) []string {
	env := []string{"HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "tmp")}
	for _, name := range []string{"PATH", "SYSTEMROOT", "USERPROFILE", "TEMP", "TMP"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// waitReady creates the bucket. That proves more than an open port: what
// answers knows these credentials, so it is this server and it works.
func waitReady(ctx context.Context, s Server, p *process) error {
	c, err := s.Client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := makeBucket(ctx, c, s.Bucket)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%w: %w", errEnded, p.err)
		case <-ctx.Done():
			return fmt.Errorf("no bucket within %s: %w", startWithin, err)
		case <-tick.C:
		}
	}
}

func makeBucket(ctx context.Context, c *minio.Client, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: Region})
	if minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou {
		return nil // an earlier try made it and its answer was lost
	}
	if err != nil {
		return fmt.Errorf("make bucket: %w", err)
	}
	return nil
}

// tail returns the end of a log.
func tail(path string) string {
	const most = 4 << 10
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return string(b)
}
