package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	system "github.com/zalando/go-keyring"
)

// The keyring is asked last, and for a moment only: a machine without one, or
// with one that waits to be unlocked, must not delay an upload.
const (
	askTime   = 5 * time.Second
	storeTime = time.Minute // a user is there: time to unlock it
)

// ErrNoKeyring is a machine whose keyring does not answer, or that has none.
var ErrNoKeyring = errors.New("the system's keyring cannot be used")

// ErrNoKey is a keyring without the key.
var ErrNoKey = errors.New("no key")

// keyring is the place of one key in the system's keyring. It is a provider's
// name together with the origin of its address: under its name alone, a manifest
// that calls itself the same would get it.
type keyring struct{ KeyOf }

const service = "multiput"

func (k keyring) account() string { return k.Provider + " " + k.Origin }

// StoreKey keeps a key in the system's keyring, in place of one that is there.
func StoreKey(ctx context.Context, of KeyOf, s Secret) error {
	return bounded(ctx, storeTime, func() error { return system.Set(service, keyring{of}.account(), s.value) })
}

// DropKey removes a key from the system's keyring; without one it is ErrNoKey.
func DropKey(ctx context.Context, of KeyOf) error {
	err := bounded(ctx, storeTime, func() error { return system.Delete(service, keyring{of}.account()) })
	return keyring{of}.missing(err)
}

func (k keyring) get(ctx context.Context) (Secret, error) {
	var v string
	err := bounded(ctx, askTime, func() (err error) {
		v, err = system.Get(service, k.account())
		return err
	})
	if err != nil {
		return Secret{}, k.missing(err)
	}
	return secretOf([]byte(v), "the system's keyring")
}

func (k keyring) missing(err error) error {
	if errors.Is(err, system.ErrNotFound) {
		return fmt.Errorf("the system's keyring: %w of %s for %s", ErrNoKey, k.Provider, k.Origin)
	}
	return err
}

// bounded asks the keyring, which takes no context. What does not answer in time
// is left behind, and ends with the process.
func bounded(ctx context.Context, limit time.Duration, ask func() error) error {
	if err := Keyring(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: it did not answer within %v; is it locked?", ErrNoKeyring, limit))
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // an answer that is none
				answer <- fmt.Errorf("%w: %v", ErrNoKeyring, p)
			}
		}()
		answer <- ask()
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-answer:
		if err == nil || errors.Is(err, system.ErrNotFound) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrNoKeyring, err)
	}
}

// Keyring finds out without asking that there is no keyring. Where it lives on
// the session bus and none is named, the library would start one.
func Keyring() error {
	switch runtime.GOOS {
	case "darwin", "windows":
		return nil
	}
	if os.Getenv("DBUS_SESSION_BUS_ADDRESS") == "" {
		return fmt.Errorf("%w: there is no session bus (DBUS_SESSION_BUS_ADDRESS)", ErrNoKeyring)
	}
	return nil
}
