package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// TestOpenAISDK has OpenAI's own SDK go through the life of an upload, and meet
// every class of error: what it accepts, and what it makes of an answer, is
// OpenAI's word. It takes node and npm, and the network once, for the one
// package that testdata/tools/openai-sdk pins.
func TestOpenAISDK(t *testing.T) {
	if testing.Short() {
		t.Skip("it installs a package")
	}
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "true" {
			t.Skipf("SKIPPED: there is no %s here, so that OpenAI's SDK is not tried", program)
		} else if err != nil {
			t.Fatalf("CI needs node and npm: %v", err)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "testdata", "tools", "openai-sdk"))); err != nil {
		t.Fatal(err)
	}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "OPENAI_API_KEY="+testKey)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")

	// One after the other: each class of error is one fault's, and the last
	// create is refused twice before it passes.
	faults, err := sandbox.ParseFaults(
		"create@after=6:status=403", "create@after=6:status=409", "create@after=6:status=422", "create@after=6:status=429",
		"create@after=6:status=503", "create@after=6:status=500", "create@after=6:status=429,retry-after-ms=1",
	)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, &sandbox.Server{API: "openai", Faults: faults})
	file := filepath.Join(dir, "file.jsonl")
	want := bytesOf(300_001)
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	out := command("node", "check.mjs", r.base, file)
	t.Log(out)
	if n := strings.Count(out, "ok "); n != 6 {
		t.Errorf("%d things hold, want 6", n)
	}
	if left := faults.Unfired(); len(left) > 0 {
		t.Errorf("these faults did not fire: %v", left)
	}
}
