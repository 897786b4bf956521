// Command multiput uploads large files to any API that takes them in parts, and
// picks up where it stopped.
package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

func main() {
	limitMemory()
	a := newApp()
	ctx, stop := signals(context.Background(), a.quit)
	defer stop()
	os.Exit(a.run(ctx, os.Args[1:]))
}

// newApp is the program on the process's own streams.
func newApp() *app {
	_ = config.UseAllProxy() // fails for no name that a variable can have
	var out io.Writer = os.Stdout
	if wasClosed(os.Stdout) {
		out = closedOut{}
	}
	return &app{
		closedIn: wasClosed(os.Stdin),
		stdout:   out, stderr: os.Stderr, stdin: os.Stdin,
		screen: screenOf(os.Stderr), shown: term.IsTerminal(int(os.Stdout.Fd())),
		actions: actions(),
		journal: openJournal,
		remote:  journal.Remote,
	}
}

// actions gives nil for a program that no runner of GitHub Actions started.
func actions() *progress.Actions {
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		return nil
	}
	return &progress.Actions{Title: "multiput", Hint: warningHint, Summary: os.Getenv("GITHUB_STEP_SUMMARY")}
}

func openJournal(dir string, warn func(string)) upload.Journal {
	return &journal.Journal{Dir: dir, Warn: warn}
}
