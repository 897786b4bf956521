package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/transport"
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

// address settles where an API is and what its key is. Without a key, opening
// the provider fails, after all else that may be wrong was looked at.
func (a *app) address(ctx context.Context, cfg config.Config, m *manifest.Manifest, s *manifest.Settings) error {
	if s.Base == "" {
		s.Base = cfg.Base(m.Name())
	}
	if !m.NeedsKey() {
		return nil
	}
	key, err := cfg.Key(ctx, keyOf(m, s.Base), a.stderr)
	if err != nil {
		return fmt.Errorf("%w: %w", upload.ErrDenied, err)
	}
	for _, unused := range cfg.Unused {
		a.explain(cfg, unused)
	}
	if key.From != "" {
		a.explain(cfg, "the API key comes from "+key.From)
	}
	s.Key = key
	return nil
}

// keyOf is whose key it is: the keyring has it for one address. A base that is
// none is left to Open to refuse.
func keyOf(m *manifest.Manifest, base string) config.KeyOf {
	if base == "" {
		base = m.Base()
	}
	origin, err := transport.Origin(base)
	if err != nil {
		origin = ""
	}
	return config.KeyOf{Provider: m.Name(), Env: m.KeyEnv(), Origin: origin}
}

// openFault says of an error of Open where it comes from: an address of the
// configuration (if none was named), or a key that was found nowhere.
func openFault(err error, cfg config.Config, m *manifest.Manifest, named bool, key manifest.Key) error {
	var base *manifest.BaseError
	if errors.As(err, &base) && !named {
		given, from := cfg.BaseFrom(m.Name(), true)
		if given == "" && m.Base() == "" {
			base.Reason += ": give one with --base-url, or with base-url in the config file"
			return err
		}
		return &config.Error{Where: "base-url of " + m.Name() + " (" + from + ")", Err: err}
	}
	if found, ok := key.(config.Found); ok && found.From == "" && len(found.Looked) > 0 && errors.Is(err, upload.ErrDenied) {
		return fmt.Errorf("%w: %s", err, strings.Join(slices.Concat(cfg.Unused, found.Looked), "; "))
	}
	return err
}

// profileFault says of an option that is wrong that it is the profile's.
func profileFault(err error, cfg config.Config, given map[string]string) error {
	var option *manifest.OptionError
	if !errors.As(err, &option) {
		return err
	}
	_, ours := cfg.Set[option.Option]
	if _, theirs := given[option.Option]; !ours || theirs {
		return err
	}
	return &config.Error{Where: cfg.SetPlace(option.Option), Err: err}
}
