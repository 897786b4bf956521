package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// abortOptions are the flags of abort.
type abortOptions struct {
	recordedOptions
	older  string
	local  bool
	remote bool // ids are those of the provider
	plan   bool // plan files are named instead of ids
}

func (a *app) abortCmd() *cobra.Command {
	var o abortOptions
	c := &cobra.Command{
		Use:   "abort ID...",
		Short: "Abort unfinished uploads",
		Long: `Abort unfinished uploads: first at the provider, which then deletes the stored
parts, then in the journal. There is no confirmation prompt. An upload that is
running is skipped (exit code 75). If the provider cannot be reached, the upload
stays in the journal.

Some providers have no call to abort an upload (file.ai, Upscayl); it is then
only removed from the journal.`,
		Example: `  multiput abort 1a2b3c4d

  # all uploads that did not change for a week
  multiput abort --older-than 7d

  # an upload that the provider has, but not this machine's journal
  multiput abort --remote -p s3://my-bucket 2~Vn0aY5

  # the upload of a plan, from any machine
  multiput abort --plan big.plan

  # the provider no longer knows the upload, or has completed it
  multiput abort --local 1a2b3c4d`,
		ValidArgsFunction: completeIDs(abortable),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			switch {
			case o.plan && (o.local || o.remote || o.older != "" || len(args) == 0):
				return usagef("--plan cannot be combined with --local, --remote or --older-than")
			case o.plan:
				return a.abortPlans(c.Context(), cfg, o, args)
			case o.remote && (o.local || o.older != "" || len(args) == 0):
				return usagef("--remote cannot be combined with --local or --older-than")
			case o.remote:
				return a.abortRemote(c.Context(), cfg, remoteOptions{true, o.recordedOptions}, withIDs(args))
			}
			return a.abort(c.Context(), cfg, o, args)
		},
	}
	o.flags(c.Flags(), "concurrency", "part-size", "limit-rate", "checksum", "progress")
	c.Flags().StringVar(&o.older, "older-than", "", "abort all uploads that did not change for `DURATION` (90m, 12h, 7d), except those in doubt")
	c.Flags().BoolVar(&o.remote, "remote", false, "abort uploads of the provider (-p) by its own ids, which multiput list --remote lists")
	c.Flags().BoolVar(&o.plan, "plan", false, "abort the uploads of plan files; a self-contained plan needs no key")
	c.Flags().BoolVar(&o.local, "local", false, "only remove it from the journal, without telling the provider")
	return c
}

// aborted is the documented form of what abort did.
type aborted struct {
	Schema int    `json:"schema"`
	ID     string `json:"id"`
	File   string `json:"file"`
	Told   bool   `json:"provider_told"`
}

