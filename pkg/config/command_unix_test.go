//go:build unix

package config_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/config"
)

// The command that gives a key: its lines end, its messages are passed on, its
// failure is told, and it blocks nothing forever.
func TestKeyCommand(t *testing.T) {
	run := func(ctx context.Context, command string) (config.Found, string, error) {
		cfg, err := load(t, setting{args: []string{"--api-key-command", command}})
		if err != nil {
			t.Fatal(err)
		}
		var messages bytes.Buffer
		key, err := cfg.Key(ctx, config.KeyOf{}, &messages)
		return key, messages.String(), err
	}
	key, messages, err := run(t.Context(), "echo enter the passphrase >&2; printf 'the-key\\r\\n'")
	if err != nil || key.Reveal() != "the-key" || messages != "enter the passphrase\n" {
		t.Errorf("%q, messages %q, %v", key.Reveal(), messages, err)
	}
	if _, messages, err = run(t.Context(), "echo "+seeded+"; echo no such entry >&2; exit 3"); err == nil ||
		!strings.Contains(err.Error(), "exit status 3") || strings.Contains(err.Error(), seeded) || !strings.Contains(messages, "no such entry") {
		t.Errorf("messages %q, %v", messages, err)
	}
	if _, _, err = run(t.Context(), "head -c 100000 /dev/zero | tr '\\0' k"); err == nil || !strings.Contains(err.Error(), "more than an API key") {
		t.Errorf("a flood: %v", err)
	}
	// An agent that it starts keeps its output open.
	start := time.Now()
	key, _, err = run(t.Context(), "sleep 60 & echo the-key")
	if err != nil || key.Reveal() != "the-key" || time.Since(start) > 30*time.Second {
		t.Errorf("%q after %v, %v", key.Reveal(), time.Since(start), err)
	}
	// Interrupted, it says by what.
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("interrupted")
	time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
	if _, _, err = run(ctx, "exec sleep 60"); !errors.Is(err, reason) {
		t.Errorf("interrupted: %v", err)
	}
}
