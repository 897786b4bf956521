package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// interrupted is why a context ended that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "interrupted" }

func (i interrupted) exitCode() int { return 128 + int(i.signal) }

// oneSignal is how long signals count as one: GNU timeout sends two.
const oneSignal = 500 * time.Millisecond

// signals gives a context that the first Ctrl-C, SIGTERM or SIGHUP ends; the
// second leaves at once, unless it comes right behind the first. A closed pipe is an error of the write, not a death.
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
		var first time.Time
		for {
			s, ok := (<-ch).(syscall.Signal)
			if !ok {
				s = syscall.SIGINT
			}
			switch {
			case first.IsZero():
				first = time.Now()
				cancel(interrupted{s})
			case time.Since(first) >= oneSignal:
				exit(interrupted{s}.exitCode())
			}
		}
	}()
	return ctx, func() { signal.Stop(ch) }
}
