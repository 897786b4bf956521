package main

import (
	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/provider"
)

func (a *app) providerNewCmd() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Print a new manifest to start from",
		Long: `Print a commented manifest to start from. It passes provider check. Change it step
by step, and check it after each step. --from starts from one that exists.`,
		Example: `  multiput provider new acme >acme.yaml
  multiput provider new my-box --from box >my-box.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := "", error(nil)
			if from == "" {
				text, err = provider.New(args[0])
			} else {
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
