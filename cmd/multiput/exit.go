package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// The exit codes tell a script what to do next; docs/scripts.md is their
// reference.
const (
	exitFailed   = 1
	exitUsage    = 64
	exitData     = 65
	exitNoInput  = 66
	exitJournal  = 73
	exitOutput   = 74
	exitAgain    = 75
	exitDoubt    = 76
	exitDenied   = 77
	exitConfig   = 78
	exitSignaled = 128 // and the signal's number
)

// urgency orders the exit codes of several files: the first of these that
// occurred is the program's. Signals come before all.
var urgency = []int{exitDoubt, exitData, exitOutput, exitJournal, exitDenied, exitConfig, exitFailed, exitNoInput, exitUsage, exitAgain, 0}

// worse gives the more urgent of two exit codes.
func worse(a, b int) int {
	rank := func(code int) int {
		if code > exitSignaled {
			return -1
		}
		return slices.Index(urgency, code)
	}
	if rank(b) < rank(a) {
		return b
	}
	return a
}

// failure is what went wrong, with what is known of where.
type failure struct {
	err     error
	file    string // as the user named it; may be empty
	name    string // that the user gave it; empty: its own
	piped   bool   // whether it is standard input that can be read once only
	report  upload.Report
	keyEnv  string // the variable of the provider's key
	keyFrom string // where else the key came from; empty: from keyEnv
	base    string // the address that replaced the provider's own; may be empty
	stopped string // what to say of an interruption; empty: how much is stored
	command string // the command that runs; tell knows it
	planned bool   // whether a plan says which upload it is
	several bool   // whether there are other files, so that this one is to be named
	sized   bool   // whether the user chose the size of parts
	limited bool   // whether the user limited the rate
}

// keyed is the failure of what needs the key of a provider.
func keyed(err error, d *provider.Definition, cfg config.Config) failure {
	return failure{err: err, keyEnv: d.KeyEnv(), keyFrom: cfg.KeySource()}
}

// id is what list, show and the like call the upload.
func (f failure) id() string { return short(journal.ID(f.report.Target, f.report.File.Path)) }

// tell prints an error with its hint on stderr and gives its exit code.
func (a *app) tell(f failure) int {
	f.command = a.command
	c := classOf(f.err)
	code, message, hint := c.code, f.err.Error(), c.hint(f)
	var i interrupted
	if code == exitSignaled && errors.As(f.err, &i) {
		code = i.exitCode()
		if message = f.stopped; message == "" {
			message = interruptedMessage(f)
		}
		if f.several {
			message = transport.Visible(f.file) + ": " + message
		}
	} else if errors.Is(f.err, context.Canceled) && code != exitDoubt {
		code = exitAgain
	}
	if f.file != "" && !strings.HasPrefix(message, f.report.File.Path+" ") && !strings.HasPrefix(message, f.report.File.Path+":") && !strings.HasPrefix(message, f.file+":") && code < exitSignaled && !errors.Is(f.err, upload.ErrNoInput) {
		message = transport.Visible(f.file) + ": " + message
	}
	a.actions.Failed(progress.Failure{File: f.file, Report: f.report, Code: code, Message: message, Hint: hint}, a.json)
	if a.json {
		o := map[string]any{"kind": c.kind, "message": message, "exit_code": code}
		if hint != "" {
			o["hint"] = hint
		}
		var t *transport.Error
		if errors.As(f.err, &t) && t.RequestID != "" {
			o["request_id"] = t.RequestID
		}
		all := map[string]any{"schema": 1, "error": o}
		if f.file != "" {
			all["file"] = f.file
		}
		b, err := json.Marshal(all)
		if err == nil {
			fmt.Fprintf(a.stderr, "%s\n", transport.VisibleJSON(b))
			return code
		}
	}
	// Names of files and words of servers are in both.
	message, hint = a.lines(message, f), a.lines(hint, f)
	if code > exitSignaled {
		fmt.Fprintln(a.stderr, message)
		return code
	}
	fmt.Fprintf(a.stderr, "%s %s\n", progress.Paint(a.color, progress.Red, "multiput:"), message)
	if hint != "" {
		fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	return code
}

// lines is a message as a terminal may have it. It may have several lines, but
// none of them begins in a name that the user gave.
func (a *app) lines(message string, f failure) string {
	names := []string{f.file, f.report.File.Path, f.report.File.Name}
	for _, arg := range a.args {
		_, value, _ := strings.Cut(arg, "=")
		names = append(names, arg, value)
	}
	for _, name := range names {
		abs, _ := filepath.Abs(name)
		for _, name := range []string{abs, filepath.Base(name), name} {
			if strings.ContainsAny(name, "\n\t") {
				message = strings.ReplaceAll(message, name, transport.Visible(name))
			}
		}
	}
	return transport.VisibleLines(message)
}

func interruptedMessage(f failure) string {
	r := f.report
	var t *transport.Error
	switch {
	case r.Parts == 0 && errors.As(f.err, &t) && t.Status == 0 && !t.Unsent:
		return "interrupted: create was not answered, and the provider may have an upload that stays unused. Run the same command again to start."
	case f.piped && r.PartsStored > 0:
		return fmt.Sprintf("interrupted: %d of %d parts are stored. A pipe cannot be read again: %s.", r.PartsStored, r.Parts, asFile(r.File.Name))
	case f.piped && r.Parts > 0:
		return fmt.Sprintf("interrupted: 0 of %d parts are stored. Run the whole command again.", r.Parts)
	case r.Parts == 0:
		return "interrupted: nothing was sent yet. Run the same command again to start."
	}
	return fmt.Sprintf("interrupted: %d of %d parts are stored. Run the same command again to continue.", r.PartsStored, r.Parts)
}

// severalError ends a command whose failures were reported one by one.
type severalError struct{ code int }

func (e *severalError) Error() string { return "not every file is uploaded" }
