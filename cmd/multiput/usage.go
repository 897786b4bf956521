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

	"github.com/multiput/multiput/pkg/provider/manifest"
)

// flagGroups are the flags that belong together, in the order of the help. What
// is in none comes first, as a command's own.
var flagGroups = []struct {
	title string
	names []string
}{
	{"Where to", []string{"provider", "set", "base-url", "name", "content-type"}},
	{"How", []string{
		"concurrency", "part-size", "limit-rate", "retries", "stall-timeout", "checksum", "restart", "dry-run", "size", "files-from", "spool-dir", "spool-limit",
	}},
	{"Access", []string{"api-key-file", "api-key-command", "cacert"}},
	{"What is said", []string{"progress", "json", "jq", "quiet", "verbose"}},
	{"Files of multiput's own", []string{"config", "profile", "journal"}},
	{"Help", []string{"help"}},
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
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddFlagSet(c.LocalFlags())
	flags.AddFlagSet(c.InheritedFlags())
	grouped(&b, c, flags)
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND --help\" says more about a command.\n", c.CommandPath())
	}
	_, err := io.WriteString(c.OutOrStderr(), b.String())
	return err
}

// grouped prints flags by their groups. Those of every command are left out
// where they do nothing.
func grouped(b *strings.Builder, c *cobra.Command, flags *pflag.FlagSet) {
	titles := []string{"Flags"}
	of := func(name string) string {
		for _, g := range flagGroups {
			if slices.Contains(g.names, name) {
				return g.title
			}
		}
		return titles[0]
	}
	// The flags of a few commands need no order.
	if c.LocalNonPersistentFlags().Lookup("provider") == nil {
		of = func(name string) string {
			if c.InheritedFlags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
				return "Flags of every command"
			}
			return titles[0]
		}
	}
	groups := map[string]*pflag.FlagSet{}
	flags.VisitAll(func(f *pflag.Flag) {
		g := groups[of(f.Name)]
		if g == nil {
			g = pflag.NewFlagSet("", pflag.ContinueOnError)
			groups[of(f.Name)] = g
		}
		g.AddFlag(f)
	})
	for _, g := range flagGroups {
		titles = append(titles, g.title)
	}
	for _, title := range append(titles, "Flags of every command") {
		if g := groups[title]; g != nil && g.HasAvailableFlags() {
			fmt.Fprintf(b, "\n%s:\n%s", title, g.FlagUsages())
		}
	}
}

// flagError is what is wrong with a flag, with the one that may be meant.
func flagError(c *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
	)
	if errors.As(err, &value) {
		if kind := kinds[value.GetFlag().Value.Type()]; kind != "" {
			err = fmt.Errorf("--%s: %q is not %s", value.GetFlag().Name, value.GetValue(), kind)
		}
	}
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
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

// kinds are the types of flags whose values the standard library reads, and what
// a value has to be.
var kinds = map[string]string{
	"duration": "a duration (such as 90s or 5m)", "int": "a whole number (such as 10)", "int64": "a whole number (such as 10)",
	"uint": "a whole number (such as 10)", "bool": "true or false", "float64": "a number (such as 0.5)",
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
