package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multiput/multiput/pkg/sandbox"
)

// disk mounts a small file system where the state of a rig is, and gives
// its directory. It takes root, in a place where root may mount.
func (r *rig) disk(t *testing.T) string {
	t.Helper()
	dir := filepath.Dir(r.journal())
	must(t, os.MkdirAll(dir, 0o700))
	if err := unix.Mount("multiput-test", dir, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		t.Skipf("NO DISK WAS TRIED: this process may mount none: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// The disk of the journal fills up in the middle of an upload, is full when one
// begins, and has room again: nothing that was recorded is lost.
func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	const part, parts = 1 << 10, 1000
	r := newRig(t, "upscayl", part)
	dir := r.disk(t)
	file := r.file(t, part*parts)
	args := []string{"upload", file, "-p", "upscayl", "-j", "4"}
	began := r.watched(t, "put@part=3:slow=1k")
	p := r.start(t, args...)
	await(t, began, sandbox.StepPut, 3)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk does not fill up: %v", err)
	}
	if code := p.ends(t, time.Minute); code != exitJournal || !strings.Contains(p.messages.String(), "free some space") || p.out.String() != "" {
		t.Fatalf("exit code %d: %s%s", code, &p.out, &p.messages)
	}
	if _, messages, code := r.said(t, args...); code != exitJournal || !strings.Contains(messages, "free some space") {
		t.Errorf("while it is full: exit code %d: %s", code, messages)
	}
	must(t, os.Remove(ballast))
	// What was on its way when there was no room is sent again, and no more.
	if _, messages, code := r.said(t, args...); code != 0 || r.puts() > parts+2*4 {
		t.Errorf("with room again: exit code %d, %d parts for %d: %s", code, r.puts(), parts, messages)
	}
	r.cmpObject(t, file)
}

// An upload of which some is stored ends on a full disk: its file makes room for the
// line of the history.
func TestDeliveredOnAFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	dir := r.disk(t)
	file := r.file(t, 5*64<<10)
	args := []string{"upload", file, "-p", "upscayl", "-j", "1"}
	if _, code := r.multiput(t, []string{killEnv + "=receipt=2+"}, args...); code != -1 {
		t.Fatalf("exit code %d, want to be killed", code)
	}
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk does not fill up: %v", err)
	}
	if out, messages, code := r.said(t, args...); code != 0 || out == "" {
		t.Errorf("exit code %d: %s%s", code, out, messages)
	}
	if out, messages, code := r.said(t, "list", "--all", "--jq", ".uploads[].state"); code != 0 || out != "delivered\n" {
		t.Errorf("list: exit code %d: %s%s", code, out, messages)
	}
	r.cmpObject(t, file)
}

// The state directory is read-only, from the beginning or with an upload in it:
// that is listed all the same.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	dir := r.disk(t)
	file := r.file(t, 5*64<<10)
	args := []string{"upload", file, "-p", "upscayl", "-j", "1"}
	remount := func(flags uintptr) { must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|flags, "size=2m")) }

	remount(unix.MS_RDONLY)
	_, messages, code := r.said(t, args...)
	if code != exitJournal || !strings.Contains(messages, "the file system is read-only") || len(r.server.Requests()) > 0 {
		t.Errorf("exit code %d, %d requests: %s", code, len(r.server.Requests()), messages)
	}
	remount(0)
	if _, code := r.multiput(t, []string{killEnv + "=receipt=2+"}, args...); code != -1 {
		t.Fatalf("exit code %d, want to be killed", code)
	}
	remount(unix.MS_RDONLY)
	before := r.puts()
	if _, messages, code := r.said(t, args...); code != exitJournal || !strings.Contains(messages, "the file system is read-only") || r.puts() != before {
		t.Errorf("exit code %d: %s", code, messages)
	}
	if out, messages, code := r.said(t, "list", "--jq", ".uploads[].parts_stored"); code != 0 || out != "2\n" {
		t.Errorf("list: exit code %d: %s%s", code, out, messages)
	}
	remount(0)
	if _, messages, code := r.said(t, args...); code != 0 || r.puts()-before > 3 {
		t.Errorf("writable again: exit code %d, %d parts: %s", code, r.puts()-before, messages)
	}
	r.cmpObject(t, file)
}

