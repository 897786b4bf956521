package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

func (a *app) showCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show the details of an upload",
		Long: `Show what the journal has about an upload: its destination, its progress, what
running the same command would do next, its result, and what to check at the
provider if its outcome is unknown.

ID is an id that list shows, the beginning of one, the provider's upload id, or
the file; of standard input, its name.`,
		Example: `  multiput show 1a2b3c4d
  multiput show 1a2b3c4d --jq .result`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeOneID,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			return readEnough(a.show(c.Context(), cfg, args[0]))
		},
	}
}

// wholeEntry is the documented form of all that is known of an upload.
type wholeEntry struct {
	Schema int `json:"schema"`
	entry
	Type          string          `json:"type"`
	Options       json.RawMessage `json:"options"`
	Manifest      *string         `json:"manifest"`
	ManifestState *string         `json:"manifest_state"`
	PartSize      int64           `json:"part_size"`
	Next          string          `json:"next"`
	Advice        *string         `json:"advice"`
	Result        *string         `json:"result"`
	Verification  *string         `json:"verification"`
	Reply         json.RawMessage `json:"reply"`
}

func (a *app) show(ctx context.Context, cfg config.Config, id string) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	known, err := a.recorded(ctx, cfg, true)
	if err != nil {
		return err
	}
	l, err := find(known, id)
	if err != nil {
		return err
	}
	if l.Err != nil {
		return &lostError{l.Err, shortID(l.ID, known)}
	}
	// What a process has now, and what is delivered, is as the list has it.
	j := &journal.Journal{Dir: cfg.Journal}
	if r, err := j.Record(ctx, l.ID); err == nil && r != nil && l.Record.State != upload.Delivered {
		l.Record = *r
	}
	e := whole(l, shortID(l.ID, known))
	if a.json {
		return out.value(ctx, e)
	}
	return columns(a.stdout, rows(l, e, time.Now(), a.visible))
}

func whole(l journal.Listed, id string) wholeEntry {
	r := l.Record
	e := wholeEntry{
		Schema: 1, entry: newEntry(l), Type: r.Upload.File.Type, Options: r.Target.Options,
		PartSize: l.PartSize, Next: next(l), Reply: json.RawMessage("null"),
	}
	if len(e.Options) == 0 {
		e.Options = json.RawMessage("{}")
	}
	if path := r.Upload.Origin.Path; path != "" {
		e.Manifest, e.ManifestState = &path, new(originState(r.Upload.Origin))
	}
	if e.State == stateInDoubt {
		e.Advice = new(advice(l, id))
	}
	if o := r.Outcome; o != nil {
		e.Result, e.Verification = &o.Result.Value, &o.Verification
		if len(o.Result.Reply) > 0 {
			e.Reply = o.Result.Reply
		}
	}
	return e
}

// withZone is a time for people, with its zone.
const withZone = time.DateTime + " -07:00"

// rows are what show tells people.
func rows(l journal.Listed, e wholeEntry, now time.Time, visible func(string) string) [][2]string {
	when := func(t time.Time) string {
		if d := now.Sub(t); d >= 0 {
			return fmt.Sprintf("%s (%s ago)", t.Local().Format(withZone), rough(d))
		}
		return fmt.Sprintf("%s (in %s)", t.Local().Format(withZone), rough(t.Sub(now)))
	}
	state := plainState(e.State)
	if e.Holder != nil && e.Holder.String() != "" {
		state += ": " + visible(e.Holder.String())
	}
	all := [][2]string{
		{"id", e.ID},
		{"state", state},
		{"file", visible(e.File)},
		{"name", visible(e.Name)},
		{"type", visible(e.Type)},
		{"size", exactText(e.Size)},
		{"provider", visible(e.Provider)},
	}
	if e.Base != "" {
		all = append(all, [2]string{"base", visible(e.Base)})
	}
	if set := optionsText(e.Options); set != "" {
		all = append(all, [2]string{"options", visible(set)})
	}
	if e.Manifest != nil {
		all = append(all, [2]string{"manifest", visible(*e.Manifest) + originTexts[*e.ManifestState]})
	}
	all = append(all,
		[2]string{"upload", visible(e.Upload)},
		[2]string{"plan", planText(l.Parts, l.PartSize, l.LastPart)},
		[2]string{"stored", fmt.Sprintf("%d of %s, %s (%s)", e.PartsStored, count(e.Parts, "part"), bytesText(e.BytesStored), percent(e.PartsStored, e.Parts, e.BytesStored, e.Size))},
		[2]string{"started", when(e.Started)},
		[2]string{"changed", when(e.Updated)},
	)
	if e.Ends != nil {
		all = append(all, [2]string{"ends", when(*e.Ends)})
	}
	if e.Result != nil {
		all = append(all, [2]string{"result", visible(*e.Result)}, [2]string{"verified", visible(*e.Verification)})
	}
	if e.Advice != nil {
		all = append(all, [2]string{"in doubt", *e.Advice})
	}
	return append(all, [2]string{"next", e.Next})
}

