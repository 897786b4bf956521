package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// uploadOptions are the flags of upload that describe one run.
type uploadOptions struct {
	set     []string
	base    string
	name    string
	restart bool
	wait    bool // until the provider says that the file is ready
	dryRun  bool

	filesFrom    string   // a list of files; empty: none
	include      []string // patterns of files below directories
	exclude      []string
	follow       bool   // links to directories
	relative     bool   // name files by their paths below the directory
	skipUploaded bool   // leave out what the history has
	shard        string // I/N; empty: all files
	checksums    string // where SHA-256 lines are written; empty: nowhere

	size       int64 // bytes of standard input; <0: not known
	sizeGiven  bool
	spoolDir   string
	spoolLimit int64 // bytes of standard input that may wait on the disk
}

func (a *app) uploadCmd() *cobra.Command {
	var o uploadOptions
	var size, spool string
	c := &cobra.Command{
		Use:     "upload FILE|DIR...",
		Aliases: []string{"up"},
		Short:   "Upload files in parts, or resume where the last run stopped",
		Long: `Upload files in parts. If it is interrupted, run the same command again: it
sends only the missing parts.

stdout has only the result, one line for each file: the id, path or URL that the
provider returned. Messages go to stderr. Exit code 75 means: not finished, run
the same command again to continue.`,
		Example: `  # try it without an account or a network
  multiput upload -p sandbox big.bin

  # keep the id of the file
  id=$(multiput upload training.jsonl -p openai --set purpose=fine-tune)

  # send 16 parts at once, and print the result as JSON
  multiput upload video.mp4 -p archetype -j 16 --json

  # show what would be sent, and whether there is enough time
  multiput upload video.mp4 -p fileai --limit-rate 2MB --dry-run

  # many files; small ones are uploaded concurrently
  find photos -name '*.jpg' | multiput upload -p upscayl --files-from -

  # the files of a directory that were not uploaded before
  multiput upload photos --include '*.jpg' --skip-uploaded -p upscayl

  # the output of a program
  tar c photos | multiput upload - --name photos.tar -p archetype

  # your own API, described in a page of YAML
  multiput upload data.tar -p ./my-api.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && o.filesFrom == "" {
				return usagef("name a file to upload")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.sizeGiven = c.Flags().Changed("size"); !o.sizeGiven {
				o.size = -1
			} else if o.size, err = config.ParseSize(size); err != nil {
				return usagef("--size: %w", err)
			}
			if o.spoolLimit, err = config.ParseSize(spool); err != nil || o.spoolLimit < 1 {
				return usagef("--spool-limit: %q is not a size above 0 (such as 16GiB)", spool)
			}
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			if o.spoolDir == "" {
				o.spoolDir = cfg.Journal + ".spool"
			}
			a.json = cfg.JSON || cfg.JQ != "" || cfg.Progress == string(progress.JSON)
			return a.upload(c.Context(), cfg, o, args)
		},
	}
	f := c.Flags()
	config.Flags(f)
	f.StringArrayVarP(&o.set, "set", "s", nil, "set an option of the provider to a value (`KEY=VALUE`); repeatable")
	f.StringVar(&o.base, "base-url", "", "use this `URL` of the API instead of the provider's own")
	f.StringVar(&o.name, "name", "", "store the file under `NAME` (default: its own name)")
	f.BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and send nothing")
	pathVar(f, &o.filesFrom, "files-from", "", "also upload the files listed in `FILE`, one per line; - is stdin")
	f.StringArrayVar(&o.include, "include", nil, "upload only files of a directory that match `GLOB`; repeatable")
	f.StringArrayVar(&o.exclude, "exclude", nil, "skip files of a directory that match `GLOB`; repeatable")
	f.BoolVar(&o.follow, "follow", false, "follow symbolic links to directories")
	f.BoolVar(&o.relative, "relative", false, "name files by their paths below the directory")
	f.BoolVar(&o.skipUploaded, "skip-uploaded", false, "skip files that were uploaded before and are unchanged")
	f.StringVar(&o.shard, "shard", "", "upload the `I/N`-th share of the files (such as 2/8)")
	pathVar(f, &o.checksums, "checksums", "", "write the SHA-256 of each uploaded file to `FILE`, as sha256sum does")
	f.StringVar(&size, "size", "", "`SIZE` of stdin (-), so that uploading starts before its end")
	f.StringVar(&spool, "spool-limit", spoolLimit, "store at most `SIZE` of stdin on the disk")
	pathVar(f, &o.spoolDir, "spool-dir", "", "`DIR` for data from stdin (default: beside the journal)")
	f.BoolVar(&o.wait, "wait", false, "wait until the file is ready, if the provider reports that")
	f.BoolVar(&o.restart, "restart", false, "abort the unfinished upload of this file, and start over")
	return c
}

// upload takes every file to the provider. All are tried.
func (a *app) upload(ctx context.Context, cfg config.Config, o uploadOptions, files []string) error {
	if err := a.checkStdin(o, files); err != nil {
		return err
	}
	in, err := a.newInputs(ctx, cfg, o, files)
	if err != nil {
		return err
	}
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	u, m, stop, err := a.uploader(ctx, cfg, o)
	if err != nil && m != nil {
		return &severalError{a.tell(keyed(err, m, cfg))}
	}
	if err != nil {
		return err
	}
	defer stop()
	if o.skipUploaded {
		to := u.Target
		to.Type = cfg.ContentType
		if err := in.skipDelivered(ctx, cfg, to); err != nil {
			return err
		}
	}
	in.replaces = m.Replaces
	known, more, all, end := peek(in.all)
	defer end()
	if m.One && (len(known) > 1 || in.shard.n > 1) {
		return usagef("%s names one object, and there are several files: end it with / to store them below it", transport.Visible(cfg.Provider))
	}
	if o.name != "" && len(known) > 1 {
		return usagef("--name is for one file, but there are %s", atLeast(len(known), more))
	}
	if o.dryRun {
		err := a.dryRun(ctx, cfg, out, u, m, all, o)
		if s := in.skippedText(); s != "" {
			a.note(cfg, "%s", s)
		}
		return err
	}
	for _, f := range known {
		if errors.Is(f.err, errReplaced) {
			return fmt.Errorf("%s: %w", transport.Visible(f.path), f.err)
		}
	}
	sums, err := createSums(o.checksums, more)
	if err != nil {
		return err
	}
	u.SHA256 = sums != nil
	a.warnOfNetwork(cfg)
	defer a.summarize(cfg)
	show, hide := a.watch(cfg, known)
	defer hide()
	in.warn = show.Warn
	defer func() {
		if s := in.skippedText(); s != "" && !cfg.Quiet {
			_, _ = fmt.Fprintln(show, s)
		}
	}()
	b := &batch{app: a, cfg: cfg, out: out, show: show, sums: sums}
	code := b.run(ctx, b.files(all, len(known) > 1, u, m, o))
	if err := sums.close(); err != nil {
		code = worse(code, a.tell(failure{err: err}))
	}
	if code != 0 {
		return &severalError{code}
	}
	return nil
}

// atLeast is a number of things, or of the first of them.
func atLeast(n int, more bool) string {
	if more {
		return fmt.Sprintf("more than %d", n)
	}
	return fmt.Sprint(n)
}

// uploader wires everything that takes files to the provider of the
// configuration. stop ends what it started.
func (a *app) uploader(ctx context.Context, cfg config.Config, o uploadOptions) (u *upload.Uploader, m *provider.Definition, stop func(), err error) {
	stop = func() {}
	if cfg.Provider == "" {
		return nil, nil, stop, usagef("no provider: set one with -p (%s, or a manifest FILE.yaml)", strings.Join(provider.Names(), ", "))
	}
	options, err := settings(o.set)
	if err != nil {
		return nil, nil, stop, err
	}
	if m, err = loadManifest(cfg.Provider); err != nil {
		return nil, nil, stop, err
	}
	if err := knownBases(cfg); err != nil {
		return nil, nil, stop, err
	}
	if m.Name == provider.Sandbox && o.base != "" {
		return nil, nil, stop, usagef("--base-url cannot be used with the sandbox")
	}
	given := maps.Clone(options)
	withProfile(options, cfg)
	u, stop, err = a.open(ctx, cfg, m, provider.Settings{Base: o.base, Options: options}, !o.dryRun)
	if err != nil {
		return nil, m, stop, profileFault(err, cfg, given)
	}
	u.Restart, u.Wait = o.restart, o.wait
	return u, m, stop, nil
}

// loadManifest finds a manifest by name or path. One that cannot be read is a
// mistake in the configuration.
func loadManifest(nameOrPath string) (*provider.Definition, error) {
	path, err := config.Expand(nameOrPath)
	if err != nil {
		return nil, &config.UsageError{Err: err}
	}
	m, err := provider.Load(path, config.ProviderDir())
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return nil, &config.Error{Where: unread.Path, Err: unread.Err}
	}
	return m, err
}

// open wires what takes files to the provider of a manifest: at the address of
// the settings, or else the configured one, or else its own. Only for something
// to be sent is the sandbox started; stop ends it.
func (a *app) open(ctx context.Context, cfg config.Config, m *provider.Definition, s provider.Settings, send bool) (u *upload.Uploader, stop func(), err error) {
	stop = func() {}
	named := s.Base != ""
	if m.Name != provider.Sandbox {
		if err := config.CheckProxy(); err != nil {
			return nil, stop, err
		}
	}
	client, err := newClient(cfg, a.tracer(cfg))
	if err != nil {
		return nil, stop, err
	}
	if a.limit == nil {
		a.limit = client.Limit
	}
	client.Limit = a.limit // of all uploads together
	s.Client, s.Proof = client, checksums[cfg.Checksum] == upload.ChecksumRequire
	switch {
	case m.Name == provider.Sandbox && !send:
		s.Base, s.Keys = "http://127.0.0.1", []provider.Secret{plainKey(provider.Sandbox)}
	case m.Name == provider.Sandbox:
		var running *runningSandbox
		if running, err = startOwnSandbox(ctx); err != nil {
			return nil, stop, err
		}
		s.Base, s.Keys, stop = running.base, []provider.Secret{running.key}, running.stop
	default:
		if err := a.address(ctx, cfg, m, &s); err != nil {
			return nil, stop, err
		}
	}
	if a.record != nil {
		a.record.Client, a.record.Text = client, string(m.Text)
		for _, k := range s.Keys {
			a.record.Hide = append(a.record.Hide, k.Reveal())
		}
		for _, o := range m.Options {
			if o.Secret {
				a.record.Hide = append(a.record.Hide, s.Options[o.Name])
			}
		}
		s.Client = a.record
	}
	p, err := m.Open(s)
	if err == nil && a.record != nil {
		a.record.Base = cmp.Or(p.Target().Base, s.Base)
	}
	if err = openFault(err, cfg, m, named, s.Keys); err != nil {
		stop()
		return nil, func() {}, err
	}
	closeState(cfg.Journal)
	return &upload.Uploader{
		Origin:   originOf(m),
		Provider: p, Target: p.Target(), Journal: a.journal(cfg.Journal, func(text string) { a.warn(cfg, text) }),
		Concurrency: cfg.Concurrency, PartSize: cfg.PartSize, Retry: policyOf(cfg), Rate: cfg.LimitRate,
		Checksum: checksums[cfg.Checksum],
	}, stop, nil
}

// policyOf is how requests are retried.
func policyOf(cfg config.Config) transport.Policy {
	p := transport.DefaultPolicy
	p.RetryFor = cfg.RetryFor
	switch cfg.Retries {
	case config.AutoRetries:
	case 0:
		p.Retries = -1
	default:
		p.Retries = cfg.Retries
	}
	if p.RetryFor == 0 && p.Retries == 0 {
		p.Retries = -1
	}
	return p
}

// closeState closes the state directory to others if it is there already, and the
// journal is in it. Where that is not ours to do, it stays as it is.
func closeState(journal string) {
	dir, err := config.StateDir()
	if err != nil || filepath.Dir(journal) != dir {
		return
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() && info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
}

var checksums = map[string]upload.Checksum{"auto": upload.ChecksumAuto, "require": upload.ChecksumRequire, "off": upload.ChecksumOff}

// settings reads the KEY=VALUE of --set.
func settings(set []string) (map[string]string, error) {
	options := make(map[string]string, len(set))
	for _, s := range set {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usagef("--set %s: not KEY=VALUE", s)
		}
		if _, twice := options[k]; twice {
			return nil, usagef("--set %s is given twice", k)
		}
		options[k] = v
	}
	return options, nil
}

func newClient(cfg config.Config, trace func(string)) (*transport.Client, error) {
	c := &transport.Client{UserAgent: "multiput/" + version, Stall: cfg.StallTimeout, Trace: trace}
	if cfg.LimitRate > 0 {
		// A quarter of a second's worth at once, at most what one read takes.
		burst := int(min(max(cfg.LimitRate/4, 1), 64<<10))
		c.Limit = rate.NewLimiter(rate.Limit(cfg.LimitRate), burst)
	}
	if cfg.CACert == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.CACert)
	if err != nil {
		return nil, &config.Error{Where: "--cacert " + cfg.CACert, Err: cause(err)}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if pem, err = config.PlainText(pem); err != nil {
		return nil, &config.Error{Where: cfg.CACert, Err: err}
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &config.Error{Where: cfg.CACert, Err: errors.New("holds no PEM certificate")}
	}
	c.RootCAs = pool
	return c, nil
}

// tracer tells of requests, for -vv.
func (a *app) tracer(cfg config.Config) func(string) {
	if cfg.Verbose < config.Requests || cfg.Quiet {
		return nil
	}
	return func(line string) { fmt.Fprintln(a.stderr, line) }
}

// explain tells of a decision that is about no upload yet, for -v.
func (a *app) explain(cfg config.Config, text string) {
	if cfg.Verbose < config.Decisions || cfg.Quiet {
		return
	}
	show, hide := a.watching(cfg)
	defer hide()
	fmt.Fprintln(show, transport.Line(text)) //nolint:errcheck // nothing can be done about it
}

// warnOfNetwork tells of a journal whose promises are not this machine's to keep.
func (a *app) warnOfNetwork(cfg config.Config) {
	if kind := a.remote(cfg.Journal); kind != "" {
		a.warn(cfg, fmt.Sprintf("the journal %s is on a network file system (%s): its locks and durability depend on the server; use --journal DIR for another directory", cfg.Journal, kind))
	}
}

// summarize tells the job of GitHub's, if this is one, what came of the files.
func (a *app) summarize(cfg config.Config) {
	a.actions.Summarize(func(text string) { a.warn(cfg, text) })
}

// warn says something that is about no file in particular.
func (a *app) warn(cfg config.Config, text string) {
	show, hide := a.watching(cfg)
	defer hide()
	show.Warn(text)
}
