package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/provider/check"
	"github.com/multiput/multiput/pkg/upload"
)

// app is the program with everything that it takes from the outside.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	screen         screen            // what stderr is
	shown          bool              // whether stdout is a terminal
	closedIn       bool              // whether stdin was closed
	actions        *progress.Actions // nil: this is not a job of GitHub Actions
	journal        func(dir string, warn func(string)) upload.Journal
	remote         func(path string) string // the kind of network file system that a path is on

	display *progress.Display // where messages go; nil: there is none
	flush   func()            // writes out what was said on stderr; known while a display is there
	limit   *rate.Limiter     // of all that is sent; nil: none

	drawn    atomic.Pointer[drawn] // the bar; nil: there is none
	outcomes outcomes              // that are unclear

	color bool // whether messages have colors; known once the configuration is

	json bool // whether errors are printed as JSON; known once flags are read

	record *check.Transcript // of provider check --record; nil: nothing is written down

	args    []string // the command line
	command string   // the one that runs, as its help calls it
}

// usageError is a command line that cannot be meant.
type usageError struct {
	err error
	cmd string // the command whose help says more; empty: the one that runs
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// run executes a command line and gives the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	a.stderr = a.actions.Guard(a.stderr)
	out := &watched{w: a.stdout}
	a.stdout = out
	root := a.root()
	args = streamsLast(args)
	root.SetArgs(args)
	a.args = args
	// Known before the command line is: what is wrong with it is an object too.
	a.json = config.WantsJSON(args)
	a.color = a.colored(os.Getenv("MULTIPUT_COLOR"))
	cmd, err := root.ExecuteContextC(ctx)
	if out.err != nil && (err == nil || errors.Is(err, out.err)) && !typed[*outputError](err) {
		err = unwritten(out.err) // cobra's own commands do not say so
	}
	if err == nil {
		return 0
	}
	var several *severalError
	if errors.As(err, &several) {
		return several.code // each was reported when it occurred
	}
	var own *ownExit
	if errors.As(err, &own) {
		return own.code
	}
	a.command = cmd.CommandPath()
	if brokenPipe(err) {
		return 0 // the reader has closed the pipe, as head does
	}
	if f := cmd.Flags().Lookup("color"); f != nil && f.Changed {
		a.color = a.colored(f.Value.String())
	}
	return a.tell(failure{err: err})
}

// streamsLast has standard input as list shows it, "- (NAME)", pass for no flag.
func streamsLast(args []string) []string {
	var others, streams []string
	for i, arg := range args {
		if arg == "--" {
			streams = append(streams, args[i+1:]...)
			break
		}
		if strings.HasPrefix(arg, stdin+" (") && (i == 0 || args[i-1] != "--name") {
			streams = append(streams, arg)
		} else {
			others = append(others, arg)
		}
	}
	if len(streams) == 0 {
		return args
	}
	return append(append(others, "--"), streams...)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "multiput",
		Short: "Upload large files in parts, and resume where the last run stopped",
		Long: `multiput uploads large files to any API that takes them in parts: create an
upload, PUT its parts to presigned URLs, complete it. If it is interrupted, run
the same command again: it sends only the missing parts.`,
		Example: `  multiput upload big.bin -p sandbox
  id=$(multiput upload training.jsonl -p openai --set purpose=fine-tune)
  multiput upload video.mp4 -p archetype -j 16`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	// What goes wrong with one file of many is told while the command runs.
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { a.command = c.CommandPath() }
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	config.GlobalFlags(root.PersistentFlags())
	root.PersistentFlags().BoolP("help", "h", false, "print this help")
	root.Flags().BoolP("version", "V", false, "print the version")
	root.AddCommand(a.uploadCmd(), a.listCmd(), a.showCmd(), a.resumeCmd(), a.abortCmd(), a.pruneCmd())
	root.AddCommand(a.planCmd(), a.putCmd(), a.completeCmd())
	root.AddCommand(a.providerCmd(), a.configCmd(), a.loginCmd(), a.logoutCmd(), a.sandboxCmd(), a.doctorCmd(), a.versionCmd(), manCmd(root))
	root.SetHelpCommand(helpCmd())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		c.Short = "Print the completion script of a shell"
		c.Long = `Print the completion script of a shell. The help of each shell's command says
how to load it.`
	}
	root.SetUsageFunc(usage)
	completions(root)
	a.asUsage(root)
	return root
}

