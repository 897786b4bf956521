package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
)

func (a *app) configCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration",
		Long: `Show the configuration. A flag takes precedence over an environment variable,
the variable over the profile in use, and the profile over the top of the config
file.`,
		Example: `  multiput config show
  multiput config path`,
	}
	c.AddCommand(a.configShowCmd(), configPathCmd())
	return c
}

func configPathCmd() *cobra.Command {
	var example bool
	c := &cobra.Command{
		Use:   "path",
		Short: "Print the path of the config file",
		Long: `Print the path of the config file, whether it exists or not. --example prints a
commented config file to start from. Its first line, # yaml-language-server: …,
has editors complete and check the keys.`,
		Example: `  $EDITOR "$(multiput config path)"
  multiput config path --example >config.yaml
  multiput config path --config ci.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if example {
				_, err := fmt.Fprint(c.OutOrStdout(), config.Example)
				return err
			}
			path, _, err := config.Path(c.Flags())
			if err != nil {
				return err
			}
			if path == "" {
				return &config.Error{Where: "config file", Err: errors.New("there is no home directory; name one with --config or MULTIPUT_CONFIG")}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), path)
			return err
		},
	}
	c.Flags().BoolVar(&example, "example", false, "print an example of a config file instead")
	return c
}

func (a *app) configShowCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Print each value and its source",
		Long: `Print each value that an upload with the same flags and variables would use, and
its source. For the API key, only its source is printed; an API key command is
not run.`,
		Example: `  multiput config show
  multiput config show --profile work
  multiput config show -p openai --jq .key.from`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.LoadSettings(c.Flags())
			if err != nil {
				return err
			}
			a.json = cfg.JSON || cfg.JQ != ""
			return a.showConfig(c.Context(), cfg)
		},
	}
	config.Flags(c.Flags())
	return c
}

// shown is the documented form of config show --json.
type shown struct {
	Schema   int              `json:"schema"`
	Config   string           `json:"config"`
	Exists   bool             `json:"exists"`
	Settings []config.Setting `json:"settings"`
	Key      *shownKey        `json:"key"` // null: no provider is named, or it takes none
	Unused   []string         `json:"unused"`
}

// shownKey says of a key where it is. Found is null where only a command knows.
type shownKey struct {
	Found  *bool    `json:"found"`
	From   string   `json:"from"`
	Looked []string `json:"looked"`
}

func (a *app) showConfig(ctx context.Context, cfg config.Config) error {
	out, err := a.output(cfg)
	if err != nil {
		return err
	}
	if err := knownBases(cfg); err != nil {
		return err
	}
	all := shown{Schema: 1, Config: cfg.File, Settings: cfg.Settings(), Unused: append([]string{}, cfg.Unused...)}
	if info, err := os.Stat(cfg.File); err == nil {
		all.Exists = !info.IsDir()
	}
	var m *provider.Definition
	if cfg.Provider != "" {
		if m, err = loadManifest(cfg.Provider); err != nil {
			return err
		}
	}
	all.Settings = append(all.Settings, bases(cfg, m)...)
	hideOptions(all.Settings, m)
	if m != nil && m.NeedsKey() && m.Name != provider.Sandbox {
		if all.Key, err = a.whereKey(ctx, cfg, m); err != nil {
			return err
		}
	}
	if out.jq == nil && !out.json {
		return all.table(a.stdout)
	}
	return out.value(ctx, all)
}

// bases are the addresses that are set, and that of the provider in use.
func bases(cfg config.Config, m *provider.Definition) []config.Setting {
	names := append(provider.Names(), cfg.BaseNames()...)
	if m != nil {
		names = append(names, m.Name)
	}
	var all []config.Setting
	seen := map[string]bool{provider.Sandbox: true}
	for _, name := range names {
		inUse := m != nil && m.Name == name
		address, from := cfg.BaseFrom(name, inUse)
		if inUse && address == "" {
			address, from = m.Base, "default"
		}
		if address != "" && !seen[name] {
			all = append(all, config.Setting{Key: "base-url." + name, Value: transport.Redact(address), From: from})
		}
		seen[name] = true
	}
	return all
}

// hideOptions hides the options that the manifest calls secret, and those that it
// does not know.
func hideOptions(all []config.Setting, m *provider.Definition) {
	open := map[string]bool{}
	if m != nil {
		for _, o := range m.Options {
			open[o.Name] = !o.Secret
		}
	}
	for i, s := range all {
		if name, ok := strings.CutPrefix(s.Key, "set."); ok && !open[name] {
			all[i].Value = "(not shown)"
		}
	}
}

// whereKey looks for the key as an upload does, but runs no command.
func (a *app) whereKey(ctx context.Context, cfg config.Config, m *provider.Definition) (*shownKey, error) {
	if cfg.APIKeyCommand != "" && cfg.APIKeyFile == "" {
		return &shownKey{From: cfg.KeySource(), Looked: []string{}}, nil
	}
	key, err := cfg.Key(ctx, keyOf(m, 0, cfg.Base(m.Name)), a.stderr)
	found := err == nil && key.From != ""
	switch {
	case ctx.Err() != nil || typed[*config.UsageError](err):
		return nil, err
	case err != nil:
		key.Looked = append(key.Looked, err.Error())
	}
	return &shownKey{Found: &found, From: key.From, Looked: append([]string{}, key.Looked...)}, nil
}

// table prints a line for each value.
func (s shown) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(key, value, from string) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", key, cmp.Or(transport.Clean(value), "-"), transport.Clean(from)) //nolint:errcheck // Flush says it
	}
	exists := "is read"
	if !s.Exists {
		exists = "does not exist"
	}
	line("config", s.Config, exists)
	for _, v := range s.Settings {
		line(v.Key, v.Value, v.From)
	}
	if k := s.Key; k != nil {
		value, from := "not found", strings.Join(k.Looked, "; ")
		switch {
		case k.Found == nil:
			value, from = "not looked for", k.From
		case *k.Found:
			value, from = "found", k.From
		}
		line("api-key", value, from)
	}
	for _, u := range s.Unused {
		line("note", "", u)
	}
	return t.Flush()
}
