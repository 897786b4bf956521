package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// rigFor serves an API. A store of the server's is a *s3store.Store.
func rigFor(t *testing.T, s *sandbox.Server) *rig {
	t.Helper()
	takePlace(t)
	r := &rig{dir: t.TempDir(), server: s}
	r.store, _ = s.Store.(*s3store.Store)
	s.Dir, s.Key = filepath.Join(r.dir, "served"), "key-of-"+s.API+"-"+sha(t.Name())[:16]
	s.Faults = &sandbox.Faults{}
	r.watch()
	var (
		base   string
		stop   func() error
		err    error
		before = s.StoreURL == "" // nothing else is in front of the store
	)
	for range 10 { // another test may be quicker to take an address that is free
		if before {
			s.StoreListen = realstore.Addr(t)
		}
		if base, stop, err = s.Start(t.Context(), realstore.Addr(t)); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := provider.Load(s.API)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(r.dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	r.listen, r.stop = u.Host, stop
	r.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "XDG_STATE_HOME=" + r.dir, "XDG_CONFIG_HOME=" + r.dir, "NO_PROXY=*",
		"SystemRoot=" + os.Getenv("SystemRoot"), "USERPROFILE=" + r.dir, "LocalAppData=" + r.dir, "AppData=" + r.dir,
		"TMPDIR=" + tmp, "TEMP=" + tmp, "TMP=" + tmp,
		m.KeyEnv() + "=" + s.Key, "MULTIPUT_" + strings.ToUpper(s.API) + "_BASE_URL=" + base,
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if left := r.server.Faults.Unfired(); len(left) > 0 {
			t.Errorf("these faults did not fire: %s", strings.Join(left, ", "))
		}
		secrets{t: t, dir: r.dir, served: "served", words: append(r.secret, r.server.Key), api: r.server.API}.check(r.server.Requests())
	})
	return r
}

// onReal serves an API with a bucket of its own of a real S3 server behind it.
func onReal(t *testing.T, server realstore.Server, s *sandbox.Server) *rig {
	t.Helper()
	s.Store = bucket(t, server)
	return rigFor(t, s)
}

// bucket makes one on a running server.
func bucket(t *testing.T, server realstore.Server) *s3store.Store {
	t.Helper()
	server.Bucket = "multiput-" + sha(t.Name())[:20]
	c, err := server.Client()
	if err == nil {
		err = c.MakeBucket(t.Context(), server.Bucket, minio.MakeBucketOptions{Region: realstore.Region})
	}
	if err != nil {
		t.Fatal(err)
	}
	store, err := s3store.Open(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (r *rig) watch() {
	tell := func(after bool) func(sandbox.Request) {
		return func(q sandbox.Request) {
			if f := r.onEvent.Load(); f != nil {
				(*f)(q, after)
			}
		}
	}
	r.server.Before, r.server.After = tell(false), tell(true)
	r.server.Kill = r.kill
}

// kill ends the process that was started last.
func (r *rig) kill() {
	r.starting.Lock() // a process may ask before it is noted
	p := r.now
	r.starting.Unlock()
	p.kill()
}

// fault declares faults, each of which must fire.
func (r *rig) fault(t *testing.T, specs ...string) {
	t.Helper()
	if err := r.server.Faults.Add(specs...); err != nil {
		t.Fatal(err)
	}
}

// life is a process on its way.
type life struct {
	cmd            *exec.Cmd
	stdout, stderr messages
	secret         []string // what it must not say
	ended          chan struct{}
	err            error
}

// launch starts a process, which is the one to be killed.
func (r *rig) launch(t *testing.T, env []string, name string, args ...string) *life {
	t.Helper()
	p := &life{cmd: exec.CommandContext(t.Context(), name, args...), secret: append(slices.Clone(r.secret), r.server.Key), ended: make(chan struct{})}
	p.cmd.Env = slices.Concat(r.env, env)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	r.starting.Lock()
	defer r.starting.Unlock()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	r.now = p
	return p
}

// kill ends it outright and returns when it has ended.
func (p *life) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// wait gives its exit code, -1 if it was killed. What it said holds no secret.
func (p *life) wait(t *testing.T) int {
	t.Helper()
	<-p.ended
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	for _, said := range []string{p.stdout.String(), p.stderr.String()} {
		if signature.MatchString(said) || slices.ContainsFunc(p.secret, func(s string) bool { return strings.Contains(said, s) }) {
			t.Errorf("a secret was printed: %q", said)
		}
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until it has said on stderr, n times, what the pattern matches.
func (p *life) says(t *testing.T, pattern string, n int) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(time.Minute)
	for {
		more := p.stderr.next()
		if len(re.FindAllString(p.stderr.String(), -1)) >= n {
			return
		}
		select {
		case <-more:
			continue
		case <-p.ended:
			if len(re.FindAllString(p.stderr.String(), -1)) >= n {
				return
			}
		case <-limit:
		}
		t.Fatalf("it did not say %q %d times:\n%s", pattern, n, p.stderr.String())
	}
}

// messages is what a process says, which may be waited for.
type messages struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{} // closed by the next write
}

func (k *messages) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.more != nil {
		close(k.more)
		k.more = nil
	}
	return k.b.Write(p)
}

func (k *messages) next() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.more == nil {
		k.more = make(chan struct{})
	}
	return k.more
}

func (k *messages) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.String()
}

// named makes a file of random bytes.
func (r *rig) named(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(r.dir, name)
	f, err := os.Create(path)
	if err == nil {
		_, err = io.CopyN(f, rand.NewChaCha8(sha256.Sum256([]byte(t.Name()+name))), size)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// serveAgain starts a server like the one that was stopped in its place.
func (r *rig) serveAgain(t *testing.T) {
	t.Helper()
	old := r.server
	r.server = &sandbox.Server{
		API: old.API, Dir: old.Dir, Key: old.Key, StoreListen: strings.TrimPrefix(old.StoreURL, "http://"),
		PartSize: old.PartSize, Faults: old.Faults,
	}
	r.watch()
	r.startAgain(t)
}

// life launches multiput and gives its stdout and exit code.
func (r *rig) life(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	p := r.launch(t, env, "multiput", args...)
	code := p.wait(t)
	if code > 0 {
		t.Logf("multiput %s: exit code %d\n%s", strings.Join(args, " "), code, p.stderr.String())
	}
	return p.stdout.String(), code
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
