package realstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// Companion starts Uppy's Companion, which creates, signs and completes uploads
// to s, and returns its base URL.
func Companion(tb testing.TB, s Server) string {
	tb.Helper()
	dir := tb.TempDir()
	return node(tb, "companion", func(modules, host, port string) []string {
		return []string{filepath.Join(modules, "serve.mjs"), port, s.Endpoint, s.Bucket, Region, s.AccessKey, s.SecretKey, dir}
	})
}

// The account that Azurite always has; its key is no secret.
const (
	AzuriteAccount = "devstoreaccount1"
	AzuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// Azurite starts Azurite's blob service, and returns the URL of its account.
func Azurite(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	return node(tb, "azurite", func(modules, host, port string) []string {
		return []string{
			filepath.Join(modules, "node_modules", "azurite", "dist", "src", "blob", "main.js"), "--blobHost", host, "--blobPort", port,
			"--location", dir, "--silent", "--disableTelemetry", "--skipApiVersionCheck",
		}
	}) + "/" + AzuriteAccount
}

// node starts a server of testdata/tools that npm installs, and returns its URL.
func node(tb testing.TB, name string, args func(modules, host, port string) []string) string {
	tb.Helper()
	if testing.Short() {
		tb.Skipf("realstore: no %s with -short", name)
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(tb, fmt.Sprintf("realstore: NOT TESTED AGAINST %s: there is no %s here", name, program))
		}
	}
	modules, err := install(tb, name)
	if err != nil {
		missing(tb, fmt.Sprintf("realstore: NOT TESTED AGAINST %s: %v", name, err))
	}
	if Gate != nil {
		Gate(tb)
	}
	for try := 1; ; try++ {
		addr := Addr(tb)
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			tb.Fatal(err)
		}
		dir := tb.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
			tb.Fatal(err)
		}
		_, err = spawn(tb, tool{name: name}, "node", dir, args(modules, host, port), nil, func(ctx context.Context, p *process) error { return answers(ctx, "http://"+addr, p) })
		if err == nil {
			return "http://" + addr
		}
		if try == 3 || !errors.Is(err, errEnded) {
			tb.Fatalf("realstore: start %s: %v", name, err)
		}
	}
}

// install has npm install what a directory of testdata/tools pins, once: it
// stays in the user's cache directory.
func install(tb testing.TB, name string) (modules string, err error) {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	pinned := os.DirFS(filepath.Join(root, "testdata", "tools", name))
	h := sha256.New()
	for _, file := range []string{"package.json", "package-lock.json"} {
		b, err := fs.ReadFile(pinned, file)
		if err != nil {
			return "", fmt.Errorf("read pinned versions: %w", err)
		}
		h.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	modules = filepath.Join(cache, "multiput-test", fmt.Sprintf("%s-%x", name, h.Sum(nil)[:6]))
	if err := os.MkdirAll(modules, 0o700); err != nil {
		return "", fmt.Errorf("make cache directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), buildTimeout)
	defer cancel()
	lock := flock.New(filepath.Join(modules, "install.lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another installation (%s): %w", lock.Path(), err)
	}
	defer func() { _ = lock.Close() }()
	// What is not pinned by a checksum, such as a script of ours, is copied again.
	for _, file := range []string{"package.json", "package-lock.json", "serve.mjs"} {
		b, err := fs.ReadFile(pinned, file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(modules, file), b, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("copy %s: %w", file, err)
		}
	}
	whole := filepath.Join(modules, "installed")
	if isFile(whole) {
		return modules, nil
	}
	tb.Logf("realstore: installing %s (%s), once", name, modules)
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund")
	cmd.Dir = modules
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return modules, os.WriteFile(whole, nil, 0o600)
}

// answers waits until a server answers, whatever it says.
func answers(ctx context.Context, url string, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err == nil {
			return res.Body.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%w: %w", errEnded, p.err)
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", startWithin, err)
		case <-tick.C:
		}
	}
}
