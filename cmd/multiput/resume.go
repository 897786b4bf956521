package main

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// recordedOptions are the flags of the commands that take an upload up again:
// where it goes is recorded, but for what is never recorded.
type recordedOptions struct {
	set  []string
	base string
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
			flag.Usage = "the manifest `FILE.yaml` of an upload that was begun with one"
		}
		f.AddFlag(flag)
	})
	f.StringArrayVarP(&o.set, "set", "s", nil, "set a secret option of the provider again, as `KEY=VALUE`; repeatable")
	f.StringVar(&o.base, "base-url", "", "send the key to this `URL` if an upload was begun there")
}

func (a *app) resumeCmd() *cobra.Command {
	var o recordedOptions
	c := &cobra.Command{
		Use:   "resume [ID...]",
		Short: "Go on with uploads that are not finished",
		Long: `Go on with the uploads of these ids, or with all that are not finished. It does
what the command that began them would do, which is always as good. Results go
to stdout, a line for each file.

The key comes from where upload has it from. It goes to the provider's own
address, a configured one or this machine; to another one that an upload was
begun at only if --base-url names it.`,
		Example: `  # everything, after a reboot
  multiput resume

  # one, with care for the network
  multiput resume 1a2b3c4d --limit-rate 2MB -j 2

  # one that was begun with a manifest of one's own
  multiput resume 1a2b3c4d -p ./my-api.yaml`,
		ValidArgsFunction: completeIDs(unfinished),
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

// resume goes on with uploads, one after the other. All are tried.
func (a *app) resume(ctx context.Context, cfg config.Config, o recordedOptions, ids []string) error {
	out, err := newOutput(a.stdout, a.shown, cfg.JSON, cfg.JQ)
	if err != nil {
		return err
	}
	if _, err := settings(o.set); err != nil {
		return err
	}
	known, err := a.journaled(ctx, cfg, len(ids) > 0)
	if err != nil {
		return err
	}
	chosen, err := choose(known, ids)
	if err != nil {
		return err
	}
	for _, l := range chosen {
		if !unfinished(l) {
			id := shortID(l.ID, known)
			return usagef("%s (%s) is finished: multiput show %s has its result", id, transport.Visible(l.Record.Path), id)
		}
	}
	if len(ids) == 0 {
		for _, l := range known {
			// What came from a pipe is gone with the process that read it.
			if unfinished(l) && !streamed(cfg, l.Record.Path) {
				chosen = append(chosen, l)
			}
		}
	}
	if len(chosen) == 0 {
		a.note(cfg, "There is nothing to go on with.")
	}
	a.warnOfNetwork(cfg)
	defer a.summarize(cfg)
	code := 0
	for _, l := range chosen {
		if ctx.Err() != nil {
			code = worse(code, a.tell(failure{err: context.Cause(ctx), file: l.Record.Path}))
			break
		}
		if f := a.goOn(ctx, cfg, o, out, l, len(chosen) > 1); f.err != nil {
			f.file = l.Record.Path
			code = worse(code, a.tell(f))
		}
	}
	if code != 0 {
		return &severalError{code}
	}
	return nil
}

// goOn takes one upload to its end.
func (a *app) goOn(ctx context.Context, cfg config.Config, o recordedOptions, out *output, l journal.Listed, among bool) failure {
	r := l.Record
	cfg, m, err := manifestOf(cfg, r)
	if err != nil {
		return failure{err: err}
	}
	// Before anything needs a key.
	if _, err := upload.Stat(r.Path); err != nil {
		return failure{err: err}
	}
	u, stop, err := a.reopen(ctx, cfg, o, m, r, among)
	if err != nil {
		return failure{err: err, keyEnv: m.KeyEnv(), keyFrom: cfg.KeySource()}
	}
	defer stop()
	u.Resume = true
	show, hide := a.watch(cfg, []string{r.Path})
	defer hide()
	observe, end := show.File(r.Path)
	defer end()
	u.Observe = a.actions.observe(r.Path, a.json || cfg.Quiet, observe)
	u.Deliver = func(ctx context.Context, rep upload.Report) error {
		return a.aside(show, func() error { return out.print(ctx, r.Path, rep) })
	}
	report, err := u.Upload(ctx, upload.File{Path: r.Path, Name: r.Target.Name, Type: r.Target.Type})
	if errors.Is(err, upload.ErrNothing) && among {
		return failure{} // another process was faster
	}
	return failure{err: err, report: report, keyEnv: m.KeyEnv(), keyFrom: cfg.KeySource()}
}

// manifestOf finds the manifest that an upload was begun with: the one that -p
// names, if it is the one, or else by its name. The configuration that comes with
// it is that of this provider: a key is not for whatever the journal holds.
func manifestOf(cfg config.Config, r upload.Record) (config.Config, *manifest.Manifest, error) {
	name := r.Target.Provider
	var unknown *provider.UnknownError
	if cfg.Provider != "" {
		m, err := loadManifest(cfg.Provider)
		if err == nil && m.Name() == name {
			return cfg, m, nil
		}
		if err != nil && !errors.As(err, &unknown) {
			return cfg, nil, err
		}
	}
	m, err := loadManifest(name)
	if errors.As(err, &unknown) {
		return cfg, nil, usagef("it goes to %s, whose manifest is not known by that name: name the file with -p FILE.yaml", transport.Visible(name))
	}
	if err != nil {
		return cfg, nil, err
	}
	cfg, err = cfg.For(name)
	return cfg, m, err
}

// reopen wires what takes an upload up again: its identity is exactly what it
// was. among: there are others, so that what is set need not be meant for it.
func (a *app) reopen(ctx context.Context, cfg config.Config, o recordedOptions, m *manifest.Manifest, r upload.Record, among bool) (u *upload.Uploader, stop func(), err error) {
	options, err := m.Restore(r.Target)
	if err != nil {
		return nil, nil, err
	}
	given, err := settings(o.set)
	if err != nil {
		return nil, nil, err
	}
	secret := make(map[string]bool)
	for _, option := range m.Options() {
		secret[option.Name] = option.Secret
	}
	for name, value := range given {
		switch isSecret, is := secret[name]; {
		case is && !isSecret:
			return nil, nil, usagef("--set %s: an upload keeps the options that it was begun with; only secret ones are set again", name)
		case is || !among:
			options[name] = value
		}
	}
	for name, value := range cfg.Set {
		if _, own := given[name]; secret[name] && !own {
			options[name] = value
		}
	}
	if err := mayHaveKey(cfg, o, m, r.Target.Base); err != nil {
		return nil, nil, err
	}
	u, stop, err = a.open(ctx, cfg, m, manifest.Settings{Base: r.Target.Base, Options: options}, true)
	if err != nil {
		return nil, nil, err
	}
	if u.Target.Base != r.Target.Base || !bytes.Equal(u.Target.Options, r.Target.Options) {
		stop()
		return nil, nil, usagef("the manifest of %s reads the recorded options otherwise than when the upload was begun: it cannot be found again with it", m.Name())
	}
	return u, stop, nil
}

// mayHaveKey refuses to send a key to an address that nothing but the journal
// names: a journal may come from a cache that others write to.
func mayHaveKey(cfg config.Config, o recordedOptions, m *manifest.Manifest, base string) error {
	if base == "" || !m.NeedsKey() {
		return nil
	}
	if u, err := url.Parse(base); err == nil && transport.Loopback(u.Hostname()) {
		return nil
	}
	for _, named := range []string{m.Base(), cfg.Base(m.Name()), o.base} {
		if sameAddress(named, base) {
			return nil
		}
	}
	return usagef("it was begun at %s, which is not %s's own address: say --base-url %s to send your key there", transport.Redact(base), m.Title(), transport.Redact(base))
}

func sameAddress(a, b string) bool {
	canonical := func(s string) string {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return ""
		}
		u.Host = strings.ToLower(u.Host)
		return strings.TrimRight(u.String(), "/")
	}
	return canonical(a) != "" && canonical(a) == canonical(b)
}
