package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// planOptions are the flags of plan that describe one run.
type planOptions struct {
	uploadOptions
	out       string // the plan file; empty: stdout
	checksums bool
	ends      bool
	renew     bool
}

func (a *app) planCmd() *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Plan an upload that several machines send",
		Long: `Create an upload and write its plan: the file, its parts and their presigned
URLs. multiput put sends the parts, from any machine that has the file, without
the key. multiput complete ends the upload with the receipts that put wrote.

Running it again gives a plan of the same upload, with new URLs where the
provider issues them. If the provider no longer has the upload, the plan is of a
new one. A plan holds no key, but its URLs let any reader send the parts.`,
		Example: `  multiput plan big.bin -p archetype -o big.plan
  multiput put big.plan big.bin --shard 1/2 -o 1.receipts   # on one machine
  multiput put big.plan big.bin --shard 2/2 -o 2.receipts   # on another
  multiput complete big.plan *.receipts

  # new URLs for the same upload
  multiput plan --renew big.plan`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != "" || cfg.Progress == string(progress.JSON)
			if o.renew {
				return a.renew(c.Context(), cfg, o, args[0])
			}
			return a.plan(c.Context(), cfg, o, args[0])
		},
	}
	f := c.Flags()
	config.Flags(f)
	f.StringArrayVarP(&o.set, "set", "s", nil, "set an option of the provider to a value (`KEY=VALUE`); repeatable")
	f.StringVar(&o.base, "base-url", "", "use this `URL` of the API instead of the provider's own")
	f.StringVar(&o.name, "name", "", "store the file under `NAME` (default: its own name)")
	f.BoolVar(&o.restart, "restart", false, "abort the unfinished upload of this file, and start over")
	pathVar(f, &o.out, "output", "o", "write the plan to `FILE` (default: stdout)")
	f.BoolVar(&o.checksums, "part-checksums", false, "put the CRC-32C of each part into the plan, for machines that have a copy of the file")
	f.BoolVar(&o.ends, "self-contained", false, "put presigned requests that complete and abort the upload into the plan, so that no other machine needs the key")
	f.BoolVar(&o.renew, "renew", false, "renew the presigned URLs of a plan (PLAN instead of FILE), in place")
	return c
}

// plan creates an upload, or finds it again, and writes its plan.
func (a *app) plan(ctx context.Context, cfg config.Config, o planOptions, file string) error {
	if file == stdin {
		return usagef("standard input cannot be planned: name a file")
	}
	if _, err := upload.Stat(file); err != nil {
		return err
	}
	if err := canWrite(o.out, file); err != nil {
		return err
	}
	u, d, stop, err := a.uploader(ctx, cfg, o.uploadOptions)
	if err != nil && d != nil {
		return &severalError{a.tell(keyed(err, d, cfg))}
	}
	if err != nil {
		return err
	}
	defer stop()
	if _, ok := u.Provider.(upload.EndSigner); o.ends && !ok {
		return usagef("--self-contained: %s cannot presign the requests that end an upload", d.Title)
	}
	u.Shared, u.PartDigests = true, o.checksums
	a.warnOfNetwork(cfg)
	show, hide := a.watch(cfg, []input{{path: file}})
	defer hide()
	observe, end := show.File(file)
	u.Observe = a.actions.Observe(file, a.json || cfg.Quiet, observe)
	fail := func(err error) error {
		end()
		return &severalError{a.tell(failure{err: err, file: file, keyEnv: d.KeyEnv(), keyFrom: cfg.KeySource(), base: o.base, sized: cfg.PartSize > 0})}
	}
	p, err := u.Plan(ctx, upload.File{Path: file, Name: o.name, Type: cfg.ContentType})
	if err != nil {
		return fail(err)
	}
	defer p.Close() //nolint:errcheck // the kernel drops the lock anyway
	shared, err := u.Share(ctx, p, o.ends)
	if errors.Is(err, upload.ErrNothing) {
		err = fmt.Errorf("all of its parts are sent: multiput upload %s completes it, or plan --restart starts over", quoted(file))
	}
	if err != nil {
		return fail(err)
	}
	end()
	if s, ok := u.Provider.(upload.DigestSigner); ok && o.checksums && s.WouldSign(shared.Upload) {
		a.warn(cfg, "this upload was planned without --part-checksums before, so its URLs are not signed with the checksums of the parts; --restart begins another upload")
	}
	plan := handoff.New(p.Target, shared)
	return a.writePlan(cfg, o.out, plan)
}

