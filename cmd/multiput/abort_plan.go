package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// abortPlans aborts the uploads of plans. All are tried.
func (a *app) abortPlans(ctx context.Context, cfg config.Config, o abortOptions, paths []string) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	code := 0
	for _, path := range paths {
		if f := a.abortPlan(ctx, cfg, o.recordedOptions, out, path); f.err != nil {
			f.file, f.stopped = path, fmt.Sprintf("interrupted: the upload of %s is not aborted.", transport.Visible(path))
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

func (a *app) abortPlan(ctx context.Context, cfg config.Config, o recordedOptions, out *output, path string) failure {
	plan, err := handoff.Load(path)
	if err = unread(path, err); err != nil {
		return failure{err: err}
	}
	share := plan.Share("", nil)
	record := upload.Record{Target: share.Target, Upload: share.Upload}
	cfg, d, err := manifestOf(cfg, record)
	if err != nil {
		return failure{err: err}
	}
	fail := func(err error) failure { return keyed(err, d, cfg) }
	if !d.Abilities.Aborts {
		return fail(fmt.Errorf("%w: %s has no call to abort an upload", upload.ErrRefused, d.Title))
	}
	o.signed = plan.Signed()
	o.keyless = len(o.signed) > 0
	u, stop, err := a.reopen(ctx, cfg, o, d, record, false)
	if err != nil {
		return fail(err)
	}
	defer stop()
	err = a.retry(ctx, cfg, func(ctx context.Context) error { return u.Provider.Abort(ctx, share.Upload) })
	switch {
	case errors.Is(err, upload.ErrExpired):
		return fail(&expiredError{err, path})
	case err != nil && !errors.Is(err, upload.ErrGone) && !errors.Is(err, upload.ErrCompleted):
		return fail(err)
	}
	if err := a.forget(ctx, cfg, share.Target.Provider, share.Upload.ID, func(upload.Record) bool { return true }); err != nil {
		return failure{err: err}
	}
	if err != nil && !errors.Is(err, upload.ErrGone) { // it is completed: only the journal had more of it
		return fail(err)
	}
	if a.json {
		return failure{err: out.value(ctx, aborted{1, share.Upload.ID, string(plan.File.Path), true})}
	}
	a.note(cfg, "Upload %s of %s is aborted.", transport.Visible(share.Upload.ID), transport.Visible(path))
	return failure{}
}

// isShare reports whether a record is that of a shard, not of the upload.
func isShare(r upload.Record) bool { return r.Target.Share != "" }

// forget removes an upload that ended from the journal, and its shards, as far as this
// machine has them and which says so: the next plan of the file is to be of another.
func (a *app) forget(ctx context.Context, cfg config.Config, provider, id string, which func(upload.Record) bool) error {
	known, err := a.recorded(ctx, cfg, false)
	if err != nil {
		return err
	}
	for _, l := range known {
		if l.Record.Upload.ID != id || l.Record.Target.Provider != provider || !which(l.Record) {
			continue
		}
		t, err := a.journalOf(cfg).Take(ctx, l.ID)
		if errors.Is(err, upload.ErrBusy) && isShare(l.Record) {
			continue // who sends it finds out
		}
		if err == nil {
			err = errors.Join(t.Forget(context.WithoutCancel(ctx)), t.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
