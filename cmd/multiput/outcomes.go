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

// outcomes has the uploads whose outcome would be unknown if the program ended
// now. It is safe for concurrent use.
type outcomes struct {
	mu      sync.Mutex
	unclear map[string]failure // by file
}

// watch keeps it up to date with the events of a file, which go on to observe.
// end is called when the file is done.
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

// lastWords is how long a program that is to end at once may take to say what it
// leaves behind.
const lastWords = time.Second

// quit ends the program at once.
func (a *app) quit(code int) {
	a.leave()
	os.Exit(a.abandon(code))
}

// abandon is the exit code of a program that a second signal ends at once: code,
// or that of an unknown outcome, of which it tells.
func (a *app) abandon(code int) int {
	a.outcomes.mu.Lock()
	left := slices.Collect(maps.Values(a.outcomes.unclear))
	a.outcomes.mu.Unlock()
	if len(left) == 0 {
		return code
	}
	told := make(chan struct{})
	go func() {
		defer close(told)
		// The display is left to what still runs.
		last := &app{stderr: os.Stderr, json: a.json, color: a.color, args: a.args, actions: a.actions}
		for _, f := range left {
			f.err = fmt.Errorf("interrupted before the final request was answered: %w", upload.ErrDoubt)
			last.tell(f)
		}
	}()
	select {
	case <-told:
	case <-time.After(lastWords): // the reader of stderr has stopped
	}
	return exitDoubt
}
