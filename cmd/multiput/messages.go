package main

import (
	"fmt"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/transport"
)

// tracer tells of requests, for -vv.
func (a *app) tracer(cfg config.Config) func(string) {
	if cfg.Verbose < config.Requests || cfg.Quiet {
		return nil
	}
	return func(line string) { fmt.Fprintln(a.stderr, line) }
}

// explain tells of a decision that is about no upload yet, for -v.
func (a *app) explain(cfg config.Config, text string) {
	if cfg.Verbose < config.Decisions || cfg.Quiet {
		return
	}
	show, hide := a.watching(cfg)
	defer hide()
	fmt.Fprintln(show, transport.Line(text)) //nolint:errcheck // nothing can be done about it
}

// warnOfNetwork tells of a journal whose promises are not this machine's to keep.
func (a *app) warnOfNetwork(cfg config.Config) {
	if kind := a.remote(cfg.Journal); kind != "" {
		a.warn(cfg, fmt.Sprintf("the journal %s is on a network file system (%s): its locks and durability depend on the server; use --journal DIR for another directory", cfg.Journal, kind))
	}
}

// summarize tells the job of GitHub's, if this is one, what came of the files.
func (a *app) summarize(cfg config.Config) {
	a.actions.Summarize(func(text string) { a.warn(cfg, text) })
}

// warn says something that is about no file in particular.
func (a *app) warn(cfg config.Config, text string) {
	show, hide := a.watching(cfg)
	defer hide()
	show.Warn(text)
}
