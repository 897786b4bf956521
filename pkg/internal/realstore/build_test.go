package realstore

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// TestBuildsAreNotWaitedForForEver has another process build something
// forever. Outside CI, two tests wait for it once, and are skipped; in CI they fail.
// Both say how to build it.
func TestBuildsAreNotWaitedForForEver(t *testing.T) {
	const childEnv = "REALSTORE_TEST_WAITS"
	if os.Getenv(childEnv) != "" {
		waiting.most = 500 * time.Millisecond
		t.Run("first", func(t *testing.T) { MinIO(t) })
		t.Run("second", func(t *testing.T) { VersityGW(t) })
		return
	}
	if testing.Short() {
		t.Skip("no servers with -short")
	}
	home := t.TempDir()
	env := append(os.Environ(), childEnv+"=1", "HOME="+home, "XDG_CACHE_HOME="+home, "LocalAppData="+home)
	cache := home
	if dir, err := os.UserCacheDir(); err == nil && strings.HasSuffix(dir, filepath.Join("Library", "Caches")) {
		cache = filepath.Join(home, "Library", "Caches")
	}
	dir := filepath.Join(cache, "multiput-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock := flock.New(filepath.Join(dir, "build.lock"))
	if ok, err := lock.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	defer lock.Close()
	for _, c := range []struct {
		ci, want string
		fails    bool
	}{{"", "--- SKIP: ", false}, {"false", "--- SKIP: ", false}, {"true", "--- FAIL: ", true}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=11s")
		cmd.Env = append(env, "CI="+c.ci)
		began := time.Now()
		out, err := cmd.CombinedOutput()
		said := string(out)
		if (err != nil) != c.fails || strings.Count(said, c.want+t.Name()+"/") != 2 || !strings.Contains(said, "NOT TESTED AGAINST versitygw") || !strings.Contains(said, Command) {
			t.Errorf("CI=%s: %v\n%s", c.ci, err, said)
		}
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("CI=%s: it took %s", c.ci, took)
		}
	}
}
