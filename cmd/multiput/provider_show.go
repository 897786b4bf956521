package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
)

func (a *app) providerShowCmd() *cobra.Command {
	var text bool
	c := &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "Show what a provider needs and what it can do",
		Long: `Show a provider's options, the variable of its key, its limits, and what it can
and cannot do. --manifest prints the manifest itself.`,
		Example: `  multiput provider show archetype
  multiput provider show ./my-api.yaml --json
  # start from an existing manifest
  multiput provider show openai --manifest >mine.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeOneProvider,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.LoadSettings(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			m, err := loadManifest(args[0])
			if err != nil {
				return err
			}
			if text {
				return a.printText(string(m.Text))
			}
			if done, err := a.printObject(c.Context(), cfg, shownProvider(m)); done {
				return err
			}
			return a.printText(describe(m))
		},
	}
	c.Flags().BoolVar(&text, "manifest", false, "print the manifest instead")
	return c
}

func shownProvider(m *provider.Definition) map[string]any {
	ab, l := m.Abilities, m.Limits
	options := []map[string]any{}
	for _, o := range m.Options {
		options = append(options, map[string]any{
			"name": o.Name, "type": o.Type, "default": o.Default, "help": o.Help,
			"required": o.Required, "secret": o.Secret, "enum": append([]any{}, o.Enum...), "min": o.Min, "max": o.Max,
		})
	}
	return map[string]any{
		"schema": 1, "provider": providerOf(m.Name, m.File, m, nil), "options": options,
		"limits": map[string]any{
			"min_size": l.MinSize, "max_size": l.MaxSize, "part_min": l.MinPart, "part_max": l.MaxPart, "part_count": l.MaxParts, "part_multiple": l.Multiple,
			"url_life_seconds": l.URLLife.Seconds(),
		},
		"abilities": map[string]any{
			"plan": ab.Plan, "urls": ab.URLs, "checkpoint": ab.Checkpoints, "take_over": ab.TakesOver,
			"probe": ab.Probes, "abort": ab.Aborts, "ready": ab.Waits, "digests": append([]string{}, ab.Digests...),
		},
	}
}

// describe says about a provider what its users ask.
func describe(m *provider.Definition) string {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(&b, "%-10s%s\n", name, text)
		}
	}
	fmt.Fprintf(&b, "%s (-p %s)\n\n", m.Title, cmp.Or(m.As, m.Name))
	file := m.File
	if file == "" {
		file = "built in"
		if strings.HasPrefix(m.Name, "gallery/") {
			file = "gallery"
		}
	}
	line("manifest", "%s", file)
	line("docs", "%s", m.Docs)
	switch {
	case m.Base != "":
		line("base", "%s", m.Base)
	case m.Where != "":
		line("base", "%s; --base-url sets another", m.Where)
	case m.Name == provider.Sandbox:
		line("base", "a server in the same process")
	default:
		line("base", "to be given with --base-url")
	}
	switch {
	case m.KeyEnv() != "":
		line("key", "in %s", m.KeyEnv())
	case m.NeedsKey() && m.Name != provider.Sandbox:
		line("key", "from --api-key-file or --api-key-command")
	default:
		line("key", "%s", cmp.Or(m.Auth, "none"))
	}
	line("sends", "%s", sendsText(m))
	line("limits", "%s", limitsText(m))
	can, cannot := abilitiesText(m)
	for i, s := range can {
		line([]string{"can", ""}[min(i, 1)], "%s", s)
	}
	for i, s := range cannot {
		line([]string{"cannot", ""}[min(i, 1)], "%s", s)
	}
	if len(m.Options) == 0 {
		return b.String()
	}
	b.WriteString("\noptions, set with --set KEY=VALUE\n")
	for _, o := range m.Options {
		fmt.Fprintf(&b, "  %s (%s)\n      %s\n", o.Name, optionText(o), o.Help)
	}
	return b.String()
}

// sendsText says where a file and the key go.
func sendsText(m *provider.Definition) string {
	api := "the API"
	if origin := m.Origin(""); origin != "" {
		api = strings.TrimSuffix(origin, ":443")
	} else if m.Base != "" {
		api = m.Base
	}
	urls := "the URLs that " + api + " gives"
	to := slices.Clone(m.FileTo)
	if m.Given {
		to = append(to, urls)
	}
	if m.FileOwn || len(to) == 0 {
		to = append([]string{api}, to...)
	}
	text := "the file to " + strings.Join(to, " and ")
	others := slices.Clone(m.Elsewhere)
	if m.RequestsGiven {
		others = append(others, urls)
	}
	if len(others) > 0 {
		text += ", requests without the key to " + strings.Join(others, " and ")
	}
	if m.NeedsKey() {
		text += ", the key to " + api + " alone"
	}
	return text
}

func limitsText(m *provider.Definition) string {
	var all []string
	l := m.Limits
	add := func(n int64, format string) {
		if n > 0 {
			all = append(all, fmt.Sprintf(format, humanize.IBytes(uint64(n))))
		}
	}
	add(l.MinSize, "files of at least %s")
	add(l.MaxSize, "files up to %s")
	add(l.MinPart, "parts of at least %s")
	add(l.MaxPart, "parts of at most %s")
	if l.MaxParts > 0 {
		all = append(all, fmt.Sprintf("at most %d parts", l.MaxParts))
	}
	add(l.Multiple, "parts in multiples of %s")
	if l.URLLife > 0 {
		all = append(all, fmt.Sprintf("presigned URLs are valid for %s", l.URLLife))
	}
	return strings.Join(all, ", ")
}

// abilitiesText is what an API can do, and what it cannot, as far as its
// manifest says.
func abilitiesText(m *provider.Definition) (can, cannot []string) {
	ab := m.Abilities
	say := func(yes bool, text string) {
		if yes {
			can = append(can, text)
		} else {
			cannot = append(cannot, text)
		}
	}
	can = append(can, map[string]string{
		provider.PlanAPI:    "plan the parts itself",
		provider.PlanWish:   "plan the parts itself, and accept a requested part size",
		provider.PlanClient: "take the parts that multiput plans (--part-size)",
	}[ab.Plan])
	if ab.URLs == provider.URLsNone {
		can = append(can, "take parts at its own URL, which does not expire")
	} else {
		say(ab.URLs == provider.URLsAgain, "issue presigned URLs again")
	}
	say(ab.Checkpoints, "take receipts before the end (checkpoint)")
	say(ab.TakesOver, "resume an upload that another machine began")
	say(ab.Probes, "say afterwards whether an upload was completed (probe)")
	if ab.Waits {
		can = append(can, "say whether the file is ready (ready, --wait)")
	}
	say(ab.Aborts, "abort an upload (abort)")
	if len(ab.Digests) > 0 {
		can = append(can, "compare a checksum of the whole file: "+strings.Join(ab.Digests, ", "))
	} else {
		cannot = append(cannot, "compare a checksum of the whole file")
	}
	return can, cannot
}

// optionText is what an option takes.
func optionText(o provider.Option) string {
	text := o.Type
	if len(o.Enum) > 0 {
		words := make([]string, len(o.Enum))
		for i, e := range o.Enum {
			words[i] = fmt.Sprint(e)
		}
		text = strings.Join(words, "|")
	}
	switch {
	case o.Required:
		text += ", required"
	case o.Default != nil:
		if b, err := json.Marshal(o.Default); err == nil {
			text += ", default " + strings.Trim(string(b), `"`)
		}
	}
	if o.Min != nil || o.Max != nil {
		text += ", " + o.Bounds()
	}
	if o.Secret {
		text += ", secret"
	}
	return text
}
