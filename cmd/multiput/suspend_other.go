//go:build !unix

package main

import "github.com/multiput/multiput/pkg/progress"

// inForeground reports whether the terminal is ours to draw on. There are no jobs
// in the background here that have one.
func inForeground(int) bool { return true }

// suspendable does nothing: there is no Ctrl-Z here that stops a program.
func suspendable(*progress.Display, func()) (end func()) { return func() {} }
