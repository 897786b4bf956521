package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

func (a *app) listCmd() *cobra.Command {
	var o listOptions
	var there remoteOptions
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List unfinished uploads",
		Long: `List the unfinished uploads in the journal: those that are running (and in which
process), were interrupted, have an unknown outcome, or whose result was not
printed yet. With --all, list finished uploads too.

With --remote, list all that the provider has instead, also from other machines:
S3 bills the parts of unfinished uploads.`,
		Example: `  multiput list

  # uploads that are running to one provider; --watch repeats the list
  multiput list -p openai --state running

  # how many parts of each upload are stored
  multiput list --jq '.uploads[] | "\(.file) \(.parts_stored)/\(.parts)"'

  # uploads whose outcome is unknown
  multiput list --jq '.uploads[] | select(.state == "in_doubt").id'

  # unfinished uploads of a bucket
  multiput list --remote -p s3://my-bucket`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			if err := there.localOnly(c.Flags(), "set", "base-url"); err != nil {
				return err
			}
			if there.remote {
				return readEnough(a.listRemote(c.Context(), cfg, there))
			}
			if c.Flags().Changed("provider") {
				o.provider = cfg.Provider
			}
			return readEnough(a.list(c.Context(), cfg, o))
		},
	}
	f := c.Flags()
	there.remoteFlags(f, "list the unfinished uploads that the provider (-p) has")
	f.BoolVarP(&o.all, "all", "a", false, "list finished uploads too")
	f.StringSliceVar(&o.states, "state", nil, "list only uploads in `STATE`, one of several or a list with commas")
	f.BoolVar(&o.watch, "watch", false, "list again every two seconds, until Ctrl-C")
	return c
}

// listOptions are the flags of list.
type listOptions struct {
	all      bool
	provider string
	states   []string
	watch    bool
}

// states are those that an entry can have.
var states = []string{
	statePlanned, stateShared, stateSent, string(upload.Sending), stateRunning, stateInDoubt, string(upload.Waiting), string(upload.Done), string(upload.Delivered), string(upload.Corrupt), stateUnreadable,
}

// listEvery is how often list --watch looks.
const listEvery = 2 * time.Second

func (a *app) list(ctx context.Context, cfg config.Config, o listOptions) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	for i, s := range o.states {
		if o.states[i] = strings.NewReplacer(" ", "_", "-", "_").Replace(s); !slices.Contains(states, o.states[i]) {
			return usagef("--state: %q is not a state%s; the states are %s", s, provider.DidYouMean(s, states), strings.Join(states, ", "))
		}
	}
	if strings.ContainsAny(o.provider, `/\.`) && !strings.Contains(o.provider, "://") {
		m, err := loadManifest(o.provider)
		if err != nil {
			return err
		}
		o.provider = m.Name
	}
	if err := a.knownProvider(ctx, cfg, o.provider); err != nil {
		return err
	}
	if !o.watch {
		return a.listOnce(ctx, cfg, o, out)
	}
	t := time.NewTicker(listEvery)
	defer t.Stop()
	for {
		if a.shown && !a.json {
			fmt.Fprint(a.stdout, "\x1b[H\x1b[J") //nolint:errcheck // what follows says it
		}
		if err := a.listOnce(ctx, cfg, o, out); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // who watches has seen enough
		case <-t.C:
		}
	}
}

// knownProvider refuses a name that neither a provider nor an upload in the journal
// has: a manifest may be gone while its uploads are still there.
func (a *app) knownProvider(ctx context.Context, cfg config.Config, name string) error {
	if name == "" || strings.Contains(name, "://") {
		return nil
	}
	_, wrong := loadManifest(name)
	var unknown *provider.UnknownError
	if !errors.As(wrong, &unknown) {
		return nil
	}
	known, err := a.journaled(ctx, cfg, true)
	if slices.ContainsFunc(known, func(l journal.Listed) bool { return listOptions{provider: name}.to(&l) }) {
		return nil
	}
	return cmp.Or(err, wrong)
}

func (a *app) listOnce(ctx context.Context, cfg config.Config, o listOptions, out *output) error {
	known, err := a.journaled(ctx, cfg, true)
	if !o.all && !slices.Contains(o.states, string(upload.Delivered)) {
		err = a.warnOfHistory(cfg, known, err)
	}
	if err != nil {
		return err
	}
	gone := a.tellNoJournal(cfg)
	shown := make([]*journal.Listed, 0, len(known)) // there may be 100,000, and each is large
	for i := range known {
		if l := &known[i]; o.wants(l) {
			shown = append(shown, l)
			if l.Err != nil {
				a.warn(cfg, l.Err.Error())
			}
		}
	}
	if a.json {
		entries := make([]entry, len(shown))
		for i, l := range shown {
			entries[i] = newEntry(*l)
		}
		return out.value(ctx, struct {
			Schema  int     `json:"schema"`
			Uploads []entry `json:"uploads"`
		}{1, entries})
	}
	switch {
	case len(shown) > 0:
		return unwritten(table(a.stdout, shown, known, time.Now(), a.visible))
	case len(known) > 0 && (o.provider != "" || len(o.states) > 0):
		a.note(cfg, "No upload matches.")
	case len(known) > 0:
		a.note(cfg, "Every upload is finished; --all lists them.")
	case !gone:
		a.note(cfg, "The journal is empty.")
	}
	return nil
}

