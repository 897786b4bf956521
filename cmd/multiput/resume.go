package main

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/upload"
)

// recordedOptions are the flags of the commands that take an upload up again:
// where it goes is recorded, but for what is never recorded.
type recordedOptions struct {
	set     []string
	base    string
	keyless bool                        // a key is not needed, as far as presigned URLs do
	signed  map[string]upload.Presigned // requests of the upload that need no key
}

// flags adds those of upload that still have a say, but for some.
func (o *recordedOptions) flags(f *pflag.FlagSet, but ...string) {
	habits := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(habits)
	habits.VisitAll(func(flag *pflag.Flag) {
		for _, name := range append(but, "content-type") {
			if flag.Name == name {
				return
			}
		}
		if flag.Name == "provider" {
			flag.Usage = "the manifest `FILE.yaml` of the upload, if it is not where it was"
		}
		f.AddFlag(flag)
	})
	f.StringArrayVarP(&o.set, "set", "s", nil, "set a secret option of the provider again (`KEY=VALUE`); repeatable")
	f.StringVar(&o.base, "base-url", "", "send the key to this `URL`, if the upload was started there")
}

func (a *app) resumeCmd() *cobra.Command {
	var o recordedOptions
	c := &cobra.Command{
		Use:   "resume [ID...]",
		Short: "Resume unfinished uploads",
		Long: `Resume the uploads with these ids, or all unfinished uploads. Running the
original upload command again does the same. Results go to stdout, one line for
each file.

The key is found as for upload. It is sent to the provider's own URL, to a
configured one, or to this machine. If the upload was started at another URL,
name that URL with --base-url.`,
		Example: `  # everything, after a reboot
  multiput resume

  # one, on a slow network
  multiput resume 1a2b3c4d --limit-rate 2MB -j 2

  # one whose manifest was moved since it was started
  multiput resume 1a2b3c4d -p ./my-api.yaml`,
		ValidArgsFunction: completeIDs(resumable),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != "" || cfg.Progress == string(progress.JSON)
			return a.resume(c.Context(), cfg, o, args)
		},
	}
	o.flags(c.Flags())
	return c
}

// resume continues uploads. All are tried.
func (a *app) resume(ctx context.Context, cfg config.Config, o recordedOptions, ids []string) error {
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
	chosen, err := choose(known, ids)
	if err != nil {
		return err
	}
	for _, l := range chosen {
		if l.Record.Target.Share != "" {
			return usagef("%s is part of an upload that was planned: multiput put and complete continue it", shortID(l.ID, known))
		}
		if !unfinished(l) {
			id := shortID(l.ID, known)
			return usagef("%s (%s) is finished: multiput show %s has its result", id, fileOf(l.Record), id)
		}
	}
	if len(ids) == 0 {
		for _, l := range known {
			if unfinished(l) && !isGone(l.Record) && l.Record.Target.Share == "" {
				chosen = append(chosen, l)
			}
		}
	}
	if len(chosen) == 0 {
		a.note(cfg, "There is nothing to resume.")
	}
	code := 0
	chosen = slices.DeleteFunc(chosen, func(l journal.Listed) bool {
		if l.Err != nil {
			code = worse(code, a.tell(failure{err: &lostError{l.Err, shortID(l.ID, known)}}))
		}
		return l.Err != nil
	})
	a.warnOfNetwork(cfg)
	defer a.summarize(cfg)
	files := make([]input, len(chosen))
	for i, l := range chosen {
		files[i].path = named(l.Record.Path, l.Record.Target.Name)
	}
	show, hide := a.watch(cfg, files)
	defer hide()
	b := &batch{app: a, cfg: cfg, out: out, show: show}
	if code = worse(code, b.run(ctx, b.recorded(chosen, o))); code != 0 {
		return &severalError{code}
	}
	return nil
}

// recorded are the jobs that continue uploads of the journal.
func (b *batch) recorded(chosen []journal.Listed, o recordedOptions) iter.Seq[upload.Job] {
	among := len(chosen) > 1
	return func(yield func(upload.Job) bool) {
		for _, l := range chosen {
			r := l.Record
			end, stop := func() {}, func() {}
			f := failure{file: named(r.Path, r.Target.Name), several: among, sized: b.cfg.PartSize > 0, limited: b.cfg.LimitRate > 0}
			job := upload.Job{File: upload.File{Path: r.Path, Name: r.Target.Name, Type: r.Target.Type}}
			if streamed(r.Path) {
				job.File.Size, job.File.ModTime, job.File.ID = r.Upload.File.Size, r.Upload.File.ModTime, r.Upload.File.ID
			}
			job.Open = func(ctx context.Context) (u *upload.Uploader, err error) {
				if isGone(r) {
					return nil, &goneError{r}
				}
				cfg, m, err := manifestOf(b.cfg, r)
				if err != nil {
					return nil, err
				}
				// Before anything needs a key.
				if _, err := upload.Stat(r.Path); err != nil && !streamed(r.Path) {
					return nil, err
				}
				f.keyEnv, f.keyFrom = m.KeyEnv(), cfg.KeySource()
				if u, stop, err = b.app.reopen(ctx, cfg, o, m, r, among); err != nil {
					stop = func() {}
					return nil, err
				}
				u.Resume = true
				end = b.watch(u, f)
				return u, nil
			}
			job.Done = func(report upload.Report, err error) {
				end()
				stop()
				if errors.Is(err, upload.ErrNothing) && among {
					return // another process was faster
				}
				f.report, f.err = report, err
				b.end(f)
			}
			if !yield(job) {
				return
			}
		}
	}
}

// reopen wires what takes an upload up again: its identity is exactly what it
// was. among: there are others, so that what is set need not be meant for it.
func (a *app) reopen(ctx context.Context, cfg config.Config, o recordedOptions, m *provider.Definition, r upload.Record, among bool) (u *upload.Uploader, stop func(), err error) {
	options, err := m.Options.Restore(m.Title, r.Target.Options)
	if err != nil {
		return nil, nil, err
	}
	given, err := settings(o.set)
	if err != nil {
		return nil, nil, err
	}
	for name, value := range given {
		switch option, is := m.Options.Find(name); {
		case is && !option.Secret:
			return nil, nil, usagef("--set %s: an upload keeps the options that it was started with; only secret ones are set again", name)
		case is || !among:
			options[name] = value
		}
	}
	for name, value := range cfg.Set {
		option, _ := m.Options.Find(name)
		if _, own := given[name]; option.Secret && !own {
			options[name] = value
		}
	}
	s := provider.Settings{Base: r.Target.Base, Options: options, Recorded: true, Keyless: o.keyless && !m.PartsNeedKey, Signed: o.signed}
	if err := provider.MayHaveKey(m, s.Base, cfg.Base(m.Name), o.base); err != nil && !s.Keyless {
		return nil, nil, err
	} else if err != nil {
		s.Keys = []provider.Secret{}
	}
	u, stop, err = a.open(ctx, cfg, m, s, true)
	if err != nil {
		return nil, nil, err
	}
	if u.Target.Base != r.Target.Base || !bytes.Equal(u.Target.Options, r.Target.Options) {
		stop()
		return nil, nil, usagef("the manifest of %s gives other options than the upload was started with, so it cannot be resumed with this manifest", m.Name)
	}
	return u, stop, nil
}
