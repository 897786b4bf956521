package main

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"
)

// said runs multiput to its end and gives all that it wrote, and its exit code.
func (r *rehearsal) said(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := r.command(t, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// command is a multiput that is still to be started.
func (r *rehearsal) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "multiput", args...)
	cmd.Env = append([]string{}, r.env...)
	return cmd
}
