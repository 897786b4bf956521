package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// outcomes holds the uploads whose outcome would be unknown if the program exited
// now. It is safe for concurrent use.
type outcomes struct {
	mu      sync.Mutex
	unclear map[string]failure // by file
}

// watch updates o with the events of a file and passes them to observe. The caller
// calls end when the file is done.
func (o *outcomes) watch(f failure, observe func(upload.Event)) (_ func(upload.Event), end func()) {
	set := func(unclear bool) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !unclear {
			delete(o.unclear, f.file)
			return
		}
		if o.unclear == nil {
			o.unclear = map[string]failure{}
		}
		o.unclear[f.file] = f
	}
	return func(e upload.Event) {
		if e, ok := e.(upload.Unclear); ok {
			f.report = e.Report
			set(e.Is)
		}
		observe(e)
	}, func() { set(false) }
}

// exitReport is how long a program that exits immediately may take to report
// uploads with an unknown outcome.
const exitReport = time.Second

// quit exits immediately.
func (a *app) quit(code int) {
	a.releaseTerminal()
	os.Exit(a.abandon(code))
}

// abandon returns the exit code after a second signal: code or, after reporting the
// uploads with an unknown outcome, exitDoubt.
func (a *app) abandon(code int) int {
	a.outcomes.mu.Lock()
	left := slices.Collect(maps.Values(a.outcomes.unclear))
	a.outcomes.mu.Unlock()
	if len(left) == 0 {
		return code
	}
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		// The display belongs to the goroutines that still run.
		last := &app{stderr: os.Stderr, json: a.json, color: a.color, args: a.args, actions: a.actions}
		for _, f := range left {
			f.err = fmt.Errorf("interrupted before the final request was answered: %w", upload.ErrDoubt)
			last.tell(f)
		}
	}()
	select {
	case <-reported:
	case <-time.After(exitReport): // the reader of stderr has stopped
	}
	return exitDoubt
}
