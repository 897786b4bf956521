package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

func (a *app) completeCmd() *cobra.Command {
	var o recordedOptions
	c := &cobra.Command{
		Use:   "complete PLAN RECEIPTS...",
		Short: "Complete a planned upload with the receipts of its parts",
		Long: `Complete an upload that multiput plan planned, with the receipts that multiput
put wrote, and print its result as upload does. It needs the key, unless the
plan is self-contained, but not the machine that planned it. If receipts are
missing, it names the parts and sends nothing.`,
		Example: `  multiput complete big.plan *.receipts
  multiput complete big.plan *.receipts --json`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != "" || cfg.Progress == string(progress.JSON)
			return a.complete(c.Context(), cfg, o, args[0], args[1:])
		},
	}
	o.flags(c.Flags(), "part-size", "concurrency", "limit-rate", "stall-timeout")
	return c
}

// complete ends a planned upload with the receipts of some files.
func (a *app) complete(ctx context.Context, cfg config.Config, o recordedOptions, planPath string, files []string) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	plan, err := handoff.Load(planPath)
	if err = unread(planPath, err); err != nil {
		return err
	}
	receipts := plan.Receipts()
	for _, path := range files {
		b, err := handoff.Read(path)
		if err = unread(path, err); err == nil {
			err = receipts.Add(path, b)
		}
		if err != nil {
			return err
		}
	}
	share := plan.Share(string(plan.File.Path), nil)
	if err := a.allThere(ctx, cfg, share, receipts); err != nil {
		return err
	}
	record := upload.Record{Target: share.Target, Upload: share.Upload}
	cfg, d, err := manifestOf(cfg, record)
	if err != nil {
		return err
	}
	o.signed = plan.Signed()
	o.keyless = len(o.signed) > 0
	u, stop, err := a.reopen(ctx, cfg, o, d, record, false)
	if err != nil {
		return &severalError{a.tell(keyed(err, d, cfg))}
	}
	defer stop()
	a.warnOfNetwork(cfg)
	defer a.summarize(cfg)
	show, hide := a.watch(cfg, []input{{path: share.Path}})
	defer hide()
	observe, end := show.File(share.Path)
	observe = a.actions.Observe(share.Path, a.json || cfg.Quiet, observe)
	observe, sure := a.outcomes.watch(failure{file: share.Path}, observe)
	u.Observe = observe
	u.Deliver = func(ctx context.Context, r upload.Report) error {
		return a.aside(show, func() error { return out.print(ctx, share.Path, r) })
	}
	report, err := finish(ctx, u, share, receipts)
	sure()
	end()
	if errors.Is(err, upload.ErrExpired) {
		err = &expiredError{err, planPath}
	}
	if err != nil {
		return &severalError{a.tell(failure{err: err, report: report, file: share.Path, planned: true, keyEnv: d.KeyEnv(), keyFrom: cfg.KeySource()})}
	}
	if err := a.forget(context.WithoutCancel(ctx), cfg, share.Target.Provider, share.Upload.ID, isShare); err != nil {
		a.warn(cfg, err.Error()) // it is completed and printed
	}
	return nil
}

// allThere says which receipts are missing, before a key is needed. What this
// machine sent itself is in its journal.
func (a *app) allThere(ctx context.Context, cfg config.Config, share upload.Share, receipts *handoff.Receipts) error {
	rec, err := a.journal(cfg.Journal, func(text string) { a.warn(cfg, text) }).Find(ctx, share.Target, share.Path)
	if err != nil {
		return err
	}
	var stored []upload.Receipt
	if rec != nil && rec.Upload.ID == share.Upload.ID {
		stored = slices.Collect(maps.Values(rec.Receipts))
	}
	_, err = receipts.All(stored)
	return err
}

func finish(ctx context.Context, u *upload.Uploader, share upload.Share, receipts *handoff.Receipts) (r upload.Report, err error) {
	p, err := u.Join(ctx, share)
	if err != nil {
		return r, err
	}
	defer p.Close() //nolint:errcheck // the kernel drops the lock anyway
	rs, err := receipts.All(p.Stored())
	if err != nil {
		return r, err
	}
	return u.Finish(ctx, p, rs)
}
