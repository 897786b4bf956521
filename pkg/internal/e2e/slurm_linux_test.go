package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
)

// slurmConf is a controller and two nodes on loopback. A task that is queued again
// waits until its credential expires.
const slurmConf = `ClusterName=t
SlurmctldHost=HOST(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=DIR/munge.sock,cred_expire=5
SlurmctldPort=PORT0
StateSaveLocation=DIR/state
SlurmdSpoolDir=DIR/spool.%n
SlurmctldPidFile=DIR/ctld.pid
SlurmdPidFile=DIR/d.%n.pid
SlurmctldLogFile=DIR/ctld.log
SlurmdLogFile=DIR/d.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
JobRequeue=1
NodeName=n1 NodeHostname=HOST NodeAddr=127.0.0.1 Port=PORT1 CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=HOST NodeAddr=127.0.0.1 Port=PORT2 CPUs=1 State=UNKNOWN
PartitionName=p Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
`

// slurm starts a Slurm of two nodes, and gives the environment of its commands.
func slurm(t *testing.T) []string {
	t.Helper()
	for _, tool := range []string{"munged", "slurmctld", "slurmd", "sbatch"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			why := fmt.Sprintf("%s: NOT TESTED WITH SLURM: it takes root, and Debian's slurm-wlm and munge (%v)", t.Name(), err)
			fmt.Fprintln(os.Stderr, why)
			t.Skip(why)
		}
	}
	dir := t.TempDir()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	conf := strings.NewReplacer("HOST", host, "DIR", dir).Replace(slurmConf)
	for i := range 3 {
		_, port, err := net.SplitHostPort(realstore.Addr(t))
		if err != nil {
			t.Fatal(err)
		}
		conf = strings.ReplaceAll(conf, fmt.Sprintf("PORT%d", i), port)
	}
	key := make([]byte, 1024)
	_, _ = rand.Read(key)
	for name, text := range map[string][]byte{"slurm.conf": []byte(conf), "munge.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "SLURM_CONF="+filepath.Join(dir, "slurm.conf"))
	at := func(name string) string { return filepath.Join(dir, name) }
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for _, args := range [][]string{
		{"munged", "--foreground", "--force", "--socket=" + at("munge.sock"), "--key-file=" + at("munge.key"), "--pid-file=" + at("munge.pid"), "--seed-file=" + at("munge.seed"), "--log-file=" + at("munge.log")},
		{"slurmctld", "-D", "-c"}, {"slurmd", "-D", "-N", "n1"}, {"slurmd", "-D", "-N", "n2"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = env
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cancel(); _ = cmd.Wait() })
		if args[0] == "munged" {
			until(t, "munged listens", func() bool { _, err := os.Stat(at("munge.sock")); return err == nil })
		}
	}
	until(t, "two nodes are idle", func() bool {
		cmd := exec.CommandContext(t.Context(), "sinfo", "-h", "-t", "idle", "-o", "%D")
		cmd.Env = env
		out, err := cmd.Output()
		return err == nil && strings.TrimSpace(string(out)) == "2"
	})
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"ctld.log", "d.n1.log", "d.n2.log"} {
				b, _ := os.ReadFile(at(name))
				t.Logf("%s:\n%s", name, b[max(0, len(b)-3000):])
			}
		}
	})
	return []string{"SLURM_CONF=" + at("slurm.conf")}
}

// until waits for something of another process, for a minute.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("after a minute it is not so: %s", what)
		}
	}
}

// TestSlurm runs the recipe on a Slurm of two nodes. One task is killed in the
// middle, and queued again; the object is the file.
func TestSlurm(t *testing.T) {
	env := slurm(t)
	r := newRecipe(t)
	r.env = append(r.env, env...)
	blocks := handoffRecipe(t, "Slurm")
	head, rest, ok := strings.Cut(blocks[0], "\ni=")
	if !ok || len(blocks) != 2 {
		t.Fatalf("the recipe is %q", blocks)
	}
	// Only the first run of task 3 is killed, when a part is stored.
	script := head + `
echo "$SLURM_ARRAY_TASK_ID ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME" >>runs
[ "$SLURM_ARRAY_TASK_ID-${SLURM_RESTART_COUNT:-0}" = 3-0 ] && export ` + killEnv + `=receipt=1+
i=` + rest
	if err := os.WriteFile(filepath.Join(r.dir, "put.sh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	// The last command waits for the job that completes.
	cmd := strings.Replace(blocks[1], "sbatch --dependency", "timeout 120 sbatch --wait --output=done --error=messages --dependency", 1)
	r.sh(t, r.dir, cmd)
	runs, err := os.ReadFile(filepath.Join(r.dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	ran := strings.Split(strings.TrimSpace(string(runs)), "\n")
	if !slices.ContainsFunc(ran, func(s string) bool { return strings.HasPrefix(s, "3 1 ") }) || len(ran) != 5 {
		t.Errorf("the tasks ran %q, want four, and the third again", ran)
	}
	if !bytes.Contains(runs, []byte(" n1")) || !bytes.Contains(runs, []byte(" n2")) {
		t.Errorf("the tasks ran on %q, want both nodes", runs)
	}
	out, err := os.ReadFile(filepath.Join(r.dir, "done"))
	if err != nil {
		t.Fatal(err)
	}
	r.served(t, string(out))
}
