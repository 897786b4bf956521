package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/provider/manifest"
)

type flagGroup struct {
	title string
	names []string
}

// flagGroups are the flags that belong together, in the order of the help. Every
// flag of a command with a --provider is in one.
var flagGroups = []flagGroup{
	{"Destination", []string{"provider", "set", "base-url", "name", "content-type"}},
	{"Transfer", []string{
		"concurrency", "part-size", "limit-rate", "retries", "stall-timeout", "checksum", "restart", "dry-run",
		"files-from", "size", "spool-limit", "local", "older-than",
	}},
	{"Authentication", []string{"api-key-file", "api-key-command", "cacert"}},
	{"Output", []string{"progress", "json", "jq", "quiet", "verbose", "help"}},
	{"Configuration", []string{"config", "profile", "journal"}},
}

// globalFlags are the flags of every command that matter to some only. What is
// not here has all of them.
var globalFlags = map[string][]string{
	"multiput completion":            nil,
	"multiput completion bash":       nil,
	"multiput completion fish":       nil,
	"multiput completion powershell": nil,
	"multiput completion zsh":        nil,
	"multiput config":                nil,
	"multiput config path":           {"config"},
	"multiput help":                  nil,
	"multiput list":                  {"config", "journal", "jq", "json", "quiet"},
	"multiput login":                 {"config", "profile", "quiet"},
	"multiput logout":                {"config", "profile", "quiet"},
	"multiput provider":              nil,
	"multiput provider check":        {"config", "jq", "json", "profile", "quiet", "verbose"},
	"multiput provider list":         {"jq", "json"},
	"multiput provider new":          nil,
	"multiput provider show":         {"jq", "json"},
	"multiput prune":                 {"config", "journal", "jq", "json", "quiet"},
	"multiput sandbox":               {"quiet"},
	"multiput show":                  {"config", "journal", "jq", "json"},
	"multiput version":               {"jq", "json"},
}

// usage prints how a command is called.
func usage(c *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if c.Runnable() && !c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s\n", c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND\n", c.CommandPath())
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAliases:\n  %s\n", strings.Join(append([]string{c.Name()}, c.Aliases...), ", "))
	}
	if c.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.TrimRight(c.Example, "\n"))
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s %s\n", c.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	flags(&b, c)
	b.WriteString(topicList(c))
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nRun \"%s COMMAND --help\" for the help of a command.\n", c.CommandPath())
	}
	_, err := io.WriteString(c.OutOrStderr(), b.String())
	return err
}

// flags prints the flags of a command: by their groups where there are many,
// else its own and then those of every command that matter to it.
func flags(b *strings.Builder, c *cobra.Command) {
	const own, global = "Flags", "Global flags"
	grouped := c.LocalNonPersistentFlags().Lookup("provider") != nil
	title := func(name string) string {
		switch i := slices.IndexFunc(flagGroups, func(g flagGroup) bool { return slices.Contains(g.names, name) }); {
		case grouped && i >= 0:
			return flagGroups[i].title
		case c.LocalNonPersistentFlags().Lookup(name) != nil, name == "help":
			return own
		}
		return global
	}
	matter, some := globalFlags[c.CommandPath()]
	lines := map[string][]*pflag.Flag{}
	visit := func(f *pflag.Flag) {
		if f.Hidden || some && title(f.Name) == global && !slices.Contains(matter, f.Name) {
			return
		}
		lines[title(f.Name)] = append(lines[title(f.Name)], f)
	}
	c.LocalFlags().VisitAll(visit)
	c.InheritedFlags().VisitAll(visit)
	titles := []string{own}
	for _, g := range flagGroups {
		titles = append(titles, g.title)
	}
	for _, t := range append(titles, global) {
		if len(lines[t]) > 0 {
			slices.SortFunc(lines[t], func(x, y *pflag.Flag) int { return strings.Compare(x.Name, y.Name) })
			fmt.Fprintf(b, "\n%s:\n%s", t, flagLines(lines[t]))
		}
	}
}

// flagLines has one flag a line, broken where a terminal of 80 columns ends.
func flagLines(all []*pflag.Flag) string {
	const columns, gap = 80, 3
	heads := make([]string, len(all))
	width := 0
	for i, f := range all {
		heads[i] = "      --" + f.Name
		if f.Shorthand != "" {
			heads[i] = fmt.Sprintf("  -%s, --%s", f.Shorthand, f.Name)
		}
		if what, _ := pflag.UnquoteUsage(f); what != "" && f.NoOptDefVal == "" {
			heads[i] += " " + what
		}
		width = max(width, len(heads[i])+gap)
	}
	var b strings.Builder
	for i, f := range all {
		what, text := pflag.UnquoteUsage(f)
		text = strings.TrimPrefix(text, what+": ") // it is on the left
		switch value := f.DefValue; value {
		case "", "0", "0s", "false", "[]":
		default:
			if strings.HasSuffix(value, "m0s") {
				value = strings.TrimSuffix(value, "0s")
			}
			text += fmt.Sprintf(" (default %s)", value)
		}
		line := fmt.Sprintf("%-*s", width, heads[i])
		for j, word := range strings.Fields(text) {
			if len(line)+len(word)+1 > columns && j > 0 {
				fmt.Fprintln(&b, strings.TrimRight(line, " "))
				line = strings.Repeat(" ", width)
			} else if j > 0 {
				line += " "
			}
			line += word
		}
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

// similar suggests the name that may be meant: the one that is nearest, or the
// only one that begins or ends like it.
func similar(s string, names []string) string {
	if meant := manifest.DidYouMean(s, names); meant != "" {
		return meant
	}
	word := strings.TrimLeft(s, "-")
	const short = 3
	if len(word) < short {
		return ""
	}
	var like []string
	for _, name := range names {
		bare := strings.TrimLeft(name, "-")
		if strings.HasPrefix(bare, word) || strings.HasSuffix(bare, "-"+word) {
			like = append(like, name)
		}
	}
	if len(like) != 1 {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", like[0])
}
