//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multiput/multiput/pkg/progress"
)

// inForeground reports whether the terminal is ours to draw on: it is not while
// the shell runs us in the background.
func inForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// suspendable has Ctrl-Z take the bar away before the program stops. It gives
// what ends that.
func suspendable(d *progress.Display, flush func()) (end func()) {
	if signal.Ignored(syscall.SIGTSTP) {
		return func() {}
	}
	stop, goes := make(chan os.Signal, 1), make(chan os.Signal, 1)
	over, ended := make(chan struct{}), make(chan struct{})
	signal.Notify(stop, syscall.SIGTSTP)
	signal.Notify(goes, syscall.SIGCONT)
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				d.Aside(func() error { //nolint:errcheck // it gives none
					flush()
					suspend(goes)
					return nil
				})
			case <-goes:
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(stop)
		signal.Stop(goes)
		close(over)
		<-ended
	}
}

// suspend stops the program as Ctrl-Z does by default, and returns
// when it goes on.
func suspend(goes <-chan os.Signal) {
	select {
	case <-goes: // an old one
	default:
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		return
	}
	select {
	case <-goes:
	case <-time.After(time.Second):
	}
}
