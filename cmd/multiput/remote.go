package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// remoteOptions are the flags of the commands that look at the provider instead
// of the journal.
type remoteOptions struct {
	remote bool
	recordedOptions
}

// remoteFlags adds them, and where the provider is to be looked for.
func (o *remoteOptions) remoteFlags(f *pflag.FlagSet, usage string) {
	f.BoolVar(&o.remote, "remote", false, usage)
	habits := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(habits)
	for _, name := range []string{"provider", "retries", "retry-for", "cacert"} {
		f.AddFlag(habits.Lookup(name))
	}
	f.StringArrayVarP(&o.set, "set", "s", nil, "set an option of the provider to a value (`KEY=VALUE`); repeatable")
	f.StringVar(&o.base, "base-url", "", "use this `URL` of the API instead of the provider's own")
}

// localOnly refuses the named flags, which say where to look, without --remote.
func (o *remoteOptions) localOnly(f *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		if !o.remote && f.Changed(name) {
			return usagef("--%s is for --remote", name)
		}
	}
	return nil
}

// remoteUpload is the documented form of an unfinished upload at the provider.
type remoteUpload struct {
	Upload      string    `json:"upload"`
	Name        string    `json:"name"`
	Started     time.Time `json:"started"`
	PartsStored int       `json:"parts_stored"`
	BytesStored int64     `json:"bytes_stored"`
}

func remoteOf(r provider.RemoteUpload) remoteUpload {
	return remoteUpload{Upload: r.ID, Name: r.Name, Started: r.Started, PartsStored: r.Parts, BytesStored: r.Bytes}
}

// there asks the provider of the configuration for its unfinished uploads.
func (a *app) there(ctx context.Context, cfg config.Config, o remoteOptions) (all []provider.RemoteUpload, abort func(provider.RemoteUpload) error, stop func(), err error) {
	stop = func() {}
	if cfg.Provider != "" { // otherwise uploader says so
		m, err := loadManifest(cfg.Provider)
		if err != nil {
			return nil, nil, stop, err
		}
		if !m.Abilities.Lists { // whatever else it would need
			return nil, nil, stop, usagef("%s has no list of unfinished uploads", m.Title)
		}
	}
	u, _, stop, err := a.uploader(ctx, cfg, uploadOptions{set: o.set, base: o.base})
	if err != nil {
		return nil, nil, stop, err
	}
	p, ok := u.Provider.(provider.Remote)
	if !ok {
		return nil, nil, stop, fmt.Errorf("list unfinished uploads: %w", errors.ErrUnsupported)
	}
	retry := func(call func(context.Context) error) error { return a.retry(ctx, cfg, call) }
	err = retry(func(ctx context.Context) (err error) {
		all, err = p.Remote(ctx)
		return err
	})
	return all, func(r provider.RemoteUpload) error {
		return retry(func(ctx context.Context) error { return p.AbortRemote(ctx, r) })
	}, stop, err
}

// retry makes a request to the provider until it succeeds, as configured, and
// tells of the waits.
func (a *app) retry(ctx context.Context, cfg config.Config, call func(context.Context) error) error {
	p := policyOf(cfg)
	p.Fresh = true
	return transport.Retry(ctx, p, func(err error, wait time.Duration) {
		if wait >= time.Second {
			a.note(cfg, "%v; retrying in %s", err, rough(wait))
		}
	}, call)
}

// listRemote lists what the provider has.
func (a *app) listRemote(ctx context.Context, cfg config.Config, o remoteOptions) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	all, _, stop, err := a.there(ctx, cfg, o)
	defer stop()
	if err != nil {
		return err
	}
	if a.json {
		list := make([]remoteUpload, len(all))
		for i, r := range all {
			list[i] = remoteOf(r)
		}
		return out.value(ctx, struct {
			Schema  int            `json:"schema"`
			Uploads []remoteUpload `json:"uploads"`
		}{1, list})
	}
	if len(all) == 0 {
		a.note(cfg, "There are no unfinished uploads.")
		return nil
	}
	return unwritten(remoteTable(a.stdout, all, time.Now()))
}

func remoteTable(w io.Writer, all []provider.RemoteUpload, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows := []string{"AGE\tSTORED\tPARTS\tUPLOAD\tNAME"}
	for _, r := range all {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s", rough(now.Sub(r.Started)), bytesText(r.Bytes), r.Parts, transport.Visible(r.ID), transport.Visible(r.Name)))
	}
	if _, err := fmt.Fprintln(t, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return t.Flush()
}

// pruneRemote aborts the unfinished uploads of the provider that are old enough.
func (a *app) pruneRemote(ctx context.Context, cfg config.Config, o remoteOptions, older string) error {
	if older == "" {
		return usagef("--remote aborts unfinished uploads, also those of other machines: give their age with --older-than")
	}
	age, err := config.ParseAge(older)
	if err != nil {
		return usagef("--older-than: %w", err)
	}
	before := time.Now().Add(-age)
	return a.abortRemote(ctx, cfg, o, func(all []provider.RemoteUpload) ([]provider.RemoteUpload, error) {
		return slices.DeleteFunc(all, func(r provider.RemoteUpload) bool { return r.Started.After(before) }), nil
	})
}

// withIDs chooses uploads by the provider's ids.
func withIDs(ids []string) func([]provider.RemoteUpload) ([]provider.RemoteUpload, error) {
	return func(all []provider.RemoteUpload) (chosen []provider.RemoteUpload, _ error) {
		for _, id := range ids {
			i := slices.IndexFunc(all, func(r provider.RemoteUpload) bool { return r.ID == id })
			if i < 0 {
				return nil, usagef("the provider has no unfinished upload %q", id)
			}
			chosen = append(chosen, all[i])
		}
		return chosen, nil
	}
}

// abortRemote aborts some of what the provider has. All are tried.
func (a *app) abortRemote(ctx context.Context, cfg config.Config, o remoteOptions, choose func([]provider.RemoteUpload) ([]provider.RemoteUpload, error)) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	all, abort, stop, err := a.there(ctx, cfg, o)
	defer stop()
	if err == nil {
		all, err = choose(all)
	}
	if err != nil {
		return err
	}
	code := 0
	done := []remoteUpload{}
	for _, r := range all {
		if err := abort(r); err != nil {
			code = worse(code, a.tell(failure{err: err, report: upload.Report{Upload: r.ID}}))
			continue
		}
		done = append(done, remoteOf(r))
		a.note(cfg, "%s (upload %s, %s) is aborted.", transport.Visible(r.Name), transport.Visible(r.ID), bytesText(r.Bytes))
	}
	if a.json {
		err = out.value(ctx, struct {
			Schema  int            `json:"schema"`
			Aborted []remoteUpload `json:"aborted"`
		}{1, done})
	} else if len(all) == 0 {
		a.note(cfg, "There is nothing to abort.")
	}
	if code != 0 {
		return &severalError{code}
	}
	return err
}
