package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// lookAtProvider are the checks of one provider: what it is, its key, and the
// way to its API. known is what is wrong with the configuration whatever the
// provider.
func (a *app) lookAtProvider(ctx context.Context, flags *pflag.FlagSet, name, base string, known error) (found []finding) {
	defer func() {
		for i := range found {
			found[i].Provider = name
		}
	}()
	own, err := as(flags, name)
	if err != nil {
		return []finding{failing("provider", failure{err: err})}
	}
	cfg, err := config.LoadSettings(own)
	if err != nil {
		cfg = config.Config{}
		if known == nil {
			found = append(found, failing("config", failure{err: err}))
		}
	}
	m, err := loadManifest(name)
	if err != nil {
		return append(found, failing("provider", failure{err: err}))
	}
	client, err := newClient(cfg, a.tracer(cfg))
	if err != nil {
		return append(found, failing("provider", failure{err: err}))
	}
	if m.Name == provider.Sandbox {
		s, err := startOwnSandbox(ctx)
		if err != nil {
			return append(found, failing("provider", failure{err: err}))
		}
		defer s.stop()
		found = append(found, good("provider", "it is embedded, and needs no key and no network"))
		return append(found, lookAtAPI(ctx, client, s.base)...)
	}
	if m.Base == "" {
		return append(found, lookAtFinder(ctx, client, m, cmp.Or(base, cfg.Base(m.Name)))...)
	}
	address := cmp.Or(base, cfg.Base(m.Name), m.Base)
	found = append(found, good("provider", "%s, %s", m.Title, transport.Redact(address)), a.lookAtKey(ctx, cfg, m, address))
	if _, err := transport.CheckURL(address); err != nil {
		code := exitConfig
		if base != "" {
			code = exitUsage
		}
		return append(found, bad("url", code, "", "%v", err))
	}
	return append(found, lookAtWay(ctx, client, address)...)
}

// lookAtFinder are the checks of a provider that finds its address and key by itself.
func lookAtFinder(ctx context.Context, client *transport.Client, m *provider.Definition, base string) []finding {
	p, err := m.Open(provider.Settings{Base: base, Client: client})
	if err != nil {
		return []finding{failing("provider", failure{err: err})}
	}
	finder, is := p.(provider.Finder)
	if !is {
		return []finding{bad("provider", exitFailed, "", "%s reports neither its URL nor the source of its key", m.Title)}
	}
	from, err := finder.KeyFrom(ctx)
	found := []finding{good("provider", "%s, %s", m.Title, transport.Redact(finder.Address()))}
	if err != nil {
		found = append(found, failing("key", failure{err: err}))
	} else {
		found = append(found, good("key", "found by %s", from))
	}
	return append(found, lookAtWay(ctx, client, finder.Address())...)
}

func (a *app) lookAtKey(ctx context.Context, cfg config.Config, m *provider.Definition, base string) finding {
	if !m.NeedsKey() {
		return good("key", "it needs none")
	}
	key, err := cfg.Key(ctx, keyOf(m, 0, base), a.stderr)
	if err == nil && key.From == "" {
		err = fmt.Errorf("no API key is found (%s)", strings.Join(slices.Concat(cfg.Unused, key.Looked), "; "))
	}
	if err == nil {
		err = m.CheckKey(0, key)
	}
	if err != nil {
		found := failing("key", keyed(fmt.Errorf("%w: %w", upload.ErrDenied, err), m, cfg))
		found.Text = err.Error()
		return found
	}
	return good("key", "found in %s", key.From)
}

// How long the network is waited for, at each step.
const (
	dnsWait = 5 * time.Second
	apiWait = 10 * time.Second
)

// lookAtWay goes the way to an API, step by step, as far as it can be gone.
func lookAtWay(ctx context.Context, client *transport.Client, address string) []finding {
	u, err := url.Parse(address)
	if err != nil {
		return []finding{bad("url", exitConfig, "", "is not a URL")}
	}
	if err := config.CheckProxy(); err != nil {
		return []finding{failing("proxy", failure{err: err})}
	}
	proxy, err := transport.Proxy(address)
	var found []finding
	host := u.Hostname()
	switch {
	case err != nil:
		return []finding{failing("proxy", failure{err: err})}
	case proxy != nil:
		host = proxy.Hostname()
		found = append(found, good("proxy", "%s, from the environment", proxy))
	default:
		found = append(found, good("proxy", "none is used for %s", u.Host))
	}
	dns := lookAtName(ctx, host)
	if found = append(found, dns); dns.Status == checkFailed {
		return found
	}
	return append(found, lookAtAPI(ctx, client, address)...)
}

