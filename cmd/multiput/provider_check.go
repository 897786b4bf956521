package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/upload"
)

// checkOptions are the flags of provider check.
type checkOptions struct {
	live   bool
	record string // where the exchanges go; empty: nowhere
	name   string
	uploadOptions
}

func (a *app) providerCheckCmd() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a manifest, and with --live its API",
		Long: `Check a manifest: its keys, its expressions and its samples. Nothing is sent.

With --live, also upload the smallest file that the API accepts, through each
step of the real API. That file stays there. A second upload is created and
aborted, if the API can abort. The key is found as for upload. --record writes
the exchanges down as samples.`,
		Example: `  multiput provider check my-api.yaml
  multiput provider check --live my-api.yaml
  multiput provider check --live --record samples.yaml my-api.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeOneProvider,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.LoadFor(c.Flags(), args[0])
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			return a.check(c.Context(), cfg, o, args[0])
		},
	}
	f := c.Flags()
	f.BoolVar(&o.live, "live", false, "upload a small file to the real API")
	f.StringArrayVarP(&o.set, "set", "s", nil, "with --live: set an option of the provider to a value (`KEY=VALUE`); repeatable")
	f.StringVar(&o.base, "base-url", "", "with --live: use this `URL` of the API instead of the manifest's own")
	pathVar(f, &o.record, "record", "", "with --live: write the exchanges to `FILE`, as samples")
	f.StringVar(&o.name, "name", "multiput-check.txt", "with --live: store the file under `NAME`")
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(all)
	for _, name := range []string{"content-type", "retries", "retry-for", "stall-timeout", "cacert", "api-key-file", "api-key-command"} {
		f.AddFlag(all.Lookup(name))
	}
	return c
}

// liveStep is one step of a live check as --json has it.
type liveStep struct {
	Step  string `json:"step"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (a *app) check(ctx context.Context, cfg config.Config, o checkOptions, file string) error {
	m, err := loadManifest(file)
	if err != nil {
		return err
	}
	if !o.live && (len(o.set) > 0 || o.base != "" || o.record != "") {
		return usagef("--set, --base-url and --record are for --live")
	}
	n, err := check.Samples(ctx, m)
	if err != nil {
		return err
	}
	object := map[string]any{"schema": 1, "file": file, "provider": m.Name, "samples": n, "findings": findings(m.Findings)}
	for _, f := range m.Findings {
		a.note(cfg, "%s: %s", f.Kind, f.In(file))
	}
	summary := fmt.Sprintf("%s: valid; %s passed", file, count(n, "sample"))
	if n == 0 {
		summary = file + ": valid; it has no samples"
	}
	if o.live {
		steps, r, err := a.live(ctx, cfg, o, file)
		if err != nil {
			return err
		}
		object["live"], object["result"] = steps, r.Value
		summary += "; the API passed too, the result is " + r.Value
	}
	if done, err := a.printObject(ctx, cfg, object); done {
		return err
	}
	return a.printText(summary + "\n")
}

// findings are those of a manifest as --json has them.
func findings(all []provider.Finding) []map[string]any {
	list := []map[string]any{}
	for _, f := range all {
		list = append(list, map[string]any{"kind": f.Kind, "line": f.Line, "column": f.Column, "key": f.Key, "text": f.Text})
	}
	return list
}

// live takes a small file through the real API.
func (a *app) live(ctx context.Context, cfg config.Config, o checkOptions, file string) (steps []liveStep, r upload.Result, err error) {
	cfg.Provider = file
	if o.record != "" {
		a.record = &check.Transcript{}
		defer func() { err = errors.Join(err, writeRecord(o.record, a.record)) }()
	}
	u, m, stop, err := a.uploader(ctx, cfg, o.uploadOptions)
	tell := func(err error) error {
		f := failure{err: err, keyEnv: m.KeyEnv(), keyFrom: cfg.KeySource(), base: o.base}
		var step *check.StepError
		if errors.As(err, &step) && step.Step != "create" {
			f.base = "" // it is the API's: an upload was created there
		}
		return &severalError{a.tell(f)}
	}
	if err != nil && m != nil {
		return nil, r, tell(err)
	}
	if err != nil {
		return nil, r, err
	}
	defer stop()
	live := check.Live{Provider: u.Provider, Retry: u.Retry, Aborts: m.Abilities.Aborts, Record: a.record, Options: openOptions(m, u.Target), Tell: func(step string, err error) {
		s := liveStep{Step: step, OK: err == nil}
		word := "ok"
		if err != nil {
			s.Error, word = err.Error(), "failed"
		}
		steps = append(steps, s)
		a.note(cfg, "%-11s%s", step, word)
	}, Retrying: func(step string, err error, wait time.Duration) {
		when := ""
		if wait >= time.Second {
			when = " in " + rough(wait)
		}
		a.note(cfg, "%-11s%v; retrying%s", step, err, when)
	}}
	f := upload.File{Path: o.name, Name: o.name, Type: cfg.ContentType}
	if f.Type == "" {
		f.Type = "text/plain"
	}
	// Not the same bytes twice: some APIs store those only once.
	body := fmt.Appendf(nil, "multiput provider check --live %s\n", rand.Text())
	if least := m.Limits.MinSize; int64(len(body)) < least {
		body = append(body, make([]byte, least-int64(len(body)))...)
	}
	if r, err = live.Run(ctx, f, body); err != nil {
		return nil, r, tell(err)
	}
	return steps, r, nil
}

// openOptions are the options that are set and no secret.
func openOptions(m *provider.Definition, t upload.Target) map[string]any {
	options := map[string]any{}
	if set, err := m.Options.Restore(m.Title, t.Options); err == nil {
		for k, v := range set {
			options[k] = v
		}
	}
	return options
}

// writeRecord writes down the exchanges that there were.
func writeRecord(path string, r *check.Transcript) error {
	b, err := r.YAML()
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return usagef("--record: %w", err)
	}
	return nil
}
