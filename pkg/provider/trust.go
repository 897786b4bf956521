package provider

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/provider/manifest"
	"github.com/multiput/multiput/pkg/transport"
)

// allowed reports what a user's manifest may not do: take the name of a
// built-in provider, or its key. It was asked for by a name, if that is not
// empty.
func allowed(m *manifest.Manifest, name string) error {
	d := m.Definition()
	if name != "" && d.Name != name {
		return m.Fault("name", "is %s, and the file is named for %s", d.Name, name)
	}
	for _, own := range Names() {
		if strings.EqualFold(d.Name, own) {
			return m.Fault("name", "%s is the name of a built-in provider; choose another name", own)
		}
		b, err := builtin[own]()
		if err != nil {
			return err
		}
		for _, k := range b.Keys {
			if k.Env != "" && strings.EqualFold(d.KeyEnv(), k.Env) {
				return m.Fault("auth.env", "%s has the key of %s, which must not be sent to another provider", k.Env, b.Title)
			}
		}
	}
	return nil
}

// TrustError refuses to send a key to an API that nothing but a record names.
type TrustError struct{ Title, Base string }

func (e *TrustError) Error() string {
	return fmt.Sprintf("it was started at %s, which is not %s's own URL, so the key is not sent there", transport.Redact(e.Base), e.Title)
}

// MayHaveKey refuses, with a *TrustError, to send the keys of a provider to a
// recorded base URL that is neither its own, nor this machine, nor one of those
// that the user named: a journal may come from a cache that others write to.
func MayHaveKey(d *Definition, base string, named ...string) error {
	if base == "" || !d.NeedsKey() {
		return nil
	}
	if u, err := url.Parse(base); err == nil && transport.Loopback(u.Hostname()) {
		return nil
	}
	if slices.ContainsFunc(append(named, d.Base), func(n string) bool { return sameURL(n, base) }) {
		return nil
	}
	return &TrustError{d.Title, base}
}

func sameURL(a, b string) bool {
	canonical := func(s string) string {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return ""
		}
		u.Host = strings.ToLower(u.Host)
		return strings.TrimRight(u.String(), "/")
	}
	return canonical(a) != "" && canonical(a) == canonical(b)
}

// CheckNames refuses a name for which there is no provider: with a misspelt one
// beside a URL, the key and the file would go where they were not meant to. Its
// error is an *UnknownError; a provider that is there and wrong is none.
func CheckNames(names []string, dirs ...string) error {
	for _, name := range names {
		var unknown *UnknownError
		if _, err := Load(name, dirs...); errors.As(err, &unknown) {
			return unknown
		}
	}
	return nil
}
