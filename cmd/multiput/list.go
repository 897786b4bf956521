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
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/transport"
)

func (a *app) listCmd() *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List unfinished uploads",
		Long: `List the unfinished uploads in the journal: those that are running (and in which
process), were interrupted, have an unknown outcome, or whose result was not
printed yet. With --all, list finished uploads too.`,
		Example: `  multiput list

  # how many parts of each are stored
  multiput list --jq '.uploads[] | "\(.file) \(.parts_stored)/\(.parts)"'

  # those whose outcome is unknown
  multiput list --jq '.uploads[] | select(.state == "in_doubt").id'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			return readEnough(a.list(c.Context(), cfg, all, c.Flags().Changed("journal")))
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "list finished uploads too")
	return c
}

func (a *app) list(ctx context.Context, cfg config.Config, all, named bool) error {
	out, err := newOutput(a.stdout, a.shown, cfg.JSON, cfg.JQ)
	if err != nil {
		return err
	}
	known, err := a.journaled(ctx, cfg, true)
	if err != nil {
		return err
	}
	shown := known
	if !all {
		shown = slices.DeleteFunc(slices.Clone(known), func(l journal.Listed) bool { return !unfinished(l) })
	}
	if a.json {
		entries := make([]entry, len(shown))
		for i, l := range shown {
			entries[i] = newEntry(l)
		}
		return out.value(ctx, struct {
			Schema  int     `json:"schema"`
			Uploads []entry `json:"uploads"`
		}{1, entries})
	}
	switch {
	case len(shown) > 0:
		return unwritten(table(a.stdout, shown, known, time.Now()))
	case len(known) > 0:
		a.note(cfg, "Every upload is finished; --all lists them.")
	case named && !exists(cfg.Journal):
		a.note(cfg, "There is no journal: %s does not exist.", transport.Visible(cfg.Journal))
	default:
		a.note(cfg, "The journal is empty.")
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// readEnough is no error where the reader of a list has read enough, as head does.
func readEnough(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// table writes uploads for people. The file comes last, as it may be long.
func table(w io.Writer, shown, known []journal.Listed, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	short := shortIDs(known)
	rows := []string{"ID\tSTATE\tPROVIDER\tSIZE\tSTORED\tAGE\tENDS\tFILE"}
	for _, l := range shown {
		e := newEntry(l)
		state := plainState(e.State)
		if e.Holder != nil && e.Holder.PID != 0 {
			state += fmt.Sprintf(" (%d on %s)", e.Holder.PID, transport.Visible(e.Holder.Host))
		}
		ends := "-"
		if e.Ends != nil {
			if left := e.Ends.Sub(now); left > 0 {
				ends = "in " + rough(left)
			} else {
				ends = rough(left) + " ago"
			}
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d/%d %s\t%s\t%s\t%s", short[e.ID], state, transport.Visible(e.Provider),
			bytesText(e.Size), e.PartsStored, e.Parts, percent(e.BytesStored, e.Size), rough(now.Sub(e.Updated)), ends, transport.Visible(e.File)))
	}
	if _, err := fmt.Fprintln(t, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return t.Flush()
}
