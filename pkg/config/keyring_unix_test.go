//go:build !windows && !darwin

package config_test

import (
	"errors"
	"testing"

	system "github.com/zalando/go-keyring"

	"github.com/multiput/multiput/pkg/config"
)

// Without a session bus there is no keyring, and nothing is asked that might
// start one.
func TestNoBusNoKeyring(t *testing.T) {
	system.MockInit()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	if err := config.StoreKey(t.Context(), mine, secret(t, seeded)); !errors.Is(err, config.ErrNoKeyring) {
		t.Errorf("store: %v", err)
	}
}
