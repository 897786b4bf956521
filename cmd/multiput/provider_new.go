package main

import (
	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/provider"
)

func (a *app) providerNewCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Print a new manifest to start from",
		Long: `Print a commented manifest to start from. It passes provider check. Change it step
by step, and check it after each step.`,
		Example: `  multiput provider new acme >acme.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := provider.New(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			return a.printText(text)
		},
	}
}