func lookAtName(ctx context.Context, host string) finding {
	if _, err := netip.ParseAddr(host); err == nil {
		return good("dns", "%s is an IP address", host)
	}
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		why := err.Error()
		var d *net.DNSError
		if errors.As(err, &d) {
			why = d.Err
		}
		if ctx.Err() != nil {
			why = fmt.Sprintf("no answer within %s", dnsWait)
		}
		return bad("dns", exitAgain, "is this machine on the network, and is the name right?", "%s is not found (%s)", host, why)
	}
	s := ips[0].Unmap().String()
	if len(ips) > 1 {
		s += fmt.Sprintf(" and %d more", len(ips)-1)
	}
	return good("dns", "%s is %s", host, s)
}

// errNoAnswer: the API did not answer in time.
var errNoAnswer = fmt.Errorf("no answer within %s", apiWait)

// lookAtAPI asks the API for nothing in particular, without the key. Any answer
// will do: who gave it and when is what matters.
func lookAtAPI(ctx context.Context, client *transport.Client, address string) []finding {
	ctx, cancel := context.WithTimeoutCause(ctx, apiWait, errNoAnswer)
	defer cancel()
	reply, err := client.Do(ctx, transport.Request{Op: "look", Method: http.MethodHead, URL: address})
	if err != nil {
		return []finding{unreached(address, err)}
	}
	err = reply.Error("", "", "")
	if reply.Status/100 == 3 {
		err = reply.Redirect(false)
	}
	if isPortal(err) {
		return []finding{failing("connection", failure{err: err})}
	}
	return []finding{lookAtTLS(address, reply.TLS, reply.Status), lookAtClock(reply)}
}

func unreached(address string, err error) finding {
	host := address
	if u, parsed := url.Parse(address); parsed == nil {
		host = u.Host
	}
	var (
		t      *transport.Error
		verify *tls.CertificateVerificationError
	)
	if errors.As(err, &t) && t.Err != nil {
		err = t.Err
	}
	text := transport.Clean(err.Error())
	var proxy *transport.ProxyError
	switch {
	case errors.As(err, &proxy) && !proxy.Temporary():
		return failing("proxy", failure{err: err})
	case errors.As(err, new(*transport.NotHTTPError)):
		return failing("connection", failure{err: err})
	case errors.As(err, new(*transport.TLSError)):
		return failing("tls", failure{err: err})
	case errors.As(err, &verify):
		if len(verify.UnverifiedCertificates) > 0 {
			text += ", issued by " + issuer(verify.UnverifiedCertificates[0])
		}
		return bad("tls", exitFailed, certificateHint(err), "%s: %s", host, text)
	case noTLS(err):
		return bad("tls", exitFailed, "check the URL of the API, and whether a proxy intercepts the connection", "%s does not speak TLS", host)
	}
	advice := "is there a firewall, or a proxy that HTTPS_PROXY should name?"
	if used, _ := transport.Proxy(address); used != nil {
		advice = "does the proxy run, and can it reach this host? NO_PROXY lists hosts to connect to without it"
	}
	return bad("connection", exitAgain, advice, "%s cannot be reached (%s)", host, text)
}

// expiring is how long before its end a certificate is reported.
const expiring = 14 * 24 * time.Hour

func lookAtTLS(address string, state *tls.ConnectionState, status int) finding {
	if state == nil || len(state.PeerCertificates) == 0 {
		return good("tls", "none, and none is needed: it is on this machine (it answers with status %d)", status)
	}
	c := state.PeerCertificates[0]
	s := fmt.Sprintf("%s, certificate issued by %s, good until %s", tls.VersionName(state.Version), issuer(c), c.NotAfter.Format(time.DateOnly))
	if time.Until(c.NotAfter) < expiring {
		return warn("tls", "tell the operator of "+transport.Redact(address), "%s", s)
	}
	return good("tls", "%s", s)
}

func issuer(c *x509.Certificate) string {
	return cmp.Or(strings.Join(c.Issuer.Organization, " "), c.Issuer.CommonName, "an unnamed issuer")
}

func lookAtClock(reply *transport.Reply) finding {
	skew, ok := reply.Skew()
	if !ok {
		return good("clock", "the API does not report its time")
	}
	skew = skew.Round(time.Second)
	const advice = "let the system set its clock (NTP): with a wrong one, signatures and certificates are refused"
	switch {
	case skew >= transport.MaxSkew:
		return warn("clock", advice, "this machine's clock is %s ahead of the API's", skew)
	case skew <= -transport.MaxSkew:
		return warn("clock", advice, "this machine's clock is %s behind the API's", -skew)
	}
	return good("clock", "it agrees with the API's")
}
