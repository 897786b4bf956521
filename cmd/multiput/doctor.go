package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
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

// lookAtMachine are the checks that are the same for all providers.
func (a *app) lookAtMachine(ctx context.Context, flags *pflag.FlagSet, cfg config.Config) []finding {
	path := cfg.Journal
	if path == "" { // the configuration is not known; its default is
		if f := flags.Lookup("journal"); f.Changed {
			path = f.Value.String()
		} else if dir, err := config.StateDir(); err != nil {
			return []finding{failing("state", failure{err: err})}
		} else {
			path = filepath.Join(dir, "journal")
		}
	}
	dir := existing(path)
	found := []finding{lookAtDir(dir, a.remote(path)), lookAtSpace(dir)}
	found = append(found, lookAtJournal(ctx, path)...)
	return append(found, lookAtFiles(cfg.Concurrency))
}

// existing is the directory itself, or the next above it that is there.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// lookAtDir makes and removes a file where the journal is or would be: whether
// that can be done is not to be told from modes.
func lookAtDir(dir, remote string) finding {
	const elsewhere = "name another directory with --journal"
	f, err := os.CreateTemp(dir, ".multiput-doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	switch {
	case err != nil:
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return bad("state", exitJournal, "make it writable, or "+elsewhere, "%s cannot be written to (%v)", dir, err)
	case remote != "":
		return warn("state", elsewhere+" on a local one", "%s is on a network file system (%s), where locks and durability depend on the server", dir, remote)
	}
	return good("state", "%s can be written to", dir)
}

// Where less is free, the journal of a large upload may not fit.
const scarce, spent uint64 = 64 << 20, 1 << 20

func lookAtSpace(dir string) finding {
	free, err := freeSpace(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return good("space", "not known on this system")
	case err != nil:
		return warn("space", "", "the free space at %s is not known (%v)", dir, err)
	case free < spent:
		return bad("space", exitJournal, "free some, or name another directory with --journal", "%s are free at %s", humanize.IBytes(free), dir)
	case free < scarce:
		return warn("space", "the journal of a large upload needs some; free some, or name another directory with --journal", "%s are free at %s", humanize.IBytes(free), dir)
	}
	return good("space", "%s are free at %s", humanize.IBytes(free), dir)
}

func lookAtJournal(ctx context.Context, path string) []finding {
	open, wrong, err := (&journal.Journal{Dir: path}).Examine(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []finding{good("journal", "there is none yet at %s", path)}
	case err != nil:
		return []finding{failing("journal", failure{err: err})}
	}
	found := []finding{good("journal", "%s is in order", path)}
	if len(wrong) > 0 {
		found = nil
	}
	for _, err := range wrong {
		found = append(found, warn("journal", "", "%v", err))
	}
	return append(found, lookAtUploads(open, time.Now())...)
}

// endsSoon is how long before its end an upload is reported.
const endsSoon = time.Hour

// mostUploads is how many uploads are reported one by one.
const mostUploads = 20

// lookAtUploads says which uploads need attention, and by when.
func lookAtUploads(open []journal.Listed, now time.Time) (found []finding) {
	unfinished := 0
	for _, l := range open {
		r := l.Record
		again := "run the same command again"
		if streamed(r.Path) {
			again = "run multiput resume"
		}
		what := fmt.Sprintf("%s to %s", named(r.Path, r.Target.Name), r.Target.Provider)
		switch r.State {
		case upload.Done:
			found = append(found, warn("upload", again+" to have its result printed", "%s is uploaded, and its result was not printed", what))
			continue
		case upload.Waiting:
			found = append(found, warn("upload", again+" to wait until it is ready", "%s is uploaded, and was not ready", what))
			continue
		case upload.Completing:
			found = append(found, warn("upload", again+" to ask the provider", "%s may or may not have completed: the final request got no clear answer", what))
			continue
		}
		unfinished++
		if isGone(r) {
			continue // prune removes it
		}
		stored := fmt.Sprintf("%d of %d parts are stored", l.PartsStored, l.Parts)
		end, of := endOf(l)
		switch left := end.Sub(now); {
		case end.IsZero() || left > endsSoon:
		case left <= 0:
			found = append(found, warn("upload", again+": it creates a new upload if necessary", "%s: %s, and %s ended %s", what, stored, of, humanize.RelTime(end, now, "ago", "")))
		default:
			found = append(found, warn("upload", again+" before that", "%s: %s, and %s ends in %s", what, stored, of, left.Round(time.Second)))
		}
	}
	if len(found) > mostUploads {
		found = append(found[:mostUploads], warn("upload", "", "and %d more", len(found)-mostUploads))
	}
	if len(found) == 0 {
		found = append(found, good("uploads", "%d unfinished, none in doubt, none that expires within %s", unfinished, endsSoon))
	}
	return found
}

// filesFor is how many files and connections an upload of so many parts at once
// may have open.
func filesFor(concurrency int) uint64 {
	return uint64(2*cmp.Or(concurrency, upload.MaxConcurrency) + 32)
}

func lookAtFiles(concurrency int) finding {
	limit, err := openFiles()
	need := filesFor(concurrency)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return good("files", "this system sets no limit of open files")
	case err != nil:
		return warn("files", "", "the limit of open files is not known (%v)", err)
	case limit < need:
		return warn("files", fmt.Sprintf("ulimit -n %d, or a smaller -j", need), "only %d files may be open at once, but up to %d may be needed", limit, need)
	case limit > 1<<40:
		return good("files", "there is no limit of open files")
	}
	return good("files", "%d may be open at once, and up to %d are needed", limit, need)
}
