package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// putOptions are the flags of put that describe one run.
type putOptions struct {
	recordedOptions
	shard   string
	out     string // the receipts file; empty: stdout
	partial bool
	restart bool
}

func (a *app) putCmd() *cobra.Command {
	var o putOptions
	c := &cobra.Command{
		Use:   "put PLAN FILE",
		Short: "Send the parts of a plan, or a shard of them",
		Long: `Send the parts of a plan that multiput plan wrote, and write their receipts. The
file has to be the planned one. No key is needed where parts go to presigned
URLs.

If it is interrupted, run the same command again: it sends only the parts that
have no receipt yet. A shard that is finished has its receipts written again.`,
		Example: `  multiput put big.plan big.bin -o big.receipts

  # the second of four machines
  multiput put big.plan big.bin --shard 2/4 -o 2.receipts`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != "" || cfg.Progress == string(progress.JSON)
			return a.put(c.Context(), cfg, o, args[0], args[1])
		},
	}
	f := c.Flags()
	o.flags(f, "part-size")
	f.StringVar(&o.shard, "shard", "", "send the shard `I/N` of the parts, from 1/N to N/N (default: all)")
	pathVar(f, &o.out, "output", "o", "write the receipts to `FILE` (default: stdout)")
	f.BoolVar(&o.partial, "partial", false, "also write receipts when it is interrupted before the end")
	f.BoolVar(&o.restart, "restart", false, "send all parts of the shard again")
	return c
}

// put sends a shard of a plan and writes the receipts.
func (a *app) put(ctx context.Context, cfg config.Config, o putOptions, planPath, file string) error {
	shard, err := handoff.ParseShard(o.shard)
	if err != nil {
		return usagef("--shard: %w", err)
	}
	if _, err := settings(o.set); err != nil {
		return err
	}
	plan, err := handoff.Load(planPath)
	if err = unread(planPath, err); err != nil {
		return err
	}
	if _, err := upload.Stat(file); err != nil {
		return err
	}
	if err := canWrite(o.out, planPath, file); err != nil {
		return err
	}
	share := plan.Share(file, plan.Shard(shard))
	share.Name, share.Restart = shard.String(), o.restart
	record := upload.Record{Target: share.Target, Upload: share.Upload}
	cfg, d, err := manifestOf(cfg, record)
	if err != nil {
		return err
	}
	o.keyless = true
	u, stop, err := a.reopen(ctx, cfg, o.recordedOptions, d, record, false)
	fail := func(err error, stopped string) error {
		return &severalError{a.tell(failure{err: err, file: file, planned: true, keyEnv: d.KeyEnv(), keyFrom: cfg.KeySource(), stopped: stopped})}
	}
	if err != nil {
		return fail(err, "")
	}
	defer stop()
	if k, ok := u.Provider.(provider.Keyless); ok && k.Keyless() {
		share.Upload.Renewable = false
	}
	a.warnOfNetwork(cfg)
	rs, stored, err := a.sendShare(ctx, cfg, u, share)
	if err == nil {
		return a.writeReceipts(o.out, plan.ID, shard, rs)
	}
	if errors.Is(err, upload.ErrGone) || errors.Is(err, upload.ErrCompleted) { // nothing can come of its shards any more
		if err := a.forget(context.WithoutCancel(ctx), cfg, share.Target.Provider, share.Upload.ID, isShare); err != nil {
			a.warn(cfg, err.Error())
		}
	}
	k, _ := u.Provider.(provider.Keyless)
	if outdated(plan, k != nil && k.Keyless(), err, time.Now()) {
		if err = error(&expiredError{err, planPath}); !plan.Upload.Renewable {
			err = &overError{err}
		}
	}
	if o.partial && !errors.Is(err, upload.ErrChanged) && !errors.Is(err, upload.ErrChecksum) {
		err = errors.Join(err, a.writeReceipts(o.out, plan.ID, shard, stored))
	}
	return fail(err, fmt.Sprintf("interrupted: %d of %s of shard %s are stored. Run the same command again to continue.", len(stored), count(len(share.Parts), "part"), shard))
}

// outdated reports whether a plan with other URLs would help where sending failed. A
// sender that was keyless looked for a key to renew them with, which is a little before
// they expire.
func outdated(plan *handoff.Plan, keyless bool, err error, now time.Time) bool {
	denied := errors.Is(err, upload.ErrDenied)
	if keyless && !plan.Expires().IsZero() && (plan.Expired(now) || denied && !errors.As(err, new(*transport.Error))) {
		return true
	}
	return errors.Is(err, upload.ErrExpired) && !denied
}

// sendShare sends the parts of a share; stored are the receipts that there are,
// with an error too.
func (a *app) sendShare(ctx context.Context, cfg config.Config, u *upload.Uploader, share upload.Share) (rs, stored []upload.Receipt, err error) {
	show, hide := a.watch(cfg, []input{{path: share.Path}})
	defer hide()
	observe, end := show.File(share.Path)
	defer end()
	u.Observe = a.actions.Observe(share.Path, a.json || cfg.Quiet, observe)
	p, err := u.Join(ctx, share)
	if err != nil {
		return nil, nil, err
	}
	defer p.Close() //nolint:errcheck // the kernel drops the lock anyway
	rs, err = u.Send(ctx, p, share.Parts)
	return rs, p.Stored(), err
}

func (a *app) writeReceipts(path, plan string, shard handoff.Shard, rs []upload.Receipt) error {
	b, err := handoff.EncodeReceipts(plan, shard, rs)
	if err != nil {
		return err
	}
	return a.writeOut(path, b)
}

// expiredError: the presigned URLs of a plan have expired.
type expiredError struct {
	err  error
	plan string // the file
}

func (e *expiredError) Error() string { return "presigned URLs of the plan have expired" }
func (e *expiredError) Unwrap() error { return e.err }

// overError is an expiredError where the provider issues no new URLs.
type overError struct{ error }

func (e *overError) Unwrap() error { return e.error }
