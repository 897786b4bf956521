package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/upload"
)

// withProfile adds the options of the profile to those of --set, which come
// first.
func withProfile(options map[string]string, cfg config.Config) {
	for k, v := range cfg.Set {
		if _, own := options[k]; !own {
			options[k] = v
		}
	}
}

// address settles where an API is and what its keys are. Without one, opening
// the provider fails, after all else that may be wrong was looked at.
func (a *app) address(ctx context.Context, cfg config.Config, d *provider.Definition, s *provider.Settings) error {
	if s.Base == "" {
		s.Base = cfg.Base(d.Name)
	}
	if s.Keys != nil {
		return nil // it is opened without any
	}
	for i := range d.Keys {
		key, err := cfg.Key(ctx, keyOf(d, i, s.Base), a.stderr)
		if err != nil {
			return fmt.Errorf("%w: %w", upload.ErrDenied, err)
		}
		if i == 0 {
			for _, unused := range cfg.Unused {
				a.explain(cfg, unused)
			}
		}
		if key.From != "" {
			a.explain(cfg, "the API key comes from "+key.From)
		}
		s.Keys = append(s.Keys, key)
	}
	return nil
}

// keyOf is whose key it is: the keyring has it for one origin. A base that is
// not a URL is left to Open to refuse.
func keyOf(d *provider.Definition, i int, base string) config.KeyOf {
	return config.KeyOf{Provider: d.Name, Env: d.Keys[i].Env, Origin: d.Origin(base)}
}

// knownBases refuses a base URL for an unknown provider.
func knownBases(cfg config.Config) error {
	if err := provider.CheckNames(cfg.BaseNames(), config.ProviderDir()); err != nil {
		return &config.Error{Where: "base-url", Err: err}
	}
	return nil
}

// openFault says of an error of Open where it comes from: a base URL of the
// configuration (if none was named), or a key that was found nowhere.
func openFault(err error, cfg config.Config, d *provider.Definition, named bool, keys []provider.Secret) error {
	var base *provider.BaseError
	if errors.As(err, &base) && !named {
		given, from := cfg.BaseFrom(d.Name, true)
		if given == "" && d.Base == "" {
			base.Reason += ": give one with --base-url, or with base-url in the config file"
			return err
		}
		return &config.Error{Where: "base-url of " + d.Name + " (" + from + ")", Err: err}
	}
	for _, key := range keys {
		if found, ok := key.(config.Found); ok && found.From == "" && len(found.Looked) > 0 && errors.Is(err, upload.ErrDenied) {
			return fmt.Errorf("%w: %s", err, strings.Join(slices.Concat(cfg.Unused, found.Looked), "; "))
		}
	}
	return err
}

// profileFault says of an option that is wrong that it is the profile's.
func profileFault(err error, cfg config.Config, given map[string]string) error {
	var option *provider.OptionError
	if !errors.As(err, &option) {
		return err
	}
	_, ours := cfg.Set[option.Option]
	if _, theirs := given[option.Option]; !ours || theirs {
		return err
	}
	return &config.Error{Where: cfg.SetPlace(option.Option), Err: err}
}
