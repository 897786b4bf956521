// Package progress shows what uploads do: as a bar on a terminal, as plain lines in
// a log, as JSON for a program, as annotations in a job of GitHub Actions. The
// English text of every upload.Event is here, in [Text].
//
// It counts what was sent: bytes whose receipt is on disk, and bytes in flight,
// which it shows apart. It takes nothing back but the bytes of a part that is
// sent again, never passes 100 %, and reaches it when all is stored. It writes to
// one writer only, and an error in writing is not an error of the upload.
//
// # Mechanism
//
// [New] makes a [Display] in one of the styles. [Display.File] gives the observer of
// one file, for upload.Uploader.Observe. A Display is an io.Writer too: other
// messages go through it, so that the bar is not torn. [Display.Aside] takes the bar
// away while something else writes to the same terminal.
//
// The reader of stderr may stop reading. [Async] is a writer that does not block
// then, so that uploads go on. [Actions] annotates warnings and errors, writes the
// summary of the job, and keeps file names and messages of servers from becoming
// commands of the runner.
//
// # Caveats
//
// Whether the writer is a terminal, and how wide, is for the caller to say: this
// package reads no environment, and opens no file but the summary of a job. A bar is
// drawn ten times a second at most, whatever happens.
package progress

import (
	"io"
	"sync"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Style is how progress is shown.
type Style string

// The styles.
const (
	Bar      Style = "bar"      // one line that is drawn again and again: for terminals
	Plain    Style = "plain"    // a few whole lines: for logs
	JSON     Style = "json"     // one object per event and line: for programs
	Warnings Style = "warnings" // of those, the warnings alone
	None     Style = "none"     // nothing, warnings included
)

// Options say how to show, and what is known of it beforehand.
type Options struct {
	Style   Style
	Verbose bool // print decisions and retries, with their reasons
	ASCII   bool // draw with ASCII only

	// Width gives that of the terminal in columns. It is asked whenever the bar
	// is drawn. Nil, or an answer below 1: 80.
	Width func() int

	Hint Hint // goes behind warnings

	Color   bool // color results, warnings and errors
	Title   bool // show progress in the title of the terminal (OSC 0)
	Taskbar bool // show progress in the taskbar (OSC 9;4)

	// Active reports whether this program may draw on the terminal: not in the
	// background. Nil: it is.
	Active func() bool

	Paths bool  // show the path of a file that is alone, and not the name at the provider
	Files int   // how many there are; below 2, the file itself is shown
	Bytes int64 // of all of them together, as far as that is known
}

// Display shows one or several uploads. It is an io.Writer for other messages: a whole line appears above the bar, or in
// an object of its own.
type Display struct {
	mu      sync.Mutex
	view    view
	total   *total
	waits   *waits
	stop    chan struct{}
	stopped chan struct{}
}

// view is one style. Its methods are called one at a time.
type view interface {
	event(f *file, e upload.Event) // f has counted it already
	warn(text string)              // that is about no file in particular
	ended(f *file)                 // it has no further events
	tick()                         // a moment passed
	text(p []byte)                 // from another writer
	close()
}

// tickEvery is how often a bar is drawn. Nothing else draws it, so that many
// small parts cost no more than a few large ones.
const tickEvery = 100 * time.Millisecond

// New gives a display that writes to w. Close ends it.
func New(w io.Writer, o Options) *Display {
	t, waits := &total{files: o.Files, paths: o.Paths, bytes: o.Bytes, began: time.Now()}, &waits{every: lifeEvery}
	d := &Display{total: t, waits: waits, stop: make(chan struct{}), stopped: make(chan struct{})}
	messages := messages{w: w, hint: o.Hint, verbose: o.Verbose, color: o.Color, terminal: o.Style == Bar, stopping: new(bool)}
	switch o.Style {
	case Bar:
		waits.every = 0 // the bar shows each, so that the end of each is reported
		d.view = newBar(messages, o, t, waits)
	case Plain:
		d.view = &plain{messages: messages, total: t, waits: waits}
	case JSON, Warnings:
		waits.every = 0
		d.view = &objects{w: w, hint: o.Hint, total: t, waits: waits, warnings: o.Style == Warnings, verbose: o.Verbose}
	default:
		d.view = &silence{w: w}
	}
	go d.run()
	return d
}

func (d *Display) run() {
	defer close(d.stopped)
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-d.stop:
			return
		case now := <-t.C:
			d.mu.Lock()
			d.total.sample(now, d.waits.still(now))
			d.view.tick()
			d.mu.Unlock()
		}
	}
}

// To sets the host that the next files are uploaded to.
func (d *Display) To(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waits.to = host
}

// File gives the observer of the upload of one file, called as the user named
// it, and a function to call when it has ended: after that the next line may be written.
func (d *Display) File(path string) (observe func(upload.Event), end func()) {
	f := &file{path: path, byPath: d.total.paths}
	d.mu.Lock()
	d.total.begin(f)
	d.waits.open++
	d.mu.Unlock()
	observe = func(e upload.Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.total.count(f, e)
		d.waits.count(f, e)
		d.view.event(f, e)
	}
	return observe, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.total.change(f, func() { f.over, f.sending = true, 0 })
		d.waits.ended(f)
		d.view.ended(f)
	}
}

// Warn prints a warning that concerns no single file.
func (d *Display) Warn(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.warn(text)
}

// Write shows whole lines of another writer.
func (d *Display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.text(p)
	return len(p), nil
}

// Aside clears the bar while another writer writes to the same terminal by
// another way, as to stdout.
func (d *Display) Aside(write func() error) error {
	b, drawn := d.view.(*bar)
	if !drawn {
		return write()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b.hide()
	defer b.tick()
	return write()
}

// Release removes the bar for good, for a program that ends immediately. It does
// not wait for anything.
func (d *Display) Release() {
	b, drawn := d.view.(*bar)
	if !drawn || !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	b.left = true
	b.hide()
}

// Close prints the summary of several files, and leaves
// the cursor at the beginning of a line. It is called once.
func (d *Display) Close() {
	close(d.stop)
	<-d.stopped
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.close()
}

// silence is the style that shows nothing.
type silence struct{ w io.Writer }

func (s *silence) event(*file, upload.Event) {}
func (s *silence) warn(string)               {}
func (s *silence) ended(*file)               {}
func (s *silence) tick()                     {}
func (s *silence) close()                    {}
func (s *silence) text(p []byte)             { s.w.Write(p) } //nolint:errcheck // see the package doc
