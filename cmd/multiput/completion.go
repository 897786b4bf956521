package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/sandbox"
)

// completions gives the shell what the values of flags can be, for a command
// and those under it.
func completions(c *cobra.Command) {
	for name, values := range map[string][]string{
		"checksum":    {"auto\tverify where possible", "require\tfail where nothing can be verified", "off\tcompute no MD5"},
		"progress":    {"auto\tbar on a terminal, else plain", "bar\tone line that is redrawn", "plain\ta few lines, for logs", "json\tobjects, for programs", "none\terrors only"},
		"concurrency": {"auto\tfind the best number"},
		"color":       {"auto\ton a terminal, unless NO_COLOR is set", "always", "never"},
		"api":         sandbox.APIs(),
	} {
		complete(c, name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	complete(c, "provider", completeProvider)
	complete(c, "set", completeSet)
	complete(c, "state", completeStates)
	complete(c, "profile", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return config.Profiles(c.Flags()), cobra.ShellCompDirectiveNoFileComp
	})
	for _, name := range []string{"part-size", "limit-rate", "retries", "retry-for", "stall-timeout", "base-url", "name", "content-type", "jq", "listen", "store-listen", "url-life", "fault", "include", "exclude", "shard"} {
		complete(c, name, cobra.NoFileCompletions)
	}
	if c.ValidArgsFunction == nil && !strings.Contains(c.Use, " ") { // it takes no arguments
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range c.Commands() {
		completions(sub)
	}
}

// complete sets how the value of a flag is completed, where the command has that
// flag as its own and has no completion yet.
func complete(c *cobra.Command, name string, how cobra.CompletionFunc) {
	f := c.PersistentFlags().Lookup(name)
	if f == nil {
		f = c.Flags().Lookup(name)
	}
	if f == nil {
		return
	}
	if _, known := c.GetFlagCompletionFunc(name); known {
		return
	}
	if err := c.RegisterFlagCompletionFunc(name, how); err != nil {
		panic(err) // the flag exists and has no completion yet
	}
}

// completeStates gives the states of uploads, also after those that are listed
// before a comma.
func completeStates(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	before := begun[:strings.LastIndexByte(begun, ',')+1]
	listed := strings.Split(before, ",")
	var words []string
	for _, state := range states {
		if !slices.Contains(listed, state) {
			words = append(words, before+state)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeProvider gives the providers by name. A manifest is a file, which the
// shell completes where no name fits.
func completeProvider(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, name := range provider.Known(config.ProviderDir()) {
		if !strings.HasPrefix(name, begun) {
			continue
		}
		m, err := loadManifest(name)
		if err != nil {
			continue // it cannot be used
		}
		names = append(names, name+"\t"+m.Title)
	}
	return names, cobra.ShellCompDirectiveDefault
}

// completeOneProvider is completeProvider for a command that takes one.
func completeOneProvider(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeProvider(c, args, begun)
}

// completeSet gives the options of the chosen provider, and the values that one
// takes if these can be listed.
func completeSet(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	chosen := ""
	if c.Flags().Lookup("provider") != nil {
		cfg, err := config.Load(c.Flags())
		if err != nil {
			return nil, none
		}
		chosen = cfg.Provider
	} else if len(args) > 0 {
		chosen = args[0] // as of provider check
	}
	if chosen == "" {
		return nil, none
	}
	m, err := loadManifest(chosen)
	if err != nil {
		return nil, none
	}
	name, _, value := strings.Cut(begun, "=")
	var given []string
	if all, err := c.Flags().GetStringArray("set"); err == nil {
		for _, s := range all {
			key, _, _ := strings.Cut(s, "=")
			given = append(given, key)
		}
	}
	var words []string
	for _, o := range m.Options {
		switch {
		case value && o.Name == name:
			for _, v := range o.Values() {
				if word := fmt.Sprintf("%s=%s", name, v); strings.HasPrefix(word, begun) {
					words = append(words, word)
				}
			}
			return words, none
		case !value && strings.HasPrefix(o.Name, begun) && !slices.Contains(given, o.Name):
			words = append(words, o.Name+"=\t"+o.Help)
		}
	}
	return words, none | cobra.ShellCompDirectiveNoSpace
}
