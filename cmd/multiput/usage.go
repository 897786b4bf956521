package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/provider"
)

type flagGroup struct {
	title string
	names []string
}

// flagGroups are the flags that belong together, in the order of the help. Every
// flag of every command is in one.
var flagGroups = []flagGroup{
	{"Destination", []string{"provider", "set", "base-url", "remote", "name", "content-type", "api", "local", "from", "plan", "older-than", "dir", "listen", "store-listen"}},
	{"Transfer", []string{
		"concurrency", "part-size", "limit-rate", "retries", "retry-for", "stall-timeout", "checksum", "restart", "wait", "dry-run",
		"files-from", "include", "exclude", "follow", "relative", "skip-uploaded", "shard", "size", "spool-dir", "spool-limit", "live", "record",
		"partial", "part-checksums", "self-contained", "renew", "url-life", "fault",
	}},
	{"Authentication", []string{"api-key-file", "api-key-command", "cacert"}},
	{"Output", []string{"output", "progress", "checksums", "color", "json", "jq", "quiet", "verbose", "all", "state", "watch", "manifest", "example", "no-descriptions", "version", "help"}},
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

// flags prints the flags of a command by their groups, and of those of every
// command the ones that matter to it.
func flags(b *strings.Builder, c *cobra.Command) {
	matter, some := globalFlags[c.CommandPath()]
	all := map[string][]*pflag.Flag{}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { all[groupOf(f)] = append(all[groupOf(f)], f) })
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if !some || slices.Contains(matter, f.Name) || f.Name == "help" {
			all[groupOf(f)] = append(all[groupOf(f)], f)
		}
	})
	for _, g := range flagGroups {
		if len(all[g.title]) > 0 {
			slices.SortFunc(all[g.title], func(x, y *pflag.Flag) int { return strings.Compare(x.Name, y.Name) })
			fmt.Fprintf(b, "\n%s:\n%s", g.title, flagLines(all[g.title]))
		}
	}
}

// groupOf is the title of a flag's group. A flag in no group would be missing in
// the help; a test looks for one.
func groupOf(f *pflag.Flag) string {
	if i := slices.IndexFunc(flagGroups, func(g flagGroup) bool { return slices.Contains(g.names, f.Name) }); i >= 0 {
		return flagGroups[i].title
	}
	return ""
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

// flagError is what is wrong with a flag, with the one that may be meant.
func flagError(c *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
		without *pflag.ValueRequiredError
	)
	if errors.As(err, &without) {
		what, _ := pflag.UnquoteUsage(without.GetFlag())
		err = fmt.Errorf("--%s needs a value (%s)", without.GetFlag().Name, what)
	}
	if errors.As(err, &value) {
		if kind := kinds[value.GetFlag().Value.Type()]; kind != "" {
			err = fmt.Errorf("--%s: %q is not %s", value.GetFlag().Name, value.GetValue(), kind)
		} else {
			err = fmt.Errorf("--%s: %w", value.GetFlag().Name, value.Unwrap())
		}
	}
	if errors.As(err, &unknown) && isOfUpload(c, unknown) {
		flag := "--" + unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			flag = "-" + short[:1]
		}
		err = fmt.Errorf("%s is not a flag of %s alone (did you mean %[2]s upload %[1]s …?)", flag, c.Name())
	} else if unknown != nil && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, "--"+f.Name)
			}
		})
		err = fmt.Errorf("%w%s", err, similar("--"+unknown.GetSpecifiedName(), names))
	}
	if unknown != nil {
		file := "-" + unknown.GetSpecifiedShortnames()
		if file == "-" {
			file = "--" + unknown.GetSpecifiedName()
		}
		if _, none := os.Lstat(file); none == nil {
			err = fmt.Errorf("%w; if the file is meant, name it after --: %s -- %s", err, c.CommandPath(), quoted(file))
		}
	}
	return &usageError{err, c.CommandPath()}
}

// isOfUpload reports whether a flag that was given without a command is one of upload.
func isOfUpload(c *cobra.Command, unknown *pflag.NotExistError) bool {
	up, _, err := c.Find([]string{"upload"})
	if err != nil || c.HasParent() {
		return false
	}
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		return up.Flags().ShorthandLookup(short[:1]) != nil
	}
	return up.Flags().Lookup(unknown.GetSpecifiedName()) != nil
}

// kinds are the types of flags whose values the standard library reads, and what
// a value has to be.
var kinds = map[string]string{
	"duration": "a duration (such as 90s or 5m)", "int": "a whole number (such as 10)", "int64": "a whole number (such as 10)",
	"uint": "a whole number (such as 10)", "count": "0, 1 or 2", "bool": "true or false", "float64": "a number (such as 0.5)",
}

// similar suggests the name that may be meant: the one that is nearest, or the
// only one that begins or ends like it.
func similar(s string, names []string) string {
	if meant := provider.DidYouMean(s, names); meant != "" {
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
