package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	system "github.com/zalando/go-keyring"

	"github.com/multiput/multiput/pkg/sandbox"
)

// The way of a key through the keyring: login, an upload that uses it, another
// address that does not get it, logout.
func TestLogin(t *testing.T) {
	system.MockInit() // one in memory; the machine's own is not touched
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "USERPROFILE", "AppData", "LocalAppData"} {
		t.Setenv(name, home)
	}
	for _, name := range []string{"OPENAI_API_KEY", "MULTIPUT_CONFIG", "MULTIPUT_PROFILE", "MULTIPUT_PROVIDER", "MULTIPUT_OPENAI_BASE_URL"} {
		t.Setenv(name, "")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
	const key = "sk-seeded-login-0123456789"
	server := &sandbox.Server{API: "openai", Dir: filepath.Join(home, "served"), Key: key}
	base, stop, err := server.Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer stop() //nolint:errcheck // it ends with the test
	t.Setenv("MULTIPUT_OPENAI_BASE_URL", base)
	file := filepath.Join(home, "a.jsonl")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(home, "mine.yaml")
	if err := os.WriteFile(mine, []byte(mineYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(code int, stdin io.Reader, args ...string) (stdout, stderr string) {
		t.Helper()
		var out, messages bytes.Buffer
		a := app{stdin: stdin, stdout: &out, stderr: &messages, journal: openJournal, remote: func(string) string { return "" }}
		if got := a.run(t.Context(), args); got != code {
			t.Errorf("%v: exit code %d, want %d: %s", args, got, code, messages.String())
		}
		if strings.Contains(out.String()+messages.String(), key) {
			t.Errorf("%v shows the key", args)
		}
		return out.String(), messages.String()
	}
	says := func(text, what string) {
		t.Helper()
		if !strings.Contains(text, what) {
			t.Errorf("it says %q, not %q", text, what)
		}
	}
	upload := []string{"upload", "-p", "openai", "--set", "purpose=batch", file}
	run(exitDenied, nil, upload...)

	_, messages := run(0, strings.NewReader(key+"\n"), "login", "openai")
	says(messages, "the API key of OpenAI for http://127.0.0.1:")
	out, _ := run(0, nil, upload...)
	says(out, "file-")
	out, _ = run(0, nil, "config", "show", "-p", "openai", "--jq", ".key")
	says(out, `"found":true`)
	says(out, "the system's keyring")

	// The variable comes first, and login says so.
	t.Setenv("OPENAI_API_KEY", "sk-another")
	_, messages = run(0, strings.NewReader(key), "login", "openai")
	says(messages, "warning: OPENAI_API_KEY takes precedence over it")
	run(exitDenied, nil, upload...)
	t.Setenv("OPENAI_API_KEY", "")

	// The same name at another address has no key.
	_, messages = run(exitDenied, nil, append(upload, "--base-url", "http://127.0.0.1:1/v1")...)
	says(messages, "no key of openai for http://127.0.0.1:1")
	run(0, strings.NewReader("sk-of-mine-0123456789"), "login", mine)
	if err := os.WriteFile(mine, []byte(strings.Replace(mineYAML, "mine.example", "evil.example", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, messages = run(exitDenied, nil, "upload", "-p", mine, file)
	says(messages, "no key of mine for https://evil.example:443")

	_, messages = run(0, nil, "logout", "openai")
	says(messages, "is removed")
	_, messages = run(0, nil, "logout", "openai")
	says(messages, "has no API key")
	run(exitDenied, nil, upload...)
}

const mineYAML = `version: 1
name: mine
title: Mine
base: https://mine.example
auth: {header: Authorization, value: "Bearer {secret}"}
create:
  send: POST /uploads
  body: '{name: $file.name}'
  keep: '{id: .id}'
part:
  send: POST /uploads/{id}/parts
  auth: true
  receipt: .id
complete:
  send: POST /uploads/{id}/complete
  body: '{parts: [$parts[].receipt]}'
  result: .id
`
