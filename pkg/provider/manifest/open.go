package manifest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Key is a secret that can be asked for.
type Key interface{ Reveal() string }

// Settings are what a manifest leaves open.
type Settings struct {
	Base    string            // the address of the API; empty: the manifest's
	Key     Key               // nil: none
	Options map[string]string // those that the user set, as text
	Client  *transport.Client // nil: one without limits

	carrier carrier // instead of Client
}

// carrier makes one exchange, as a transport.Client does.
type carrier interface {
	Do(ctx context.Context, r transport.Request) (*transport.Reply, error)
}

// Provider is an API that can be spoken to. Where the API takes checkpoints,
// it is an upload.Checkpointer too; where it can be asked how an upload ended,
// an upload.Prober.
type Provider interface {
	upload.Provider
	upload.Limiter
	// Target is where the file goes: the identity of its upload. The base
	// address is left out where it is another each time.
	Target(f upload.File) upload.Target
	// Requests are the kinds of requests that an upload is made of, in the order
	// of its life.
	Requests() []Request
}

// Request is one kind of request to the API.
type Request struct {
	Step   string // create, presign, part, checkpoint, complete, probe or abort
	Method string
	Path   string // below the base address; empty: the address is in the presigned
}

// Open checks the settings, in this order: the base address, the options (an
// *OptionError), the key (an error that wraps upload.ErrDenied and names the
// environment variable). Nothing is sent.
func (m *Manifest) Open(s Settings) (Provider, error) {
	if s.Base == "" {
		s.Base = m.base
	}
	if s.Base == "" {
		return nil, &BaseError{Provider: m.title, Reason: "it has none of its own, and none is given"}
	}
	base, err := parseBase(s.Base)
	if err != nil {
		return nil, &BaseError{Provider: m.title, Reason: err.Error()}
	}
	all, set, err := m.resolve(s.Options)
	if err != nil {
		return nil, err
	}
	p := &speaker{m: m, base: base, options: all, client: s.carrier}
	if p.origin, err = transport.Origin(base); err != nil {
		return nil, &BaseError{Provider: m.title, Reason: err.Error()}
	}
	if set = m.open(set); len(set) > 0 {
		if p.set, err = marshal(set); err != nil {
			return nil, fmt.Errorf("%s: options: %w", m.title, err)
		}
	}
	if m.auth != nil {
		if p.secret, err = m.reveal(s.Key); err != nil {
			return nil, err
		}
	}
	p.hide()
	switch {
	case p.client != nil:
	case s.Client != nil:
		p.client = s.Client
	default:
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

// BaseError says what is wrong with the address of an API.
type BaseError struct {
	Provider string // its title
	Reason   string
}

func (e *BaseError) Error() string { return e.Provider + ": the address of the API: " + e.Reason }

// reveal takes the secret out of the key and checks that a header can carry it.
func (m *Manifest) reveal(k Key) (string, error) {
	secret := ""
	if k != nil {
		secret = k.Reveal()
	}
	from := m.auth.env
	if s, ok := k.(interface{ Source() string }); ok && s.Source() != "" {
		from = s.Source()
	}
	bad := func(text string) error {
		if from != "" {
			text += " (" + from + ")"
		}
		return fmt.Errorf("%s: %w: %s", m.title, upload.ErrDenied, text)
	}
	switch {
	case secret == "":
		return "", bad("no API key is set")
	case strings.TrimSpace(secret) != secret:
		return "", bad("the API key has white space, perhaps a line break, around it")
	case !valueText.MatchString(secret):
		return "", bad("the API key has a character in it that no key has, such as a line break")
	}
	return secret, nil
}

// CheckKey says what is wrong with a key, as Open would.
func (m *Manifest) CheckKey(k Key) error {
	if m.auth == nil {
		return nil
	}
	_, err := m.reveal(k)
	return err
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

// speaker speaks the API of a manifest.
type speaker struct {
	m            *Manifest
	base, origin string
	options      map[string]any  // all, with null where there is none
	set          json.RawMessage // those that were set, without the secret ones
	secret       string
	hidden       *strings.Replacer // of all that must not be shown
	client       carrier
	skew         atomic.Pointer[time.Duration] // of the last reply of the API
}

var (
	_ upload.Clock        = (*speaker)(nil)
	_ Provider            = (*speaker)(nil)
	_ Provider            = (*checkpointing)(nil)
	_ upload.Checkpointer = (*checkpointing)(nil)
	_ Provider            = (*probing)(nil)
	_ upload.Prober       = (*probing)(nil)
	_ Provider            = (*checkpointingProbing)(nil)
	_ upload.Checkpointer = (*checkpointingProbing)(nil)
	_ upload.Prober       = (*checkpointingProbing)(nil)
)

// Limits are the manifest's.
func (p *speaker) Limits() upload.Limits { return p.m.limits }

// Requests are those of the manifest.
func (p *speaker) Requests() []Request {
	var all []Request
	add := func(step string, c *call) {
		if c == nil {
			return
		}
		r := Request{Step: step, Method: c.method}
		if c.path != nil {
			r.Path = c.path.String()
		}
		all = append(all, r)
	}
	add("create", &p.m.create.call)
	add("presign", p.m.presignCall())
	add("part", &p.m.part.call)
	add("checkpoint", p.m.checkpoint)
	add("complete", &p.m.complete.call)
	if p.m.probe != nil {
		add("probe", &p.m.probe.call)
	}
	add("abort", p.m.abort)
	return all
}

// Target is where the file goes.
func (p *speaker) Target(f upload.File) upload.Target {
	t := upload.Target{Provider: p.m.name, Base: p.base, Name: f.Name, Type: f.Type, Options: p.set}
	if p.m.moving {
		t.Base = ""
	}
	return t
}

var errElsewhere = errors.New("the API key is not sent to another address than the API's")

// authorize is the one place where the secret goes into a request, and only
// into one to the origin of the base.
func (p *speaker) authorize(h http.Header, fields url.Values, address string) error {
	if p.m.auth == nil {
		return nil
	}
	to, err := transport.Origin(address)
	if err != nil {
		return err
	}
	if to != p.origin {
		return errElsewhere
	}
	value := strings.Replace(p.m.auth.value, "{secret}", p.secret, 1)
	if p.m.auth.field != "" {
		fields.Set(p.m.auth.field, value)
		return nil
	}
	h.Set(p.m.auth.header, value)
	return nil
}

// hide prepares hidden: the secret and the secret options, as they are and as
// URLs, JSON and Go's %q have them.
func (p *speaker) hide() {
	var pairs []string
	add := func(s string) {
		json, err := marshal(s)
		if len(s) < leastSecret || err != nil {
			return
		}
		inside := func(quoted string) string { return quoted[1 : len(quoted)-1] }
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), inside(string(json)), inside(strconv.Quote(s))} {
			pairs = append(pairs, form, hiddenText)
		}
	}
	add(p.secret)
	for _, o := range p.m.options {
		if s, ok := p.options[o.Name].(string); ok && o.Secret {
			add(s)
		}
	}
	p.hidden = strings.NewReplacer(pairs...)
}

// leastSecret is the least length of a secret that is hidden, in bytes. A
// shorter one ("test", at a server on this machine) is a word that occurs by
// chance, and hiding it would garble the answers it occurs in.
const leastSecret = 8

// hiddenText stands where a secret stood.
const hiddenText = "…"

// scrub is v without any secret in its texts.
func (p *speaker) scrub(v any) any {
	switch v := v.(type) {
	case string:
		return p.hidden.Replace(v)
	case []any:
		for i := range v {
			v[i] = p.scrub(v[i])
		}
	case map[string]any:
		for k := range v {
			e := p.scrub(v[k])
			if clean := p.hidden.Replace(k); clean != k {
				delete(v, k)
				k = clean
			}
			v[k] = e
		}
	}
	return v
}
