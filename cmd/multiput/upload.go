package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
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

var checksums = map[string]upload.Checksum{"auto": upload.ChecksumAuto, "require": upload.ChecksumRequire, "off": upload.ChecksumOff}