// group makes c a command that only has others below it. multiput alone prints
// its help; any other group needs a command.
func (a *app) group(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if f := c.Flags().Lookup("version"); f != nil && f.Changed {
			return a.printVersion(c)
		}
		switch {
		case len(args) > 0:
			return unknownCommand(c, args[0])
		case !c.HasParent() && c.Flags().NFlag() == 0:
			return c.Help()
		}
		return &usageError{errors.New("a command is missing"), c.CommandPath()}
	}
}

// unknownCommand suggests what may be meant: a command, or upload where a file
// of that name is there.
func unknownCommand(c *cobra.Command, word string) error {
	meant := meantCommand(c, []string{word})
	if meant == "" && !c.HasParent() {
		if _, err := os.Stat(word); err == nil {
			meant = fmt.Sprintf(" (did you mean multiput upload %s?)", quoted(word))
		}
	}
	return &usageError{fmt.Errorf("unknown command %q%s", word, meant), c.CommandPath()}
}

// meantCommand suggests the command below c that may be meant by the last of
// args.
func meantCommand(c *cobra.Command, args []string) string {
	word := args[len(args)-1]
	if s := c.SuggestionsFor(word); word != "" && len(s) > 0 { // every name begins with an empty one
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(s, " or "))
	}
	return ""
}

// asUsage makes whatever is wrong with a command line a usageError, for a
// command and those under it: flags, arguments, a group without a subcommand.
func (a *app) asUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(a.flagError)
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
		a.group(c)
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err != nil && !typed[*usageError](err) {
				err = &usageError{otherArguments(c, args), c.CommandPath()}
			}
			return err
		}
	}
	for _, sub := range c.Commands() {
		a.asUsage(sub)
	}
}

// otherArguments: a command was not given the arguments that its usage line has.
// What was given is not shown: it may be an API key.
func otherArguments(c *cobra.Command, args []string) error {
	given := fmt.Sprintf("%d were given", len(args))
	if len(args) == 1 {
		given = "1 was given"
	}
	_, takes, ok := strings.Cut(c.Use, " ")
	switch {
	case !ok:
		return fmt.Errorf("%s takes no arguments, but %s", c.Name(), given)
	case len(args) == 0:
		return fmt.Errorf("%s needs %s", c.Name(), takes)
	case strings.HasPrefix(takes, "["):
		return fmt.Errorf("%s takes at most one %s, but %s", c.Name(), strings.Trim(takes, "[]"), given)
	}
	return fmt.Errorf("%s needs %s, but %s", c.Name(), takes, given)
}

// flagError is what is wrong with a flag, with the one that may be meant. A
// flag behind an unknown command is not what is wrong.
func (a *app) flagError(c *cobra.Command, err error) error {
	if c.HasSubCommands() {
		if _, rest, findErr := c.Root().Find(a.args); findErr == nil {
			if word := firstWord(c, rest); word != "" {
				return unknownCommand(c, word)
			}
		}
	}
	return flagError(c, err)
}

// firstWord is the first of args that is neither a flag of c nor the value of
// one; empty if an unknown flag comes before it.
func firstWord(c *cobra.Command, args []string) string {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			return arg
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		f := c.Flags().Lookup(name)
		if !strings.HasPrefix(arg, "--") && name != "" {
			f = c.Flags().ShorthandLookup(name[:1])
			hasValue = hasValue || len(name) > 1
		}
		if f == nil {
			return ""
		}
		if !hasValue && f.NoOptDefVal == "" {
			i++
		}
	}
	return ""
}
