package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Open checks the settings, in this order: the base address, the options (an
// *spec.OptionError), the key (an error that wraps upload.ErrDenied and names the
// environment variable). Nothing is sent.
func (m *Manifest) Open(s spec.Settings) (spec.Provider, error) {
	all, set, bad := m.options.Resolve(m.title, s.Options)
	if s.Base == "" && m.base != nil && bad == nil {
		var err error
		if s.Base, err = m.expandBase(all); err != nil {
			return nil, err
		}
	}
	if s.Base == "" && bad == nil {
		return nil, &spec.BaseError{Provider: m.title, Reason: "the manifest has none, and none is set"}
	}
	base, err := parseBase(cmp.Or(s.Base, "https://unknown.invalid"))
	if err != nil {
		return nil, &spec.BaseError{Provider: m.title, Reason: err.Error()}
	}
	if bad != nil {
		return nil, bad
	}
	p := &speaker{m: m, base: base, options: all, client: s.Client}
	if p.origin, err = transport.Origin(base); err != nil {
		return nil, &spec.BaseError{Provider: m.title, Reason: err.Error()}
	}
	if set = m.options.Open(set); len(set) > 0 {
		if p.set, err = marshal(set); err != nil {
			return nil, fmt.Errorf("%s: options: %w", m.title, err)
		}
	}
	if m.auth != nil {
		var key spec.Secret
		if len(s.Keys) > 0 {
			key = s.Keys[0]
		}
		if p.secret, err = m.key().Take(m.title, key); err != nil {
			if !s.Keyless || key != nil && key.Reveal() != "" {
				return nil, err
			}
			p.noKey = err
		}
	}
	p.prepareHidden()
	if p.client == nil {
		p.client = &transport.Client{}
	}
	switch {
	case m.checkpoint != nil && m.probe != nil:
		return &checkpointingProbing{checkpointing{p}}, nil
	case m.checkpoint != nil:
		return &checkpointing{p}, nil
	case m.probe != nil:
		return &probing{p}, nil
	}
	return p, nil
}

// hostText is what an option may put into the base: part of a host or of a path,
// and nothing that climbs it.
var hostText = text.Pattern(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// expandBase is the base with the options in it.
func (m *Manifest) expandBase(options map[string]any) (string, error) {
	var b strings.Builder
	for i, text := range m.base.texts {
		b.WriteString(text)
		if i == len(m.base.fields) {
			break
		}
		name := m.base.fields[i].name
		v, _ := toText(options[name])
		if !hostText().MatchString(v) || strings.Contains(v, "..") {
			return "", &spec.OptionError{Provider: m.title, Option: name, Reason: "is part of the API's URL: letters, digits, . and - can stand there", Known: m.options}
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

// parseBase makes an address of an API canonical: no slash at its end, host in
// lower case. A query is refused: it would have to be kept with the upload, and
// may hold a key.
func parseBase(raw string) (string, error) {
	u, err := transport.CheckURL(raw)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", fmt.Errorf("%s: a query or a fragment is refused", transport.Redact(raw))
	}
	if climbs(u.Path) {
		return "", fmt.Errorf("%s: . and .. are refused", transport.Redact(raw))
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), nil
}

// speaker implements upload.Provider with a manifest.
type speaker struct {
	m            *Manifest
	base, origin string
	options      map[string]any  // all, with null where there is none
	set          json.RawMessage // those that were set, without the secret ones
	secret       string
	noKey        error  // says that there is no key; nil: there is one, or none is needed
	hidden       *hider // of all that must not be shown
	client       spec.Client
	clock        transport.Clock // the API's

	mu    sync.Mutex
	later map[string]map[string]laterKept // by the upload's id
}

var (
	_ upload.Clock        = (*speaker)(nil)
	_ upload.Stepper      = (*speaker)(nil)
	_ upload.Signer       = (*speaker)(nil)
	_ upload.Confirmer    = (*speaker)(nil)
	_ upload.Readier      = (*speaker)(nil)
	_ spec.Provider       = (*speaker)(nil)
	_ spec.Requester      = (*speaker)(nil)
	_ spec.Provider       = (*checkpointing)(nil)
	_ upload.Checkpointer = (*checkpointing)(nil)
	_ spec.Provider       = (*probing)(nil)
	_ upload.Prober       = (*probing)(nil)
	_ spec.Provider       = (*checkpointingProbing)(nil)
	_ upload.Checkpointer = (*checkpointingProbing)(nil)
	_ upload.Prober       = (*checkpointingProbing)(nil)
)

// Limits are the manifest's.
func (p *speaker) Limits() upload.Limits { return p.m.limits }

// Target is where the file goes.
func (p *speaker) Target() upload.Target {
	t := upload.Target{Provider: p.m.name, Base: p.base, Options: p.set}
	if p.m.moving {
		t.Base = ""
	}
	return t
}

// Keyless reports whether it has no key and needs one.
func (p *speaker) Keyless() bool { return p.noKey != nil }

var errElsewhere = errors.New("the API key is not sent to another origin than the API's")

// authorize is the one place where the secret goes into a request, and only
// into one to the origin of the base.
func (p *speaker) authorize(h http.Header, fields url.Values, address string) error {
	if p.m.auth == nil {
		return nil
	}
	if !p.own(address) {
		if _, err := transport.Origin(address); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", upload.ErrReply, errElsewhere)
	}
	if p.noKey != nil {
		return &unsent{p.noKey}
	}
	value := strings.Replace(p.m.auth.value, "{secret}", p.secret, 1)
	if p.m.auth.field != "" {
		fields.Set(p.m.auth.field, value)
		return nil
	}
	h.Set(p.m.auth.header, value)
	return nil
}

// HasStep reports whether a step is made for an upload: small files may have
// others.
func (p *speaker) HasStep(u upload.Upload, step string) bool { return p.m.stepsFor(u.File).has(step) }
