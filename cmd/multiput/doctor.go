package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
)

// finding is what one check came to: a line of doctor's report.
type finding struct {
	Check    string `json:"check"`
	Provider string `json:"provider,omitempty"`
	Status   string `json:"status"` // ok, warning or failed
	Text     string `json:"text"`
	Advice   string `json:"advice,omitempty"` // what to do about it

	code int // the exit code, if it failed
}

// The statuses of a finding.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
)

// about is what was checked, as a line names it.
func (f finding) about() string {
	return transport.Visible(strings.TrimSpace(f.Provider + " " + f.Check))
}

func (f finding) line(width int) string {
	text := f.Text
	if f.Advice != "" {
		text += ": " + f.Advice
	}
	return fmt.Sprintf("%-7s  %-*s  %s\n", f.Status, width, f.about(), transport.Line(text))
}

func good(check, format string, args ...any) finding {
	return finding{Check: check, Status: checkOK, Text: fmt.Sprintf(format, args...)}
}

// warn is a finding that stops no upload yet.
func warn(check, advice, format string, args ...any) finding {
	return finding{Check: check, Status: checkWarning, Text: fmt.Sprintf(format, args...), Advice: advice}
}

// bad is a finding because of which an upload would end with this exit code.
func bad(check string, code int, advice, format string, args ...any) finding {
	return finding{Check: check, Status: checkFailed, Text: fmt.Sprintf(format, args...), Advice: advice, code: code}
}

// failing is a finding with the exit code and the hint that an upload would end
// with.
func failing(check string, f failure) finding {
	c := classOf(f.err)
	return finding{Check: check, Status: checkFailed, Text: f.err.Error(), Advice: c.hint(f), code: c.code}
}

func (a *app) doctorCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what could make an upload fail",
		Long: `Check what could make an upload fail: the configuration, the journal, this
machine, and for each provider the key and the connection to its API. Each check
prints ok, warning or failed, and what to do about it.

Nothing is uploaded or changed, and the key is not sent. Without -p, the
configured provider is checked, or else each built-in one whose key is set.

The exit code is 0 if nothing failed, or else the one that an upload would have
for the first failure.`,
		Example: `  # this machine, and the configured providers
  multiput doctor

  # one provider
  multiput doctor -p openai

  # in a script: the names of the checks that failed
  multiput doctor -p sandbox --jq '.checks[] | select(.status == "failed") | .check'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), c.Flags()) },
	}
	f := c.Flags()
	f.StringArrayP("provider", "p", nil, "check this provider: its `NAME`, or a manifest FILE.yaml; repeatable")
	f.String("base-url", "", "use this `URL` of the API instead of the provider's own")
	habits := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(habits)
	for _, name := range []string{"concurrency", "cacert", "api-key-file", "api-key-command"} {
		f.AddFlag(habits.Lookup(name))
	}
	return c
}

// as are the flags of doctor as those of an upload to one provider: the
// configuration may say other things for each.
func as(flags *pflag.FlagSet, name string) (*pflag.FlagSet, error) {
	f := pflag.NewFlagSet("doctor", pflag.ContinueOnError)
	config.Flags(f)
	config.GlobalFlags(f)
	var err error
	flags.Visit(func(given *pflag.Flag) {
		if f.Lookup(given.Name) != nil && given.Name != "provider" {
			err = errors.Join(err, f.Set(given.Name, given.Value.String()))
		}
	})
	if name != "" {
		err = errors.Join(err, f.Set("provider", name))
	}
	return f, err
}

func (a *app) doctor(ctx context.Context, flags *pflag.FlagSet) error {
	names, err := flags.GetStringArray("provider")
	if err != nil {
		return err
	}
	base, err := flags.GetString("base-url")
	if err != nil {
		return err
	}
	if base != "" && len(names) != 1 {
		return usagef("--base-url is for one provider: name it with -p")
	}
	own, err := as(flags, "")
	if err != nil {
		return err
	}
	cfg, wrong := config.LoadSettings(own)
	var usage *config.UsageError
	if errors.As(wrong, &usage) {
		return wrong
	}
	cfg.JSON = cfg.JSON || a.json
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	found := append([]finding{lookAtConfig(own, cfg, wrong)}, a.lookAtMachine(ctx, own, cfg)...)
	if len(names) == 0 {
		names = configured(ctx, cfg)
	}
	if len(names) == 0 {
		found = append(found, warn("provider", "name one with -p, or put its key into its variable", "none is configured, and the key of none is set"))
	}
	// At once, as each may have to wait for a network that is not there.
	each := make([][]finding, len(names))
	var g errgroup.Group
	for i, name := range names {
		g.Go(func() error {
			each[i] = a.lookAtProvider(ctx, flags, name, base, wrong)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	found = append(found, slices.Concat(each...)...)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return a.report(ctx, out, found, cfg.Quiet)
}

// report prints what was found and gives the error of the first failure.
func (a *app) report(ctx context.Context, out *output, found []finding, quiet bool) error {
	code := 0
	if i := slices.IndexFunc(found, func(f finding) bool { return f.Status == checkFailed }); i >= 0 {
		code = found[i].code
	}
	var err error
	if out.json || out.jq != nil {
		err = out.value(ctx, struct {
			Schema   int       `json:"schema"`
			ExitCode int       `json:"exit_code"`
			Checks   []finding `json:"checks"`
		}{1, code, found})
	} else {
		var s strings.Builder
		width := 0
		for _, f := range found {
			width = max(width, len(f.about()))
		}
		for _, f := range found {
			if !quiet || f.Status == checkFailed {
				s.WriteString(f.line(width))
			}
		}
		_, err = io.WriteString(a.stdout, s.String())
	}
	if err == nil && code != 0 {
		return &severalError{code}
	}
	return err
}

func lookAtConfig(flags *pflag.FlagSet, cfg config.Config, err error) finding {
	path, _, _ := config.Path(flags) // Load told what is wrong with it
	if err == nil {
		if err = knownBases(cfg); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return failing("config", failure{err: err})
	}
	switch _, err := os.Stat(path); {
	case path == "":
		return good("config", "there is no home directory for a config file; only flags and variables are used")
	case errors.Is(err, fs.ErrNotExist):
		return good("config", "%s does not exist; only flags and variables are used", path)
	}
	return good("config", "%s", path)
}

// configured are the providers to look at when none is named.
func configured(ctx context.Context, cfg config.Config) (names []string) {
	if cfg.Provider != "" {
		return []string{cfg.Provider}
	}
	for _, name := range provider.Names() {
		m, err := provider.Load(name)
		if err != nil || m.KeyEnv() == "" {
			continue
		}
		if key, err := (config.Config{}).Key(ctx, config.KeyOf{Provider: name, Env: m.KeyEnv()}, io.Discard); err == nil && key.Reveal() != "" {
			names = append(names, name)
		}
	}
	return names
}
