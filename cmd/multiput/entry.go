package main

import (
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

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// entry is the documented form of an upload in the journal.
type entry struct {
	ID          string          `json:"id"`
	State       string          `json:"state"`
	Holder      *journal.Holder `json:"holder"`
	Provider    string          `json:"provider"`
	Base        string          `json:"base"`
	Upload      string          `json:"upload"`
	File        string          `json:"file"`
	Name        string          `json:"name"`
	Size        int64           `json:"size"`
	Parts       int             `json:"parts"`
	PartsStored int             `json:"parts_stored"`
	BytesStored int64           `json:"bytes_stored"`
	InFlight    int64           `json:"bytes_in_flight"`
	Started     time.Time       `json:"started"`
	Updated     time.Time       `json:"updated"`
	Ends        *time.Time      `json:"ends"`
}

// The states of an entry. What is running is so whatever its record says.
const (
	stateRunning = "running"
	stateInDoubt = "in_doubt"
	statePlanned = "planned" // other machines are to send it
	stateShared  = "shared"  // it is part of an upload that was planned
	stateSent    = "sent"    // and all of it is stored: another machine completes the upload

	stateUnreadable = "unreadable" // its record is damaged, or of a newer version
)

func newEntry(l journal.Listed) entry {
	r := l.Record
	e := entry{
		ID: l.ID, State: stateOf(l), Provider: r.Target.Provider, Base: transport.Redact(r.Target.Base),
		Upload: r.Upload.ID, File: named(r.Path, r.Target.Name), Name: r.Target.Name, Size: r.Upload.File.Size,
		Parts: l.Parts, PartsStored: l.PartsStored, BytesStored: l.BytesStored, InFlight: l.InFlight,
		Started: r.Started, Updated: r.Updated,
	}
	if r.Target.Base == "" {
		e.Base = ""
	}
	if e.State == stateRunning {
		e.Holder = l.Holder
	}
	if end, _ := endOf(l); !end.IsZero() {
		e.Ends = &end
	}
	return e
}

func stateOf(l journal.Listed) string {
	switch s := l.Record.State; {
	case l.Err != nil:
		return stateUnreadable
	case l.Holder != nil && s != upload.Delivered:
		return stateRunning
	case s == upload.Completing:
		return stateInDoubt
	case s == upload.Sending && isShare(l.Record) && l.PartsStored >= partsOf(l):
		return stateSent
	case s == upload.Sending && isShare(l.Record):
		return stateShared
	case s == upload.Sending && l.Record.Upload.Planned && l.PartsStored == 0:
		return statePlanned
	default:
		return string(s)
	}
}

// partsOf is how many parts a shard has.
func partsOf(l journal.Listed) int {
	_, shard, _ := strings.Cut(l.Record.Target.Share, " ")
	s, err := handoff.ParseShard(shard)
	if err != nil {
		return l.Parts
	}
	return s.Count(l.Parts)
}

// endOf is when an upload can no longer be resumed, as far as that is known, and
// what it is that ends then: the upload, or its presigned URLs if there are no
// others.
func endOf(l journal.Listed) (end time.Time, of string) {
	if l.Record.State != upload.Sending {
		return time.Time{}, ""
	}
	end, of = l.Record.Upload.Expires, "the upload"
	if urls := l.URLsExpire; !urls.IsZero() && (end.IsZero() || urls.Before(end)) {
		end, of = urls, "the time of its presigned URLs"
	}
	return end, of
}

// shortest is how many digits of an id are shown at least.
const shortest = 8

func short(id string) string { return id[:min(shortest, len(id))] }

// shortID is as much of an id as it takes to tell it from the others.
func shortID(id string, all []journal.Listed) string { return id[:min(idLength(all)(id), len(id))] }

// idLength says how many digits of an id it takes to tell it from the others.
func idLength(all []journal.Listed) func(id string) int {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	alike := make(map[string]int) // of those that need more, how many
	for i := 1; i < len(ids); i++ {
		n := shortest // ids are sorted: the longest common prefix is with a neighbor
		for n < len(ids[i]) && strings.HasPrefix(ids[i-1], ids[i][:n]) {
			n++
		}
		if n > shortest {
			alike[ids[i-1]], alike[ids[i]] = max(n, alike[ids[i-1]]), n
		}
	}
	return func(id string) int { return max(shortest, alike[id]) }
}

// find gives the upload that is meant: by the beginning of its id, by what the
// provider calls it, or else by its file. A file that is uploaded again has the same
// id: of these the unfinished one is meant, or else the latest.
func find(all []journal.Listed, id string) (journal.Listed, error) {
	found := matching(all, func(l journal.Listed) bool {
		return id != "" && (strings.HasPrefix(l.ID, strings.ToLower(id)) || l.Record.Upload.ID == id)
	})
	if len(found) == 0 && id != "" {
		path, _ := filepath.Abs(id)
		found = matching(all, func(l journal.Listed) bool {
			r := l.Record
			return r.Path == path || streamed(r.Path) && (r.Target.Name == id || named(r.Path, r.Target.Name) == id)
		})
	}
	// Of a planned file that is an upload and its shards, which end with it.
	if whole := slices.DeleteFunc(slices.Clone(found), func(l journal.Listed) bool {
		return isShare(l.Record) && !strings.HasPrefix(l.ID, strings.ToLower(id))
	}); len(whole) == 1 {
		found = whole
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return journal.Listed{}, usagef("%q is ambiguous:%s", id, candidates(found, all))
	case len(all) == 0:
		return journal.Listed{}, usagef("unknown upload %q: the journal is empty", id)
	}
	return journal.Listed{}, usagef("unknown upload %q; known uploads:%s", id, candidates(all, all))
}

// matching are the uploads that are meant, one of each id.
func matching(all []journal.Listed, meant func(journal.Listed) bool) (found []journal.Listed) {
	for _, l := range all {
		if !meant(l) {
			continue
		}
		i := slices.IndexFunc(found, func(f journal.Listed) bool { return f.ID == l.ID })
		if i < 0 {
			found = append(found, l)
		} else if found[i].Record.State == upload.Delivered {
			found[i] = l
		}
	}
	return found
}

// candidates lists uploads for an error, each id once and the latest ones first.
func candidates(some, all []journal.Listed) string {
	const most = 10
	var b strings.Builder
	listed := map[string]bool{}
	for _, l := range slices.Backward(some) {
		if listed[l.ID] {
			continue
		}
		if listed[l.ID] = true; len(listed) <= most {
			fmt.Fprintf(&b, "\n  %s  %s", shortID(l.ID, all), about(l))
		}
	}
	if more := len(listed) - most; more > 0 {
		fmt.Fprintf(&b, "\n  and %d more", more)
	}
	return b.String()
}

// about says in a few words which upload it is.
func about(l journal.Listed) string {
	return fmt.Sprintf("%s to %s, %s", fileOf(l.Record), l.Record.Target.Provider, plainState(stateOf(l)))
}

// plainState is a state for people. What is sending has no process: else it would be
// running.
func plainState(s string) string {
	if s == string(upload.Sending) {
		return s + " (interrupted)"
	}
	return strings.ReplaceAll(s, "_", " ")
}

// choose finds each upload that is named, once.
func choose(all []journal.Listed, ids []string) ([]journal.Listed, error) {
	var chosen []journal.Listed
	for _, id := range ids {
		l, err := find(all, id)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(chosen, func(c journal.Listed) bool { return c.ID == l.ID }) {
			chosen = append(chosen, l)
		}
	}
	return chosen, nil
}

// completeIDs offers the ids of the uploads in some states to a shell, with
// their files.
func completeIDs(which func(journal.Listed) bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := config.Load(c.Flags())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := (&journal.Journal{Dir: cfg.Journal}).List(c.Context(), true)
		if all == nil { // the history may be missing
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []cobra.Completion
		length, given := idLength(all), slices.Clone(args)
		for _, l := range slices.Backward(all) {
			id := l.ID[:min(length(l.ID), len(l.ID))]
			if which(l) && !slices.Contains(given, id) { // the history may list one several times
				given = append(given, id)
				ids = append(ids, cobra.CompletionWithDesc(id, about(l)))
			}
		}
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeOneID is completeIDs for a command that takes one, in whichever state.
func completeOneID(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeIDs(func(journal.Listed) bool { return true })(c, args, begun)
}

// journalOf is the journal of a command, with its warnings as the command's.
func (a *app) journalOf(cfg config.Config) *journal.Journal {
	return &journal.Journal{Dir: cfg.Journal, Warn: func(text string) { a.warn(cfg, text) }}
}

// journaled is what the journal has that is not finished; all: everything. Where
// only the history cannot be read, the others are given, with the error.
func (a *app) journaled(ctx context.Context, cfg config.Config, all bool) ([]journal.Listed, error) {
	known, err := a.journalOf(cfg).List(ctx, all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return known, err
}

// recorded is journaled for a command that is about what the journal has: one
// that the user named and that does not exist is reported, and not created.
func (a *app) recorded(ctx context.Context, cfg config.Config, all bool) ([]journal.Listed, error) {
	known, err := a.journaled(ctx, cfg, all)
	a.tellNoJournal(cfg)
	return known, a.warnOfHistory(cfg, known, err)
}

// warnOfHistory makes a warning of the error of a journal whose history alone
// cannot be read.
func (a *app) warnOfHistory(cfg config.Config, known []journal.Listed, err error) error {
	if known == nil || err == nil {
		return err
	}
	a.warn(cfg, err.Error())
	return nil
}

// tellNoJournal reports whether the journal that the user named is not there.
func (a *app) tellNoJournal(cfg config.Config) bool {
	if _, err := os.Stat(cfg.Journal); !cfg.JournalNamed || !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	text := fmt.Sprintf("There is no journal: %s does not exist.", transport.Visible(cfg.Journal))
	if a.json {
		a.warn(cfg, text)
	}
	a.note(cfg, "%s", text)
	return true
}

// lostError: the record of an upload cannot be read.
type lostError struct {
	err error
	id  string
}

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// abortable is what abort does not skip.
func abortable(l journal.Listed) bool { return unfinished(l) && l.Holder == nil }

// resumable is what resume can bring to its end.
func resumable(l journal.Listed) bool { return abortable(l) && l.Err == nil && !isGone(l.Record) }

func unfinished(l journal.Listed) bool { return l.Record.State != upload.Delivered }

// note prints a message that -q and --json omit, as only objects are to be read
// then.
func (a *app) note(cfg config.Config, format string, args ...any) {
	if !cfg.Quiet && !a.json {
		fmt.Fprintln(a.stderr, transport.VisibleLines(fmt.Sprintf(format, args...)))
	}
}

// rough is a time as people say it: 5m, 3h, 12d.
func rough(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// percent is how much of a file is stored; an empty one has one part.
func percent(parts, ofParts int, bytes, ofBytes int64) string {
	switch {
	case ofParts > 0 && parts == ofParts:
		return "100%"
	case ofBytes <= 0:
		return "0%"
	}
	return fmt.Sprintf("%d%%", int64(float64(bytes)/float64(ofBytes)*100))
}

func bytesText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// exactText is a size to the byte, and rounded.
func exactText(n int64) string { return count(int(n), "byte") + " (" + bytesText(n) + ")" }

// count is a number of things, in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// columns writes rows of a name and a value.
func columns(w io.Writer, rows [][2]string) error {
	width := 0
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	var all strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&all, "%-*s  %s\n", width, row[0], row[1])
	}
	_, err := io.WriteString(w, all.String())
	return unwritten(err)
}
