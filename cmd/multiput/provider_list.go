package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
)

func (a *app) providerListCmd() *cobra.Command {
	var gallery bool
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the known providers",
		Long: `List the built-in providers and your own: the manifests in the directory
"providers" beside the config file. --all adds the gallery: manifests that were
written from documentation, and are used as -p gallery/NAME.`,
		Example: `  multiput provider list
  multiput provider list --jq '.providers[].name'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.LoadSettings(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			all := []providerObject{}
			for _, e := range provider.List(config.ProviderDir()) {
				all = append(all, providerOf(e.Name, e.File, e.D, e.Err))
			}
			if gallery {
				for _, name := range provider.Gallery() {
					d, err := provider.Load(name)
					all = append(all, providerOf(name, "", d, err))
				}
			}
			if done, err := a.printObject(c.Context(), cfg, map[string]any{"schema": 1, "providers": all}); done {
				return err
			}
			return a.providerTable(all)
		},
	}
	c.Flags().BoolVar(&gallery, "all", false, "list the gallery too")
	return c
}

func (a *app) providerTable(all []providerObject) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows := []string{"NAME\tTITLE\tKEY\tMANIFEST"}
	for _, p := range all {
		title, key, file := p.Title, p.KeyEnv, p.File
		switch {
		case p.Problem != "":
			title, key = "(invalid: see multiput provider check)", "-"
			fmt.Fprintf(a.stderr, "warning: %s\n", transport.VisibleLines(p.Problem))
		case key == "":
			key = "-"
		}
		switch {
		case strings.HasPrefix(p.Name, "gallery/"):
			file = "gallery"
		case file == "":
			file = "built in"
		}
		rows = append(rows, strings.Join([]string{p.Name, title, key, file}, "\t"))
	}
	if _, err := fmt.Fprintln(w, strings.Join(rows, "\n")); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return a.printText(b.String())
}
