package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/transport"
)

func (a *app) pruneCmd() *cobra.Command {
	older := ""
	var o remoteOptions
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove finished uploads from the journal",
		Long: `Remove finished uploads, whose result was printed, from the journal. Unfinished
uploads stay; use abort for those. What is left of an interrupted upload of
stdin cannot be resumed and is removed too; abort it if the provider bills
parts.

This is rarely needed: all of these are removed after 30 days anyway.

With --remote, abort the unfinished uploads that the provider has and that began
as long ago as --older-than says, also from other machines: S3 bills their
parts.`,
		Example: `  multiput prune
  multiput prune --older-than 7d

  # unfinished uploads of a bucket
  multiput prune --remote -p s3://my-bucket --older-than 7d`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			if err := o.localOnly(c.Flags(), "provider", "set", "base-url"); err != nil {
				return err
			}
			if o.remote {
				return a.pruneRemote(c.Context(), cfg, o, older)
			}
			return a.prune(c.Context(), cfg, older)
		},
	}
	o.remoteFlags(c.Flags(), "abort unfinished uploads that the provider (-p) has")
	c.Flags().StringVar(&older, "older-than", "", "only those that finished, or with --remote began, `DURATION` ago or earlier (90m, 12h, 7d)")
	return c
}

func (a *app) prune(ctx context.Context, cfg config.Config, older string) error {
	age := time.Duration(0)
	if older != "" {
		var err error
		if age, err = config.ParseAge(older); err != nil {
			return usagef("--older-than: %w", err)
		}
	}
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	a.tellNoJournal(cfg)
	n, left, err := (&journal.Journal{Dir: cfg.Journal}).Prune(ctx, time.Now().Add(-age))
	for _, l := range left {
		if r := l.Record; streamed(r.Path) {
			a.warn(cfg, fmt.Sprintf("%s is removed from the journal, but %s still has upload %s: it may bill the stored parts until it deletes them",
				fileOf(r), transport.Visible(r.Target.Provider), transport.Visible(r.Upload.ID)))
		}
	}
	if err != nil {
		return err
	}
	if a.json {
		return out.value(ctx, struct {
			Schema    int `json:"schema"`
			Forgotten int `json:"forgotten"`
		}{1, n})
	}
	a.note(cfg, "%s removed from the journal.", count(n, "upload"))
	return nil
}
