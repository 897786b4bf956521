package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is why a context ended that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted" }

func (i interrupted) exitCode() int { return 128 + int(i.signal) }

// signals gives a context that the first Ctrl-C, SIGTERM or SIGHUP ends; the
// second leaves at once. A closed pipe is an error of the write, not a death.
func signals(ctx context.Context, exit func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ch := make(chan os.Signal, 2)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) { // as nohup does, and a script with what runs in its background
			signal.Notify(ch, s)
		}
	}
	// Not ignored: a command that we start would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		for first := true; ; first = false {
			s, ok := (<-ch).(syscall.Signal)
			if !ok {
				s = syscall.SIGINT
			}
			if !first {
				exit(interrupted{s}.exitCode())
			}
			cancel(interrupted{s})
		}
	}()
	return ctx, func() { signal.Stop(ch) }
}
