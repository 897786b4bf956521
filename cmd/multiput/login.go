package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

func (a *app) loginCmd() *cobra.Command {
	var base string
	c := &cobra.Command{
		Use:   "login PROVIDER",
		Short: "Store a provider's API key in the system's keyring",
		Long: `Store a provider's API key in the system's keyring. On a terminal, multiput asks
for the key and does not show it; otherwise it reads stdin. No flag takes the
key, because other users can read command lines.

The key is stored for one URL of the API and is not used for another. A key
from a file, a command or the provider's variable takes precedence over it.`,
		Example: `  multiput login openai
  pass show work/archetype | multiput login archetype
  multiput login openai --base-url https://eu.api.openai.com/v1`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeAccount,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, m, of, err := a.account(c, args[0], base)
			if err != nil {
				return err
			}
			if err := config.Keyring(); err != nil {
				return err // before the user types a key
			}
			key, err := a.askKey(c.Context(), m)
			if err != nil {
				return err
			}
			if err := config.StoreKey(c.Context(), of, key); err != nil {
				return err
			}
			a.say(cfg, "the API key of %s for %s is in the system's keyring", m.Title, of.Origin)
			if first := cfg.Before(of); first != "" {
				a.say(cfg, "warning: %s takes precedence over it", first)
			}
			return nil
		},
	}
	loginFlags(c, &base)
	return c
}

// completeAccount offers the providers that take a key to a shell.
func completeAccount(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	names, how := completeOneProvider(c, args, begun)
	return slices.DeleteFunc(names, func(word string) bool {
		name, _, _ := strings.Cut(word, "\t")
		m, err := loadManifest(name)
		return err != nil || !m.NeedsKey() || m.Name == provider.Sandbox
	}), how
}

func loginFlags(c *cobra.Command, base *string) {
	c.Flags().StringVar(base, "base-url", "", "use this `URL` of the API instead of the provider's own")
}

// account is whose key is stored or removed. The address is the one that an
// upload with the same flags and variables would go to.
func (a *app) account(c *cobra.Command, name, base string) (cfg config.Config, m *provider.Definition, of config.KeyOf, err error) {
	if cfg, err = config.LoadFor(c.Flags(), name); err != nil {
		return cfg, nil, of, err
	}
	a.json = cfg.JSON || cfg.JQ != ""
	if m, err = loadManifest(cfg.Provider); err != nil {
		return cfg, nil, of, err
	}
	if !m.NeedsKey() || m.Name == provider.Sandbox {
		return cfg, nil, of, usagef("%s takes no API key", m.Title)
	}
	from := ""
	if base == "" {
		base, from = cfg.BaseFrom(m.Name, true)
	}
	of = keyOf(m, 0, base)
	if _, err = transport.Origin(cmp.Or(base, m.Base)); err != nil && from != "" {
		err = &config.Error{Where: "base-url of " + m.Name + " (" + from + ")", Err: err}
	} else if err != nil {
		err = usagef("--base-url: %w", err)
	}
	return cfg, m, of, err
}

// askKey reads a key from the terminal, or else from standard input.
func (a *app) askKey(ctx context.Context, m *provider.Definition) (config.Secret, error) {
	from, in := "standard input", a.stdin
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(a.stderr, "API key of %s (it is not shown): ", m.Title)
		line, err := unseen(ctx, f)
		fmt.Fprintln(a.stderr)
		if err != nil {
			return config.Secret{}, err
		}
		from, in = "the terminal", strings.NewReader(line)
	}
	key, err := config.NewSecret(in, from)
	if err != nil {
		return key, fmt.Errorf("%w: %w", upload.ErrDenied, err)
	}
	return key, nil
}

// unseen reads a line without echo, and leaves the terminal as it was also when
// it is interrupted: the reading cannot be, and ends with the process.
func unseen(ctx context.Context, f *os.File) (string, error) {
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return "", err
	}
	type answer struct {
		line []byte
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(int(f.Fd()))
		read <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(int(f.Fd()), before))
	case got := <-read:
		if errors.Is(got.err, io.EOF) {
			got.err = nil // nothing was said
		}
		return string(got.line), got.err
	}
}

// say tells what was done, unless the user wants to hear nothing but errors.
func (a *app) say(cfg config.Config, format string, args ...any) {
	if !cfg.Quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}
