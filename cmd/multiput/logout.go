package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
)

func (a *app) logoutCmd() *cobra.Command {
	var base string
	c := &cobra.Command{
		Use:   "logout PROVIDER",
		Short: "Remove a provider's API key from the system's keyring",
		Long: `Remove the API key that multiput login stored for a provider and a URL of
its API. The key itself stays valid; revoke it at the provider.`,
		Example: `  multiput logout openai
  multiput logout openai --base-url https://eu.api.openai.com/v1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, m, of, err := a.account(c, args[0], base)
			if err != nil {
				return err
			}
			switch err := config.DropKey(c.Context(), of); {
			case errors.Is(err, config.ErrNoKey):
				a.say(cfg, "the system's keyring has no API key of %s for %s", m.Title, of.Origin)
			case err != nil:
				return err
			default:
				a.say(cfg, "the API key of %s for %s is removed from the system's keyring", m.Title, of.Origin)
			}
			return nil
		},
	}
	loginFlags(c, &base)
	return c
}