// to reports whether an upload is to the provider. A store's uploads have the URL
// of their object for a provider.
func (o listOptions) to(l *journal.Listed) bool {
	at := l.Record.Target.Provider
	return o.provider == "" || at == o.provider || strings.HasPrefix(at, o.provider+"://") ||
		strings.Contains(o.provider, "://") && strings.HasPrefix(at, strings.TrimSuffix(o.provider, "/")+"/")
}

// wants reports whether an upload is to be listed. Who names a state wants it
// listed, also that of finished ones.
func (o listOptions) wants(l *journal.Listed) bool {
	if !o.to(l) {
		return false
	}
	if len(o.states) > 0 {
		return slices.Contains(o.states, stateOf(*l))
	}
	return o.all || unfinished(*l) && stateOf(*l) != stateSent
}

// readEnough ignores the error if the reader of a list exited early, as head does.
func readEnough(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// table writes uploads for people. The file comes last, as it may be long. There
// may be 100,000: cells go into one buffer, of which rows are made once the widths
// of the columns are known.
func table(w io.Writer, shown []*journal.Listed, known []journal.Listed, now time.Time, visible func(string) string) error {
	header := [...]string{"ID", "STATE", "PROVIDER", "SIZE", "STORED", "AGE", "ENDS", "FILE"}
	var (
		text   []byte
		ends   = make([]int, 0, (len(shown)+1)*len(header)) // of the cells in text
		widths [len(header)]int
		began  int // the cell that is being written
	)
	cell := func() {
		column := len(ends) % len(header)
		widths[column] = max(widths[column], utf8.RuneCount(text[began:]))
		began = len(text)
		ends = append(ends, began)
	}
	for _, name := range header {
		text = append(text, name...)
		cell()
	}
	length := idLength(known)
	for _, l := range shown {
		r := &l.Record
		text = append(text, l.ID[:min(length(l.ID), len(l.ID))]...)
		cell()
		if isGone(*r) && l.Holder == nil && (upload.Spool{}).Gone(r.Path) {
			text = append(text, "cannot be resumed"...)
		} else {
			text = append(text, plainState(stateOf(*l))...)
		}
		if h := l.Holder; h != nil && h.PID != 0 && unfinished(*l) {
			text = fmt.Appendf(text, " (%d on %s)", h.PID, transport.Visible(h.Host))
		}
		cell()
		text = append(text, transport.Visible(cmp.Or(r.Target.Provider, "-"))...)
		cell()
		text = append(text, bytesText(r.Upload.File.Size)...)
		cell()
		text = append(append(strconv.AppendInt(append(strconv.AppendInt(text, int64(l.PartsStored), 10), '/'), int64(l.Parts), 10), ' '), percent(l.PartsStored, l.Parts, l.BytesStored, r.Upload.File.Size)...)
		if l.InFlight > 0 && l.Holder != nil {
			text = append(append(text, " +"...), bytesText(l.InFlight)...)
		}
		cell()
		if age := now.Sub(r.Updated); r.Updated.IsZero() || age <= -time.Minute {
			text = append(text, '-') // it was written while the clock was ahead
		} else {
			text = append(text, rough(age)...)
		}
		cell()
		switch end, _ := endOf(*l); {
		case end.IsZero():
			text = append(text, '-')
		case end.After(now):
			text = append(append(text, "in "...), rough(end.Sub(now))...)
		default:
			text = append(append(text, rough(end.Sub(now))...), " ago"...)
		}
		cell()
		text = append(text, visible(cmp.Or(named(r.Path, r.Target.Name), "-"))...)
		cell()
	}
	out := bufio.NewWriterSize(w, 64<<10)
	blanks := strings.Repeat(" ", slices.Max(widths[:])+2)
	begin := 0
	for i, end := range ends {
		c := text[begin:end]
		begin = end
		out.Write(c) //nolint:errcheck // Flush tells
		if column := i % len(header); column < len(header)-1 {
			out.WriteString(blanks[:widths[column]+2-utf8.RuneCount(c)]) //nolint:errcheck // Flush tells
		} else {
			out.WriteByte('\n') //nolint:errcheck // Flush tells
		}
	}
	return out.Flush()
}
