package main

import (
	"path"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/provider"
)

func (a *app) providerNewCmd() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "new [NAME]",
		Short: "Print a new manifest to start from",
		Long: `Print a commented manifest to start from. It passes provider check. Change it
step by step, and check it after each step. --from starts from one that exists,
whose name it keeps without NAME.`,
		Example: `  multiput provider new acme >acme.yaml
  multiput provider new my-box --from box >my-box.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if from == "" && len(args) == 0 {
				return usagef("new needs NAME, or --from with the name of another")
			}
			return cobra.MaximumNArgs(1)(c, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := "", error(nil)
			switch {
			case from == "":
				text, err = provider.New(args[0])
			case len(args) == 0:
				text, err = provider.From(path.Base(from), from)
			default:
				text, err = provider.From(args[0], from)
			}
			if err != nil {
				return usagef("%w", err)
			}
			return a.printText(text)
		},
	}
	c.Flags().StringVar(&from, "from", "", "start from the manifest `NAME` of the gallery, or a built-in one")
	return c
}