// abort aborts uploads, one after the other. All are tried.
func (a *app) abort(ctx context.Context, cfg config.Config, o abortOptions, ids []string) error {
	if (len(ids) > 0) == (o.older != "") {
		return usagef("name uploads by their ids, or all that did not change for a time with --older-than")
	}
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	if _, err := settings(o.set); err != nil {
		return err
	}
	known, err := a.recorded(ctx, cfg, len(ids) > 0)
	if err != nil {
		return err
	}
	var chosen []journal.Listed
	if o.older == "" {
		chosen, err = choose(known, ids)
	} else {
		chosen, err = a.stale(cfg, o, known)
	}
	if err != nil {
		return err
	}
	for _, l := range chosen {
		if err := o.takes(l.Record, shortID(l.ID, known)); err != nil {
			return err
		}
	}
	code := 0
	for _, l := range chosen {
		f := failure{err: context.Cause(ctx)}
		id := shortID(l.ID, known)
		if f.err == nil {
			f = a.abortOne(ctx, cfg, o, out, l, id, len(chosen) > 1)
		}
		if f.err != nil {
			f.file, f.stopped = named(l.Record.Path, l.Record.Target.Name), fmt.Sprintf("interrupted: %s is not aborted.", id)
			code = worse(code, a.tell(f))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if code != 0 {
		return &severalError{code}
	}
	return nil
}

// stale are the uploads that have not changed for some time. Those that
// may be finished, or belong to another user, are for people to look at.
func (a *app) stale(cfg config.Config, o abortOptions, known []journal.Listed) ([]journal.Listed, error) {
	age, err := config.ParseAge(o.older)
	if err != nil {
		return nil, usagef("--older-than: %w", err)
	}
	var chosen []journal.Listed
	before := time.Now().Add(-age)
	for _, l := range known {
		r := l.Record
		if r.Updated.After(before) {
			continue
		}
		left := ""
		switch {
		case l.Err != nil:
			left = "its record cannot be read"
		case r.State == upload.Delivered, r.State == upload.Done, r.State == upload.Waiting:
			continue
		case r.State == upload.Completing:
			left = "its outcome is unknown"
		case r.Upload.TakenOver && !o.local:
			left = "it was resumed from another client and may belong to it"
		}
		if left != "" {
			id := shortID(l.ID, known)
			a.note(cfg, "%s (%s) is skipped, as %s: multiput show %s", id, fileOf(r), left, id)
			continue
		}
		chosen = append(chosen, l)
	}
	if len(chosen) == 0 {
		a.note(cfg, "There is nothing to abort.")
	}
	return chosen, nil
}

// takes refuses what is finished, unless it is only to be forgotten.
func (o abortOptions) takes(r upload.Record, id string) error {
	switch {
	case o.local:
	case r.State == upload.Done, r.State == upload.Waiting:
		return usagef("%s (%s) is uploaded: multiput resume %s prints its result, and --local removes it from the journal", id, fileOf(r), id)
	case r.State == upload.Delivered:
		return usagef("%s (%s) is finished, and cannot be aborted any more", id, fileOf(r))
	}
	return nil
}

// abortOne aborts one upload. Its entry is locked meanwhile, and stays if the
// provider could not be told.
func (a *app) abortOne(ctx context.Context, cfg config.Config, o abortOptions, out *output, l journal.Listed, id string, among bool) failure {
	if l.Err != nil && !o.local {
		return failure{err: &lostError{l.Err, id}}
	}
	t, err := a.journalOf(cfg).Take(ctx, l.ID)
	if err != nil {
		return failure{err: err}
	}
	defer t.Close() //nolint:errcheck // the kernel drops the lock anyway
	r, err := t.Load(ctx)
	if err != nil {
		return failure{err: err}
	}
	if r == nil && l.Err != nil {
		err := t.Forget(ctx)
		if err == nil {
			a.note(cfg, "%s is removed from the journal; the provider was not told (--local).", id)
		}
		return failure{err: err}
	}
	if r == nil { // another process was faster, or it was damaged
		if l.Record.State == upload.Delivered && o.local {
			a.note(cfg, "%s is finished: multiput prune removes it from the journal.", id)
			return failure{}
		}
		a.note(cfg, "%s no longer exists.", id)
		return failure{}
	}
	if err := o.takes(*r, id); err != nil {
		return failure{err: err}
	}
	told, why := false, "because of --local"
	if !o.local {
		var f failure
		told, why, f = a.abortThere(ctx, cfg, o, *r, id, among)
		if endedElsewhere(*r, f.err) {
			ctx := context.WithoutCancel(ctx)
			if err := errors.Join(t.Forget(ctx), a.forget(ctx, cfg, r.Target.Provider, r.Upload.ID, isShare)); err != nil {
				return failure{err: err}
			}
			a.note(cfg, "%s (%s) is removed from the journal: another machine completed it.", id, fileOf(*r))
		}
		if f.err != nil {
			return f
		}
	}
	// The upload is gone: write that down even if a signal came in the meantime.
	if err := t.Forget(context.WithoutCancel(ctx)); err != nil {
		return failure{err: err}
	}
	if told && r.Upload.Planned {
		if err := a.forget(context.WithoutCancel(ctx), cfg, r.Target.Provider, r.Upload.ID, isShare); err != nil {
			a.warn(cfg, err.Error())
		}
	}
	if a.json {
		return failure{err: out.value(ctx, aborted{1, l.ID, named(r.Path, r.Target.Name), told})}
	}
	if told {
		a.note(cfg, "%s (%s) is aborted.", id, fileOf(*r))
	} else {
		a.note(cfg, "%s (%s) is removed from the journal; %s was not told, %s.", id, fileOf(*r), transport.Visible(r.Target.Provider), why)
	}
	return failure{}
}

// abortThere tells the provider, if it can be told; else why not.
func (a *app) abortThere(ctx context.Context, cfg config.Config, o abortOptions, r upload.Record, id string, among bool) (told bool, why string, f failure) {
	if r.Target.Share != "" {
		return false, "as the upload is another machine's", failure{}
	}
	cfg, m, err := manifestOf(cfg, r)
	if err != nil {
		return false, "", failure{err: err}
	}
	if text := changedManifest(m, r); text != "" {
		a.warn(cfg, text)
	}
	why = "as its API has no call to abort"
	if !m.Abilities.Aborts {
		return false, why, failure{} // and no key is needed
	}
	u, stop, err := a.reopen(ctx, cfg, o.recordedOptions, m, r, among)
	if err != nil {
		return false, "", keyed(err, m, cfg)
	}
	defer stop()
	switch err := u.Abort(ctx, r.Upload); {
	case err == nil:
		return true, "", failure{}
	case errors.Is(err, errors.ErrUnsupported):
		return false, why, failure{}
	case endedElsewhere(r, err):
		return false, "", failure{err: err}
	case errors.Is(err, upload.ErrRefused), errors.Is(err, upload.ErrReply), errors.Is(err, upload.ErrCompleted):
		return false, "", failure{err: &stuckError{err, id}}
	default:
		return false, "", keyed(err, m, cfg)
	}
}

// endedElsewhere reports whether an upload that was only planned here cannot be aborted
// since another machine completed it: there is nothing left to do with it here.
func endedElsewhere(r upload.Record, err error) bool {
	return errors.Is(err, upload.ErrCompleted) && r.Upload.Planned && len(r.Receipts) == 0
}

// stuckError: the provider refuses to abort an upload, and would again.
type stuckError struct {
	err error
	id  string
}

func (e *stuckError) Error() string { return e.err.Error() }
func (e *stuckError) Unwrap() error { return e.err }
