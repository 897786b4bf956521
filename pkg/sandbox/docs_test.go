package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/sandbox"
)

// docs/sandbox.md is true: its examples run, and every kind of fault is in it.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "sandbox.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = sandbox.ParseFaults("put:nothing")
	_, kinds, _ := strings.Cut(err.Error(), "the kinds are ")
	for kind := range strings.SplitSeq(kinds, ", ") {
		if !regexp.MustCompile("\\| `" + kind + "[`=\\[]").Match(text) {
			t.Errorf("the page has no row for %s", kind)
		}
	}

	if runtime.GOOS == "windows" {
		t.Skip("the examples are for a shell")
	}
	if testing.Short() {
		t.Skip("the examples need a build of multiput")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/multiput")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build multiput: %v\n%s", err, out)
	}
	examples := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) < 5 {
		t.Fatalf("the page has %d examples", len(examples))
	}
	for i, example := range examples {
		script := string(example[1])
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "big.bin"), bytesOf(5_000_000), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script)
			cmd.Dir = dir
			cmd.Env = []string{
				"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + dir,
				"XDG_STATE_HOME=" + filepath.Join(dir, "state"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
			}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "did not happen") {
				t.Errorf("%s%v\n%s", script, err, out)
			}
			for _, fault := range regexp.MustCompile(`--fault '(.*?)'`).FindAllStringSubmatch(script, -1) {
				if !strings.Contains(string(out), "[fault "+fault[1]+"]") {
					t.Errorf("the fault %s is not in the log:\n%s", fault[1], out)
				}
			}
		})
	}
}
