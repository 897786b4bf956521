package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
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

// Source is From.
func (f Found) Source() string { return f.From }

// KeySource is where the secret comes from, if it is said: a file or a command.
func (c Config) KeySource() string {
	switch {
	case c.APIKeyFile != "":
		return c.APIKeyFile
	case c.APIKeyCommand != "":
		return "the API key command"
	}
	return ""
}

// KeyOf is whose key is looked for.
type KeyOf struct {
	Provider string // its name
	Env      string // the variable of its key; empty: none
	Origin   string // of its address; empty: the keyring is not asked
}

// Found is a secret and where it was.
type Found struct {
	Secret
	From   string   // empty: nowhere
	Looked []string // without a secret: where it is not, and why
}

// Key finds the secret of a provider in the first of these that is given: the
// file or the command that flags, variables, the profile or the config file
// name, the provider's own variable, the system's keyring. Without any it is
// empty. messages is the standard error of the command.
func (c Config) Key(ctx context.Context, of KeyOf, messages io.Writer) (Found, error) {
	switch {
	case c.APIKeyFile != "" && c.APIKeyCommand != "":
		return Found{}, &UsageError{Err: errors.New("--api-key-file and --api-key-command exclude each other")}
	case c.APIKeyFile != "":
		s, err := keyFromFile(c.APIKeyFile)
		return Found{Secret: s, From: c.APIKeyFile}, err
	case c.APIKeyCommand != "":
		s, err := c.keyFromCommand(ctx, messages)
		return Found{Secret: s, From: "the API key command"}, err
	}
	var f Found
	if of.Env != "" {
		if v := strings.TrimSpace(os.Getenv(of.Env)); v != "" {
			return Found{Secret: Secret{v}, From: of.Env}, nil
		}
		f.Looked = append(f.Looked, of.Env+" is not set")
	}
	if of.Origin == "" {
		return f, nil
	}
	s, err := keyring{of}.get(ctx)
	switch {
	case ctx.Err() != nil:
		return Found{}, context.Cause(ctx)
	case err != nil:
		f.Looked = append(f.Looked, err.Error())
		return f, nil
	}
	return Found{Secret: s, From: "the system's keyring"}, nil
}

// Before is what comes before the keyring. Empty: nothing does.
func (c Config) Before(of KeyOf) string {
	if from := c.KeySource(); from != "" || of.Env == "" || os.Getenv(of.Env) == "" {
		return from
	}
	return of.Env
}

func keyFromFile(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read the API key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return Secret{}, fmt.Errorf("read the API key: %w", err)
	}
	return secretOf(b, path)
}

// commandTime is how long the command may take: time enough to ask its user for
// a passphrase.
const commandTime = 2 * time.Minute

// pipeTime is how long a program that the command left behind may keep its
// output open.
const pipeTime = 2 * time.Second

var errCommandTime = fmt.Errorf("it did not end within %v", commandTime)

func (c Config) keyFromCommand(ctx context.Context, messages io.Writer) (Secret, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTime, errCommandTime)
	defer cancel()
	name, args := "sh", []string{"-c", c.APIKeyCommand}
	if runtime.GOOS == "windows" {
		name, args = "cmd", []string{"/C", c.APIKeyCommand}
	}
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the user's own command
	out := limited{left: maxSecret + 1}
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.WaitDelay = &out, messages, c.keyDir, pipeTime
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return Secret{}, fmt.Errorf("the API key command: %w", context.Cause(ctx))
	case errors.Is(err, exec.ErrWaitDelay): // it ended well; what it started goes on
	case err != nil:
		return Secret{}, fmt.Errorf("the API key command failed: %w", err)
	}
	return secretOf(out.b, "the API key command")
}

// limited keeps the first bytes that are written to it.
type limited struct {
	b    []byte
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b, l.left = append(l.b, p[:n]...), l.left-n
	return len(p), nil
}

// NewSecret reads a secret that is to be stored: a line of text. from says where
// it is from, for errors.
func NewSecret(r io.Reader, from string) (Secret, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	if err != nil {
		return Secret{}, fmt.Errorf("read the API key: %w", err)
	}
	s, err := secretOf(b, from)
	if err == nil && strings.ContainsFunc(s.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Secret{}, fmt.Errorf("%s returned text with white space or other characters that are invalid in a key", from)
	}
	return s, err
}

// PlainText is a file's text without a byte order mark. UTF-16 and UTF-32 are
// errors, with their marks or without.
func PlainText(b []byte) ([]byte, error) { return text.Plain(b) }

func secretOf(b []byte, from string) (Secret, error) {
	plain, err := text.Plain(b)
	if err != nil {
		return Secret{}, fmt.Errorf("%s: %w", from, err)
	}
	v := strings.TrimSpace(string(plain))
	switch {
	case v == "":
		return Secret{}, fmt.Errorf("%s returned no API key", from)
	case len(b) > maxSecret:
		return Secret{}, fmt.Errorf("%s returned more than an API key", from)
	}
	return Secret{v}, nil
}