// The state directory goes while a part is on its way: that is said, nothing is
// completed by half, and the next run starts over.
func TestStateDirectoryVanishes(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	began := r.watched(t, "put@part=3:stall=1000")
	file := r.file(t, 5*64<<10)
	args := []string{"upload", file, "-p", "upscayl", "-j", "1", "--stall-timeout", "1s"}
	p := r.start(t, args...)
	await(t, began, sandbox.StepPut, 3)
	must(t, os.RemoveAll(filepath.Dir(r.journal())))
	if code := p.ends(t, time.Minute); code != exitJournal || !strings.Contains(p.messages.String(), "the journal was moved, deleted or replaced while it was in use") {
		t.Errorf("exit code %d: %s", code, &p.messages)
	}
	for _, q := range r.server.Requests() {
		if q.Step == sandbox.StepAbort || q.Step == sandbox.StepComplete {
			t.Errorf("what is stored at the provider was aborted: %s", q)
		}
	}
	if _, messages, code := r.said(t, args...); code != 0 {
		t.Errorf("the next run: exit code %d: %s", code, messages)
	}
	r.cmpObject(t, file)
}

// A file that this user may not read: exit 66. Root may read all, so for root
// another user tries.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "upscayl", 64<<10)
	file := r.file(t, 1000)
	must(t, os.Chmod(file, 0))
	args := []string{"upload", file, "-p", "upscayl"}
	if os.Geteuid() != 0 {
		if _, messages, code := r.said(t, args...); code != exitNoInput || !strings.Contains(messages, "permission denied") {
			t.Errorf("exit code %d: %s", code, messages)
		}
		return
	}
	dir, err := os.MkdirTemp("", "multiput-test") //nolint:usetesting // t.TempDir is for this user alone
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) }) //nolint:errcheck // the system clears it away too
	must(t, os.Chmod(dir, 0o777))
	self, err := exec.LookPath("multiput")
	must(t, err)
	b, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "multiput"), b, 0o755))
	args[1] = filepath.Join(dir, "file")
	must(t, os.WriteFile(args[1], []byte("x"), 0))
	p := &running{Cmd: r.command(t, append(args, "--journal", filepath.Join(dir, "state", "journal"))...), done: make(chan error, 1)}
	p.Path, p.Dir, p.Stdout, p.Stderr = filepath.Join(dir, "multiput"), dir, &p.out, &p.messages
	p.Env = append(p.Env, "HOME="+dir, "XDG_STATE_HOME="+dir+"/state", "XDG_CONFIG_HOME="+dir+"/config")
	p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	p.begin(t)
	if code := p.ends(t, time.Minute); code != exitNoInput || !strings.Contains(p.messages.String(), "permission denied") || len(r.server.Requests()) > 0 {
		t.Errorf("exit code %d: %s", code, &p.messages)
	}
}

// Without any network, the sandbox needs the loopback interface alone. Without
// that too, the error says so at once.
func TestSandboxWithoutANetwork(t *testing.T) {
	t.Parallel()
	r := newRig(t, "archetype", 64<<10)
	file := r.file(t, 100_000)
	for up, want := range map[string]int{"ip link set lo up": 0, "true": exitFailed} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", up+` && exec multiput upload "$0" -p sandbox`, file)
		cmd.Env, cmd.SysProcAttr = r.env, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.EPERM) {
			t.Skip("NO NETWORK WAS TAKEN AWAY: this process may not")
		}
		if code := cmd.ProcessState.ExitCode(); code != want || want != 0 && !strings.Contains(string(out), "\nhint: bring the loopback interface up: ") {
			t.Errorf("after %s: exit code %d: %s", up, code, out)
		}
	}
}