// optionsText is how the options would be set.
func optionsText(options json.RawMessage) string {
	var values map[string]json.RawMessage
	if json.Unmarshal(options, &values) != nil {
		return ""
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := string(values[name])
		var plain string
		if json.Unmarshal(values[name], &plain) == nil {
			text = plain
		}
		set = append(set, name+"="+text)
	}
	return strings.Join(set, " ")
}

func partsText(parts []upload.Part) string {
	if len(parts) == 0 {
		return planText(0, 0, 0)
	}
	return planText(len(parts), parts[0].Size, parts[len(parts)-1].Size)
}

func planText(parts int, size, last int64) string {
	switch {
	case parts == 0:
		return "no parts"
	case size != last:
		return fmt.Sprintf("%s of %d bytes, the last of %d", count(parts, "part"), size, last)
	}
	return fmt.Sprintf("%s of %d bytes", count(parts, "part"), size)
}

// next says what the same command would do.
func next(l journal.Listed) string {
	if l.Holder != nil && l.Record.State != upload.Delivered {
		return "the same command is refused as long as it is running"
	}
	if stateOf(l) == stateSent {
		return "multiput put writes its receipts again, and complete ends the upload"
	}
	if isShare(l.Record) && unfinished(l) {
		return "multiput put sends what is missing, and complete ends the upload"
	}
	if isGone(l.Record) {
		e := goneError{l.Record}
		return "it cannot be resumed, as standard input is gone: " + e.hint()
	}
	if l.Record.Upload.Origin.Path != "" && unfinished(l) {
		if _, err := recordedManifest(l.Record); err != nil {
			return "nothing is sent until its manifest is there and valid; -p FILE.yaml names it"
		}
	}
	f, err := upload.Stat(l.Record.Path)
	if streamed(l.Record.Path) {
		f, err = l.Record.Upload.File, nil
	}
	if errors.Is(err, upload.ErrNoInput) {
		return "the file is missing or cannot be read: nothing is sent until it is back"
	}
	step, compare := upload.Next(&l.Record, f)
	how := ""
	if streamed(l.Record.Path) && unfinished(l) {
		how = "with multiput resume, "
	}
	return how + nextText(step, compare, l.Parts-l.PartsStored, l.Record)
}

// nextText says what a first step is.
func nextText(step upload.Step, compare bool, left int, r upload.Record) string {
	s := ""
	switch step {
	case upload.StepCreate:
		switch r.State {
		case upload.Sending, upload.Completing, upload.Waiting, upload.Done: // and not Corrupt, Delivered
			return "the file has another size: the old upload is aborted and a new one begins"
		}
		return "a new upload begins"
	case upload.StepSend:
		if s = fmt.Sprintf("%s sent", are(left, "part")); left == 0 {
			s = "no part is left to send: complete is sent"
		}
	case upload.StepComplete:
		s = "no part is sent: the provider is asked whether the upload completed, or complete is sent again"
	case upload.StepWait:
		s = "nothing is sent: multiput waits until the file is ready"
	case upload.StepDeliver:
		s = "the result is printed; nothing is sent"
	}
	if compare {
		s = "the modification time of the file changed, so the stored parts are compared with it; then " + s
	}
	return s
}

func are(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return count(n, thing) + " are"
}

// advice says what to look for at the provider when it is unknown how an upload
// ended.
func advice(l journal.Listed, id string) string {
	r := l.Record
	at, again := r.Target.Provider, "the same command with --restart uploads the file again"
	if (upload.Spool{}).Gone(r.Path) {
		again = "upload the data again"
	}
	if m, err := recordedManifest(r); err == nil {
		at = place(m)
	}
	return fmt.Sprintf("the upload may or may not have completed: the final request got no clear answer. Look at %s for %s (%d bytes, upload %s). "+
		"If it is there, multiput abort --local %s removes it from the journal; if it is not, %s",
		transport.Visible(at), transport.Visible(r.Target.Name), r.Upload.File.Size, transport.Visible(r.Upload.ID), id, again)
}

func place(m *provider.Definition) string {
	if m.Docs == "" {
		return m.Title
	}
	return fmt.Sprintf("%s (%s)", m.Title, m.Docs)
}
