package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/time/rate"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// uploader wires everything that takes files to the provider of the
// configuration. stop ends what it started.
func (a *app) uploader(ctx context.Context, cfg config.Config, o uploadOptions) (u *upload.Uploader, m *provider.Definition, stop func(), err error) {
	stop = func() {}
	if cfg.Provider == "" {
		return nil, nil, stop, usagef("no provider: set one with -p (%s, or a manifest FILE.yaml)", strings.Join(provider.Names(), ", "))
	}
	options, err := settings(o.set)
	if err != nil {
		return nil, nil, stop, err
	}
	if m, err = loadManifest(cfg.Provider); err != nil {
		return nil, nil, stop, err
	}
	if err := knownBases(cfg); err != nil {
		return nil, nil, stop, err
	}
	if m.Name == provider.Sandbox && o.base != "" {
		return nil, nil, stop, usagef("--base-url cannot be used with the sandbox")
	}
	given := maps.Clone(options)
	withProfile(options, cfg)
	u, stop, err = a.open(ctx, cfg, m, provider.Settings{Base: o.base, Options: options}, !o.dryRun)
	if err != nil {
		return nil, m, stop, profileFault(err, cfg, given)
	}
	u.Restart, u.Wait = o.restart, o.wait
	return u, m, stop, nil
}

// loadManifest finds a manifest by name or path. One that cannot be read is a
// mistake in the configuration.
func loadManifest(nameOrPath string) (*provider.Definition, error) {
	path, err := config.Expand(nameOrPath)
	if err != nil {
		return nil, &config.UsageError{Err: err}
	}
	m, err := provider.Load(path, config.ProviderDir())
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return nil, &config.Error{Where: unread.Path, Err: unread.Err}
	}
	return m, err
}

// open wires what takes files to the provider of a manifest: at the address of
// the settings, or else the configured one, or else its own. Only for something
// to be sent is the sandbox started; stop ends it.
func (a *app) open(ctx context.Context, cfg config.Config, m *provider.Definition, s provider.Settings, send bool) (u *upload.Uploader, stop func(), err error) {
	stop = func() {}
	named := s.Base != ""
	if m.Name != provider.Sandbox {
		if err := config.CheckProxy(); err != nil {
			return nil, stop, err
		}
	}
	client, err := newClient(cfg, a.tracer(cfg))
	if err != nil {
		return nil, stop, err
	}
	if a.limit == nil {
		a.limit = client.Limit
	}
	client.Limit = a.limit // of all uploads together
	s.Client, s.Proof = client, checksums[cfg.Checksum] == upload.ChecksumRequire
	switch {
	case m.Name == provider.Sandbox && !send:
		s.Base, s.Keys = "http://127.0.0.1", []provider.Secret{plainKey(provider.Sandbox)}
	case m.Name == provider.Sandbox:
		var running *runningSandbox
		if running, err = startOwnSandbox(ctx); err != nil {
			return nil, stop, err
		}
		s.Base, s.Keys, stop = running.base, []provider.Secret{running.key}, running.stop
	default:
		if err := a.address(ctx, cfg, m, &s); err != nil {
			return nil, stop, err
		}
	}
	if a.record != nil {
		a.record.Client, a.record.Text = client, string(m.Text)
		for _, k := range s.Keys {
			a.record.Hide = append(a.record.Hide, k.Reveal())
		}
		for _, o := range m.Options {
			if o.Secret {
				a.record.Hide = append(a.record.Hide, s.Options[o.Name])
			}
		}
		s.Client = a.record
	}
	p, err := m.Open(s)
	if err == nil && a.record != nil {
		a.record.Base = cmp.Or(p.Target().Base, s.Base)
	}
	if err = openFault(err, cfg, m, named, s.Keys); err != nil {
		stop()
		return nil, func() {}, err
	}
	closeState(cfg.Journal)
	return &upload.Uploader{
		Origin:   originOf(m),
		Provider: p, Target: p.Target(), Journal: a.journal(cfg.Journal, func(text string) { a.warn(cfg, text) }),
		Concurrency: cfg.Concurrency, PartSize: cfg.PartSize, Retry: policyOf(cfg), Rate: cfg.LimitRate,
		Checksum: checksums[cfg.Checksum],
	}, stop, nil
}

// policyOf is how requests are retried.
func policyOf(cfg config.Config) transport.Policy {
	p := transport.DefaultPolicy
	p.RetryFor = cfg.RetryFor
	switch cfg.Retries {
	case config.AutoRetries:
	case 0:
		p.Retries = -1
	default:
		p.Retries = cfg.Retries
	}
	if p.RetryFor == 0 && p.Retries == 0 {
		p.Retries = -1
	}
	return p
}

// closeState closes the state directory to others if it is there already, and the
// journal is in it. Where that is not ours to do, it stays as it is.
func closeState(journal string) {
	dir, err := config.StateDir()
	if err != nil || filepath.Dir(journal) != dir {
		return
	}
	if info, err := os.Stat(dir); err == nil && info.IsDir() && info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(dir, 0o700) //nolint:gosec // a directory
	}
}

// settings reads the KEY=VALUE of --set.
func settings(set []string) (map[string]string, error) {
	options := make(map[string]string, len(set))
	for _, s := range set {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usagef("--set %s: not KEY=VALUE", s)
		}
		if _, twice := options[k]; twice {
			return nil, usagef("--set %s is given twice", k)
		}
		options[k] = v
	}
	return options, nil
}

func newClient(cfg config.Config, trace func(string)) (*transport.Client, error) {
	c := &transport.Client{UserAgent: "multiput/" + version, Stall: cfg.StallTimeout, Trace: trace}
	if cfg.LimitRate > 0 {
		// A quarter of a second's worth at once, at most what one read takes.
		burst := int(min(max(cfg.LimitRate/4, 1), 64<<10))
		c.Limit = rate.NewLimiter(rate.Limit(cfg.LimitRate), burst)
	}
	if cfg.CACert == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.CACert)
	if err != nil {
		return nil, &config.Error{Where: "--cacert " + cfg.CACert, Err: cause(err)}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if pem, err = config.PlainText(pem); err != nil {
		return nil, &config.Error{Where: cfg.CACert, Err: err}
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &config.Error{Where: cfg.CACert, Err: errors.New("holds no PEM certificate")}
	}
	c.RootCAs = pool
	return c, nil
}
