package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/upload"
)

// app is the program with everything that it takes from the outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	screen         screen   // what stderr is
	shown          bool     // whether stdout is a terminal
	actions        *actions // nil: this is no job of GitHub's
	journal        func(dir string, warn func(string)) upload.Journal
	remote         func(path string) string // the kind of network file system that a path is on

	flush func() // writes out what was said on stderr; known while a display is there

	json bool // whether errors are printed as JSON; known once flags are read
}

// usageError is a command line that cannot be meant.
type usageError struct {
	err error
	cmd string // the command whose help says more
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// run executes a command line and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.stderr = a.actions.guard(a.stderr)
	root := a.root()
	root.SetArgs(args)
	// Known before the command line is: what is wrong with it is an object too.
	a.json = config.WantsJSON(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	var several *severalError
	if errors.As(err, &several) {
		return several.code // each was told of when it occurred
	}
	var own *ownExit
	if errors.As(err, &own) {
		return own.code
	}
	var usage *usageError
	if errors.As(err, &usage) && usage.cmd == "" {
		usage.cmd = cmd.CommandPath()
	}
	return a.tell(failure{err: err})
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "multiput",
		Short: "Upload large files in parts, and pick up where it stopped",
		Long: `multiput uploads large files to any API that works like this: create an upload,
send its parts, complete it. Kill it anywhere and run the same command again: it
sends only what is missing.`,
		Example: `  id=$(multiput upload training.jsonl -p openai --set purpose=fine-tune)
  multiput upload video.mp4 -p archetype -j 16
  multiput upload big.bin -p sandbox`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	config.GlobalFlags(root.PersistentFlags())
	root.AddCommand(a.uploadCmd(), a.listCmd(), a.showCmd(), a.resumeCmd(), a.abortCmd(), a.pruneCmd())
	root.AddCommand(a.providerCmd(), a.configCmd(), a.loginCmd(), a.logoutCmd(), a.sandboxCmd(), a.doctorCmd(), a.versionCmd(), manCmd(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetUsageFunc(usage)
	completions(root)
	asUsage(root)
	return root
}

// meantCommand suggests the command below c that may be meant by the last of
// args.
func meantCommand(c *cobra.Command, args []string) string {
	if s := c.SuggestionsFor(args[len(args)-1]); len(s) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(s, " or "))
	}
	return ""
}

// asUsage makes whatever is wrong with a command line a usageError, for a
// command and those under it: flags, arguments, a group without a subcommand.
func asUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(flagError)
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("a command is missing"), c.CommandPath()}
			}
			return &usageError{fmt.Errorf("unknown command %q%s", args[0], meantCommand(c, args[:1])), c.CommandPath()}
		}
	}
	if c.Name() == "help" {
		c.Args = func(c *cobra.Command, args []string) error {
			if found, rest, err := c.Root().Find(args); err != nil || len(args) > 0 && found == c.Root() || len(rest) > 0 {
				return fmt.Errorf("unknown command %q%s", strings.Join(args, " "), meantCommand(found, args))
			}
			return nil
		}
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return &usageError{err, c.CommandPath()}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}
