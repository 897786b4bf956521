package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// plainKey is a key that is none: the sandbox's, which everyone may see.
type plainKey string

func (k plainKey) Reveal() string { return string(k) }

// runningSandbox is a sandbox in this process.
type runningSandbox struct {
	base string
	key  plainKey
	stop func()
}

// startOwnSandbox starts what -p sandbox uploads to. What it stores, and the
// key that it signs with, are in the user's state directory: a sandbox upload
// resumes like any other.
func startOwnSandbox(ctx context.Context) (*runningSandbox, error) {
	dir, err := config.StateDir()
	if err != nil {
		return nil, err
	}
	key := "sandbox-" + rand.Text()
	s := &sandbox.Server{API: "archetype", Dir: filepath.Join(dir, "sandbox"), Key: key}
	// It outlives a signal, so that parts on their way can still arrive.
	base, stop, err := s.Start(context.WithoutCancel(ctx), "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	running := &runningSandbox{base, plainKey(key), func() { stop() }} //nolint:errcheck // it ends with the process
	at, err := url.Parse(base)
	if err == nil {
		err = connects(ctx, at.Host)
	}
	if err != nil {
		running.stop()
		return nil, &loopbackError{err}
	}
	return running, nil
}

// connects reports why this process cannot reach an address of its own: a
// machine, or a container, whose loopback interface is down.
func connects(ctx context.Context, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// loopbackError: the sandbox runs, and this machine does not reach it. To wait does
// not help.
type loopbackError struct{ err error }

func (e *loopbackError) Error() string { return "the sandbox is not reachable: " + e.err.Error() }
func (e *loopbackError) Unwrap() error { return e.err }

// sandboxOptions are the flags of sandbox.
type sandboxOptions struct {
	api, listen, storeListen, dir string
	partSize                      string
	urlLife                       time.Duration
	faults                        []string
	quiet                         bool
}

func (a *app) sandboxCmd() *cobra.Command {
	var o sandboxOptions
	c := &cobra.Command{
		Use:   "sandbox [-- COMMAND...]",
		Short: "Run one of the upload APIs on this machine, for tests",
		Long: `Run one of the upload APIs on this machine, with an object store that follows
S3's rules, until Ctrl-C. With a command after --, run that command with the
provider's variables set, and stop when it ends. --fault injects faults;
"multiput help sandbox" lists them.`,
		Example: `  # run until Ctrl-C
  multiput sandbox --api openai --listen 127.0.0.1:8080

  # run a script against it, without a network
  multiput sandbox --api openai -- sh -c 'multiput upload a.jsonl -p openai --set purpose=batch'

  # the same, with three failing requests
  multiput sandbox --api archetype --fault 'put@times=3:status=503' -- multiput upload big.bin -p archetype`,
		Args: func(c *cobra.Command, args []string) error {
			if c.ArgsLenAtDash() > 0 || (c.ArgsLenAtDash() < 0 && len(args) > 0) {
				return usagef("a command to run comes after --")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.quiet, err = c.Flags().GetBool("quiet"); err != nil {
				return err
			}
			return a.sandbox(c.Context(), o, args)
		},
	}
	f := c.Flags()
	f.StringVar(&o.api, "api", "archetype", "run the API of provider `NAME`: "+strings.Join(sandbox.APIs(), ", "))
	f.StringVar(&o.listen, "listen", "", "listen on `HOST:PORT` (default: loopback, the port of the last run)")
	f.StringVar(&o.storeListen, "store-listen", "", "listen on `HOST:PORT` for the object store (default: the API's)")
	pathVar(f, &o.dir, "dir", "", "store everything in `DIR` (default: in the user's state directory)")
	f.StringVar(&o.partSize, "part-size", "", "plan parts of this `SIZE`")
	f.DurationVar(&o.urlLife, "url-life", 0, "let presigned URLs expire after `DURATION` (default: as the API does)")
	f.StringArrayVar(&o.faults, "fault", nil, "inject a `FAULT`; repeatable")
	return c
}

func (a *app) sandbox(ctx context.Context, o sandboxOptions, command []string) error {
	m, err := provider.Load(o.api)
	if err != nil || m.Name == provider.Sandbox {
		return usagef("no such API %q: %s", o.api, strings.Join(sandbox.APIs(), ", "))
	}
	faults, err := sandbox.ParseFaults(o.faults...)
	if err != nil {
		return usagef("--fault: %w", err)
	}
	if o.urlLife < 0 {
		return usagef("--url-life: %s is negative", o.urlLife)
	}
	size, err := config.ParseSize(o.partSize)
	if err != nil {
		return usagef("--part-size: %w", err)
	}
	if o.dir == "" {
		dir, err := config.StateDir()
		if err != nil {
			return fmt.Errorf("%w, or name a directory with --dir", err)
		}
		o.dir = filepath.Join(dir, "sandbox")
	}
	key, err := remembered(filepath.Join(o.dir, "api-key"), "sandbox-"+rand.Text())
	if err != nil {
		return &sandbox.DirError{Dir: o.dir, Err: err}
	}
	child := new(atomic.Pointer[os.Process])
	s := &sandbox.Server{
		API: o.api, Dir: o.dir, Key: key, StoreListen: o.storeListen,
		PartSize: size, URLLife: o.urlLife, Faults: faults,
	}
	if !o.quiet {
		s.Log = a.stderr
	}
	if len(command) > 0 {
		s.Kill = func() {
			if p := child.Load(); p != nil {
				p.Kill() //nolint:errcheck // it may have ended
			}
		}
	}
	base, stop, err := a.listen(ctx, s, o)
	if err != nil {
		return err
	}
	defer stop() //nolint:errcheck // it ends with the process
	env := []string{m.KeyEnv() + "=" + key, "MULTIPUT_" + strings.ToUpper(o.api) + "_BASE_URL=" + base}
	if len(command) > 0 {
		return a.against(ctx, child, faults, env, command)
	}
	fmt.Fprintf(a.stderr, "%s's API, until Ctrl-C. In another terminal:\n  export %s\n", m.Title, strings.Join(env, " "))
	if _, err := fmt.Fprintln(a.stdout, base); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// listen starts the sandbox, where nothing else is said on the port of the last
// time: an upload that was interrupted is found again by its address.
func (a *app) listen(ctx context.Context, s *sandbox.Server, o sandboxOptions) (string, func() error, error) {
	if o.listen != "" {
		base, stop, err := s.Start(context.WithoutCancel(ctx), o.listen)
		if err != nil {
			err = usagef("%w", err)
		}
		return base, stop, err
	}
	file := filepath.Join(o.dir, "listen-"+o.api)
	if last, err := os.ReadFile(file); err == nil {
		host, _, err := net.SplitHostPort(string(last))
		if err == nil && host == "127.0.0.1" {
			if base, stop, err := s.Start(context.WithoutCancel(ctx), string(last)); err == nil {
				return base, stop, nil
			}
		}
	}
	base, stop, err := s.Start(context.WithoutCancel(ctx), "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	host := strings.TrimPrefix(base, "http://")
	host, _, _ = strings.Cut(host, "/")
	if err := os.WriteFile(file, []byte(host), 0o600); err != nil {
		fmt.Fprintf(a.stderr, "warning: cannot store the port for the next run: %v\n", err)
	}
	return base, stop, nil
}

// remembered gives the content of a private file, which is made with value if
// it does not exist.
func remembered(path, value string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(value)
		return value, errors.Join(err, f.Close())
	}
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// ownExit carries the exit code of a command that we ran.
type ownExit struct{ code int }

func (e *ownExit) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// against runs a command with the sandbox's variables set, and ends as it ends.
func (a *app) against(ctx context.Context, child *atomic.Pointer[os.Process], faults *sandbox.Faults, env, command []string) error {
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // the user's own; it gets the terminal's signals itself
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.actions.Beneath(a.stderr)
	if err := cmd.Start(); err != nil {
		return usagef("%w", err)
	}
	child.Store(cmd.Process)
	unhook := context.AfterFunc(ctx, func() {
		var i interrupted
		// A terminal sends Ctrl-C to the command too, and the second one would
		// make it leave at once.
		if errors.As(context.Cause(ctx), &i) && (i.signal != syscall.SIGINT || !a.screen.terminal) {
			cmd.Process.Signal(i.signal) //nolint:errcheck // it may have ended
		}
	})
	defer unhook()
	err := cmd.Wait()
	for _, f := range faults.Unfired() {
		fmt.Fprintf(a.stderr, "warning: the fault %s did not happen\n", f)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code := exit.ExitCode()
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			code = exitSignaled + int(s.Signal())
		}
		return &ownExit{code}
	}
	return err
}
