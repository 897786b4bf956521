package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
)

func (a *app) providerCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "provider",
		Short: "List, show, create and check providers",
		Long: `List, show, create and check providers. A provider is an upload API, described
by a manifest: a page of YAML.`,
		Example: `  multiput provider list
  multiput provider show openai
  multiput provider new acme >acme.yaml
  multiput provider check my-api.yaml`,
	}
	c.AddCommand(a.providerListCmd(), a.providerShowCmd(), a.providerNewCmd(), a.providerCheckCmd())
	return c
}

// printObject prints v as JSON, or what the expression of the configuration
// selects from it. It reports whether either was asked for.
func (a *app) printObject(ctx context.Context, cfg config.Config, v any) (bool, error) {
	if !cfg.JSON && cfg.JQ == "" {
		return false, nil
	}
	out, err := a.output(cfg)
	if err != nil {
		return true, err
	}
	return true, out.value(ctx, v)
}

// printText prints what people read.
func (a *app) printText(text string) error {
	if a.shown {
		text = transport.VisibleLines(text)
	}
	_, err := io.WriteString(a.stdout, text)
	return unwritten(err)
}

// providerObject is a provider as --json has it.
type providerObject struct {
	Name    string `json:"name"`
	Title   string `json:"title"`
	File    string `json:"file"` // empty: built in
	Docs    string `json:"docs"`
	Base    string `json:"base"`
	KeyEnv  string `json:"key_env"`
	Problem string `json:"problem,omitempty"`
}

func providerOf(name, file string, m *provider.Definition, err error) providerObject {
	o := providerObject{Name: name, File: file}
	if err != nil {
		o.Problem = err.Error()
		return o
	}
	o.Title, o.Docs, o.Base, o.KeyEnv = m.Title, m.Docs, m.Base, m.KeyEnv()
	return o
}
