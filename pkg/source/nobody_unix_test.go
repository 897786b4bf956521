//go:build unix

package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// asNobody runs a test of this program as a user who owns nothing, with a file
// to work on. It takes root.
func asNobody(t *testing.T, test, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this file system has no modes")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Where that user can get at both.
	dir, err := os.MkdirTemp("", "multiput-test") //nolint:usetesting // t.TempDir is for this user alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // the system clears it away too
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	for _, err := range []error{
		os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "exe"), b, 0o755), os.Chmod(filepath.Join(dir, "exe"), 0o755), os.WriteFile(file, []byte("x"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "exe"), "-test.run", test, "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), unreadableEnv+"="+file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	t.Logf("as another user, of %s: %s", path, out)
	if err != nil {
		t.Error(err)
	}
}
