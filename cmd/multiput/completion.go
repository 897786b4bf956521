package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
)

// sure holds what only a slip in this program can break.
func sure(err error) {
	if err != nil {
		panic(err)
	}
}

// completeProvider offers the providers that there are, and files.
func completeProvider(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	for _, e := range provider.List(config.ProviderDir()) {
		if e.Err == nil {
			all = append(all, cobra.CompletionWithDesc(e.Name, e.M.Title()))
		}
	}
	return all, cobra.ShellCompDirectiveDefault
}

// completeOneProvider is completeProvider for a command that takes one.
func completeOneProvider(c *cobra.Command, args []string, s string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeProvider(c, args, s)
}

// completeSet offers the options of the provider that the command line names,
// and once there is a name the values that it takes.
func completeSet(c *cobra.Command, args []string, s string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	name := ""
	if f := c.Flags().Lookup("provider"); f != nil {
		if cfg, err := config.Load(c.Flags()); err == nil {
			name = cfg.Provider
		}
	} else if len(args) > 0 {
		name = args[0]
	}
	m, err := provider.Load(name, config.ProviderDir())
	if err != nil {
		return nil, nothing
	}
	key, _, chosen := strings.Cut(s, "=")
	var all []cobra.Completion
	for _, o := range m.Options() {
		if !chosen {
			all = append(all, cobra.CompletionWithDesc(o.Name+"=", o.Help))
			continue
		}
		if o.Name != key {
			continue
		}
		for _, e := range o.Enum {
			all = append(all, fmt.Sprintf("%s=%v", key, e))
		}
		if o.Type == "bool" {
			all = append(all, key+"=true", key+"=false")
		}
	}
	if !chosen {
		return all, nothing | cobra.ShellCompDirectiveNoSpace
	}
	return all, nothing
}
