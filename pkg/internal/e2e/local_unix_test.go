//go:build unix

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Below a working directory whose path is as long as the system takes, a file
// still has a short name.
func TestDeepWorkingDirectory(t *testing.T) {
	r := newRig(t, "archetype", 16<<10)
	// Built one below the other: no path of the whole can be used.
	script := `
set -e
mkdir deep && cd deep
d=$(printf 'd%.0s' $(seq 200))
for i in $(seq 25); do mkdir "$d" && cd -P "./$d"; done
cp "$1" a.bin
shift
exec "$@"`
	file := r.file(t, 50_000)
	sh := exec.CommandContext(t.Context(), "bash", "-c", script, "bash", file, "multiput", "upload", "-p", "archetype", "a.bin")
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash to make a deep directory with")
	}
	sh.Dir, sh.Env = r.dir, r.env
	out, err := sh.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.cmpObject(t, file)
	rm := exec.CommandContext(t.Context(), "rm", "-rf", "deep")
	rm.Dir = r.dir
	if out, err := rm.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// The HOME of another user, as under sudo, is named as what is wrong.
func TestHomeOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to be two users")
	}
	dir, err := os.MkdirTemp("", "multiput-test") //nolint:usetesting // t.TempDir is for this user alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // the system clears it away too
	home := filepath.Join(dir, "home")
	exe, err := exec.LookPath("multiput")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	own := filepath.Join(dir, "multiput")
	err = errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(own, b, 0o755), os.Chmod(own, 0o755), os.MkdirAll(filepath.Join(home, ".config", "multiput"), 0o700), os.Chmod(home, 0o700))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), own, "upload", "-p", "sandbox", own)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitConfig || !strings.Contains(string(out), "hint: ") || !strings.Contains(string(out), "HOME") {
		t.Errorf("%v: %s", err, out)
	}
}