// renew replaces the URLs of a plan.
func (a *app) renew(ctx context.Context, cfg config.Config, o planOptions, path string) error {
	if o.name != "" || o.restart || o.checksums || len(o.set) > 0 {
		return usagef("--renew can only be combined with --base-url and -o")
	}
	plan, err := handoff.Load(path)
	if err = unread(path, err); err != nil {
		return err
	}
	if o.out == "" {
		o.out = path
	}
	if err := canWrite(o.out); err != nil {
		return err
	}
	share := plan.Share("", nil)
	record := upload.Record{Target: share.Target, Upload: share.Upload}
	cfg, d, err := manifestOf(cfg, record)
	if err != nil {
		return err
	}
	u, stop, err := a.reopen(ctx, cfg, recordedOptions{base: o.base}, d, record, false)
	if err == nil {
		defer stop()
		var shared upload.Shared
		shared, err = u.Renew(ctx, share.Upload, o.ends || len(plan.Requests) > 0)
		plan.SetURLs(shared)
	}
	if err != nil {
		return &severalError{a.tell(failure{err: err, file: path, planned: true, keyEnv: d.KeyEnv(), keyFrom: cfg.KeySource()})}
	}
	return a.writePlan(cfg, o.out, plan)
}

func (a *app) writePlan(cfg config.Config, path string, plan *handoff.Plan) error {
	b, err := plan.Encode()
	if err != nil {
		return err
	}
	if err := a.writeOut(path, b); err != nil {
		return err
	}
	valid := ""
	if end := plan.Expires(); !end.IsZero() {
		valid = "; the first of its URLs expires in " + rough(time.Until(end))
	}
	a.note(cfg, "%s is planned in %s (upload %s)%s.", transport.Visible(string(plan.File.Path)), count(len(plan.Parts), "part"), transport.Visible(plan.Upload.ID), valid)
	return nil
}

// unread is an error of reading a file that the user named.
func unread(path string, err error) error {
	if err == nil || errors.Is(err, handoff.ErrDamaged) {
		return err
	}
	return &upload.UnreadableError{Path: path, Err: err}
}

// writeOut writes to a file or, where path is empty or -, to stdout.
func (a *app) writeOut(path string, b []byte) error {
	if path == "" || path == stdin {
		n, err := a.stdout.Write(b)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return &outputError{err, true}
		}
		return nil
	}
	if err := handoff.Write(path, b); err != nil {
		return &fileError{err}
	}
	return nil
}

// canWrite reports whether a file can be written at path, which is not to be one of
// those that are read.
func canWrite(path string, read ...string) error {
	if path == "" || path == stdin {
		return nil
	}
	if there, err := os.Stat(path); err == nil {
		for _, name := range read {
			if info, err := os.Stat(name); err == nil && os.SameFile(there, info) {
				return usagef("-o %s would overwrite %s", transport.Visible(path), transport.Visible(name))
			}
		}
	}
	if err := handoff.CanWrite(path); err != nil {
		return &placeError{err}
	}
	return nil
}

// fileError: a plan or receipts could not be written.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// placeError: nothing can be written where a plan or receipts are to be.
type placeError struct{ err error }

func (e *placeError) Error() string { return e.err.Error() }
func (e *placeError) Unwrap() error { return e.err }
