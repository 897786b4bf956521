package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Secret is a value that shows itself only when asked to: whatever formats,
// prints or marshals it gets a placeholder.
type Secret struct{ value string }

const redacted = "REDACTED"

// Reveal gives the secret, for the header that it goes into.
func (s Secret) Reveal() string { return s.value }

// String hides the secret.
func (s Secret) String() string { return redacted }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return redacted }

// Format hides the secret from every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// maxSecret is the longest secret that is read, in bytes.
const maxSecret = 64 << 10

// KeySource is where the secret comes from, if not from the provider's own
// variable.
func (c Config) KeySource() string {
	switch {
	case c.APIKeyFile != "":
		return c.APIKeyFile
	case c.APIKeyCommand != "":
		return "the API key command"
	}
	return ""
}

// Key finds the secret of a provider: from --api-key-file, from
// --api-key-command, or from the environment variable env. Without any it is
// empty. talk is where the command's standard error goes.
func (c Config) Key(ctx context.Context, env string, talk io.Writer) (Secret, error) {
	switch {
	case c.APIKeyFile != "" && c.APIKeyCommand != "":
		return Secret{}, &UsageError{Err: errors.New("an API key file and an API key command: which?")}
	case c.APIKeyFile != "":
		b, err := os.ReadFile(c.APIKeyFile)
		if err != nil {
			return Secret{}, fmt.Errorf("read the API key: %w", err)
		}
		return secretOf(b, c.APIKeyFile)
	case c.APIKeyCommand != "":
		return c.keyFromCommand(ctx, talk)
	case env != "":
		return Secret{strings.TrimSpace(os.Getenv(env))}, nil
	}
	return Secret{}, nil
}

func (c Config) keyFromCommand(ctx context.Context, talk io.Writer) (Secret, error) {
	name, args := "sh", []string{"-c", c.APIKeyCommand}
	if runtime.GOOS == "windows" {
		name, args = "cmd", []string{"/C", c.APIKeyCommand}
	}
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the user's own command
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, talk
	if err := cmd.Run(); err != nil {
		return Secret{}, fmt.Errorf("the API key command failed: %w", err)
	}
	return secretOf(out.Bytes(), "the API key command")
}

func secretOf(b []byte, from string) (Secret, error) {
	v := strings.TrimSpace(string(b))
	switch {
	case v == "":
		return Secret{}, fmt.Errorf("%s gave no API key", from)
	case len(v) > maxSecret:
		return Secret{}, fmt.Errorf("%s gave more than an API key", from)
	}
	return Secret{v}, nil
}
