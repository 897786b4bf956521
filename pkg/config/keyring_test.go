package config_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	system "github.com/zalando/go-keyring"

	"github.com/multiput/multiput/pkg/config"
)

// secret is one as login reads it.
func secret(t *testing.T, text string) config.Secret {
	t.Helper()
	s, err := config.NewSecret(strings.NewReader(text+"\n"), "the test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mock(t *testing.T, with func()) {
	t.Helper()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
	with()
	t.Cleanup(system.MockInit)
}

var mine = config.KeyOf{Provider: "my-api", Env: "MY_API_KEY", Origin: "https://api.example:443"}

func TestKeyring(t *testing.T) {
	mock(t, system.MockInit)
	if err := config.StoreKey(t.Context(), mine, secret(t, seeded)); err != nil {
		t.Fatal(err)
	}
	cfg, err := load(t, setting{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := cfg.Key(t.Context(), mine, io.Discard)
	if err != nil || found.Reveal() != seeded || found.From != "the system's keyring" {
		t.Errorf("from %q, %v", found.From, err)
	}
	// It is bound to name and origin.
	for _, of := range []config.KeyOf{
		{Provider: "my-api", Origin: "https://evil.example:443"},
		{Provider: "my-api", Origin: "https://api.example:444"},
		{Provider: "other", Origin: mine.Origin},
		{Provider: "my-api"},
	} {
		if found, err := cfg.Key(t.Context(), of, io.Discard); err != nil || found.From != "" || found.Reveal() != "" {
			t.Errorf("%+v got the key, or %v", of, err)
		} else if of.Origin != "" && !strings.Contains(strings.Join(found.Looked, " "), "no key of "+of.Provider+" for "+of.Origin) {
			t.Errorf("%+v: looked at %v", of, found.Looked)
		}
	}
	// All else comes before it.
	t.Setenv("MY_API_KEY", "from-variable")
	if found, err := cfg.Key(t.Context(), mine, io.Discard); err != nil || found.From != "MY_API_KEY" {
		t.Errorf("from %q, %v", found.From, err)
	}
	if cfg.Before(mine) != "MY_API_KEY" {
		t.Errorf("before it: %q", cfg.Before(mine))
	}
	t.Setenv("MY_API_KEY", "")
	if err := config.DropKey(t.Context(), mine); err != nil {
		t.Fatal(err)
	}
	if err := config.DropKey(t.Context(), mine); !errors.Is(err, config.ErrNoKey) {
		t.Errorf("a second time: %v", err)
	}
	if found, err := cfg.Key(t.Context(), mine, io.Discard); err != nil || found.From != "" || len(found.Looked) != 2 {
		t.Errorf("%q, %v, %v", found.From, found.Looked, err)
	}
}

// A keyring that cannot be used is a place without the key, and is not asked
// where another place has it.
func TestKeyringThatFails(t *testing.T) {
	mock(t, func() { system.MockInitWithError(errors.New("the bus is gone")) })
	cfg, err := load(t, setting{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := cfg.Key(t.Context(), mine, io.Discard)
	if err != nil || found.From != "" || !strings.Contains(strings.Join(found.Looked, " "), "the bus is gone") {
		t.Errorf("%q, %v, %v", found.From, found.Looked, err)
	}
	if err := config.StoreKey(t.Context(), mine, secret(t, seeded)); !errors.Is(err, config.ErrNoKeyring) {
		t.Errorf("store: %v", err)
	}
}

func TestInvalidKey(t *testing.T) {
	for _, text := range []string{"", " \n", "two words", "two\nlines", "schlüssel", strings.Repeat("k", 65<<10)} {
		if s, err := config.NewSecret(strings.NewReader(text), "standard input"); err == nil {
			t.Errorf("%.20q is one: %v", text, s)
		} else if len(text) > 3 && strings.Contains(err.Error(), text) {
			t.Errorf("it is shown: %v", err)
		}
	}
}

// A locked keyring waits for the user; multiput does not wait.
func TestLockedKeyring(t *testing.T) {
	mock(t, system.MockInit)
	synctest.Test(t, func(t *testing.T) {
		unlocked := make(chan struct{})
		defer close(unlocked)
		ask := func() error { <-unlocked; return nil }
		start := time.Now()
		if err := config.Bounded(t.Context(), 5*time.Second, ask); !errors.Is(err, config.ErrNoKeyring) || time.Since(start) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("interrupted")
		cancel(reason)
		if err := config.Bounded(ctx, time.Hour, ask); !errors.Is(err, reason) {
			t.Errorf("interrupted: %v", err)
		}
		if err := config.Bounded(t.Context(), time.Hour, func() error { panic("odd answer") }); !errors.Is(err, config.ErrNoKeyring) {
			t.Errorf("panic: %v", err)
		}
	})
}
