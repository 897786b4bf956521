// Package progress shows what an upload does: as a bar on a terminal, as plain
// lines in a log, as JSON for a program.
//
// It counts a byte as done when its receipt is on disk, never before, so it
// never passes 100 %. It writes to one writer only, and an error in writing is
// no error of the upload's.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Style is how progress is shown.
type Style string

// The styles.
const (
	Bar   Style = "bar"   // one line that is drawn again and again: for terminals
	Plain Style = "plain" // a few whole lines: for logs
	JSON  Style = "json"  // one object per event and line: for programs
	None  Style = "none"  // nothing, warnings included
)

// New gives the observer of one upload, which writes to w, and what ends it,
// well or not: after that the next line may be written. verbose adds what is
// tried again and why.
func New(w io.Writer, s Style, verbose bool) (observe func(upload.Event), end func()) {
	nothing := func() {}
	switch s {
	case Bar:
		b := &bar{talk: talk{w: w, verbose: verbose}}
		return b.observe, b.end
	case Plain:
		return (&plain{talk: talk{w: w, verbose: verbose}}).observe, nothing
	case JSON:
		return (&lines{w: w}).observe, nothing
	}
	return func(upload.Event) {}, nothing
}

// talk is what people are told whatever the style.
type talk struct {
	w       io.Writer
	verbose bool
}

func (t talk) line(e upload.Event) string {
	switch e := e.(type) {
	case upload.Warning:
		return "warning: " + transport.Clean(e.Text)
	case upload.Lost:
		return fmt.Sprintf("warning: part %d is sent again: %s", e.Part.Number, transport.Visible(e.Why))
	case upload.Retrying:
		if t.verbose {
			return fmt.Sprintf("%s: trying again in %s: %s", transport.Visible(e.Op), e.Wait.Round(time.Millisecond), transport.Visible(fmt.Sprint(e.Err)))
		}
	}
	return ""
}

// tally counts what is stored.
type tally struct {
	name        string
	size        int64
	parts       int
	stored      int64
	storedParts int
	started     time.Time
	reused      int64
}

func (t *tally) observe(e upload.Event) {
	switch e := e.(type) {
	case upload.Planned:
		*t = tally{
			name: transport.Visible(e.File.Name), size: e.File.Size, parts: e.Parts,
			stored: e.StoredBytes, reused: e.StoredBytes, storedParts: e.Stored, started: time.Now(),
		}
	case upload.Stored:
		t.stored += e.Part.Size
		t.storedParts++
	case upload.Lost:
		t.stored -= e.Part.Size
		t.storedParts--
	}
}

func (t *tally) summary(r upload.Report) string {
	s := fmt.Sprintf("%s: %s in %s", t.name, humanize.Bytes(uint64(r.File.Size)), r.Elapsed.Round(10*time.Millisecond))
	if secs := r.Elapsed.Seconds(); secs > 0 && r.BytesSent > 0 {
		s += fmt.Sprintf(" (%s/s)", humanize.Bytes(uint64(float64(r.BytesSent)/secs)))
	}
	s += ", " + parts(r.Parts)
	if r.PartsReused > 0 {
		s += fmt.Sprintf(", %d of them stored before", r.PartsReused)
	}
	if r.Verification == upload.Unverified {
		return s + ", unverified"
	}
	return s + ", verified by " + r.Verification
}

func parts(n int) string {
	if n == 1 {
		return "1 part"
	}
	return fmt.Sprintf("%d parts", n)
}

// plain is a line at the start, one for every tenth, one at the end.
type plain struct {
	talk
	tally
	tenth int64
}

func (p *plain) observe(e upload.Event) {
	p.tally.observe(e)
	if s := p.line(e); s != "" {
		fmt.Fprintln(p.w, s)
	}
	switch e := e.(type) {
	case upload.Planned:
		s := fmt.Sprintf("%s: %s in %s", p.name, humanize.Bytes(uint64(p.size)), parts(p.parts))
		if p.storedParts > 0 {
			s += fmt.Sprintf(", %d already stored", p.storedParts)
		}
		fmt.Fprintln(p.w, s)
		p.tenth = p.tenths()
	case upload.Stored:
		if now := p.tenths(); now > p.tenth && p.storedParts < p.parts {
			p.tenth = now
			fmt.Fprintf(p.w, "%s: %d%% (%d of %d parts)\n", p.name, p.stored*100/p.size, p.storedParts, p.parts)
		}
	case upload.Ended:
		if p.name == "" {
			p.name = transport.Visible(e.Report.File.Name)
		}
		fmt.Fprintln(p.w, p.summary(e.Report))
	}
}

func (p *plain) tenths() int64 {
	if p.size == 0 {
		return 0
	}
	return p.stored * 10 / p.size
}

// bar draws one line. How far it is, is what is stored; the bytes, the rate and
// the time left in front of it count what is on its way too, so that it moves.
type bar struct {
	talk
	tally
	bar    *progressbar.ProgressBar
	flying int64 // bytes that were handed to the network and are not stored yet
	drawn  time.Time
}

func (b *bar) observe(e upload.Event) {
	b.tally.observe(e)
	if s := b.line(e); s != "" {
		if b.bar != nil {
			b.bar.Clear() //nolint:errcheck // see the package doc
		}
		fmt.Fprintln(b.w, s)
	}
	switch e := e.(type) {
	case upload.Planned:
		b.flying = 0
		b.bar = progressbar.NewOptions64(max(1, b.size),
			progressbar.OptionSetWriter(b.w),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetWidth(20),
		)
		b.draw()
	case upload.Sent:
		b.flying += e.Bytes
		if time.Since(b.drawn) > 100*time.Millisecond {
			b.draw()
		}
	case upload.Stored:
		b.flying -= e.Part.Size
		b.draw()
	case upload.Lost:
		b.draw()
	case upload.Ended:
		if b.bar != nil {
			b.bar.Clear() //nolint:errcheck // see the package doc
			b.bar = nil
		}
		if b.name == "" {
			b.name = transport.Visible(e.Report.File.Name)
		}
		fmt.Fprintln(b.w, b.summary(e.Report))
	}
}

// maxName is how many characters of a file's name stand before its bar.
const maxName = 20

func (b *bar) draw() {
	b.drawn = time.Now()
	name := []rune(b.name)
	if len(name) > maxName {
		name = append(name[:maxName-1], '…')
	}
	gone := min(b.size, b.stored+max(0, b.flying))
	s := fmt.Sprintf("%s %s/%s", string(name), humanize.Bytes(uint64(gone)), humanize.Bytes(uint64(b.size)))
	if since := time.Since(b.started); since > time.Second && gone > b.reused {
		rate := float64(gone-b.reused) / since.Seconds()
		left := time.Duration(float64(b.size-gone) / rate * float64(time.Second))
		s += fmt.Sprintf(" %s/s %s", humanize.Bytes(uint64(rate)), left.Round(time.Second))
	}
	b.bar.Describe(s)
	b.bar.Set64(min(b.stored, b.size)) //nolint:errcheck // see the package doc
}

// end leaves a bar that did not come to its end as it is.
func (b *bar) end() {
	if b.bar != nil {
		b.draw()
		fmt.Fprintln(b.w)
	}
}

// lines is one JSON object per event.
type lines struct{ w io.Writer }

func (l *lines) observe(e upload.Event) {
	var o map[string]any
	switch e := e.(type) {
	case upload.Planned:
		o = map[string]any{"event": "planned", "file": e.File.Path, "upload": e.Upload, "size": e.File.Size, "parts": e.Parts, "parts_stored": e.Stored, "bytes_stored": e.StoredBytes}
	case upload.Stored:
		o = map[string]any{"event": "stored", "part": e.Part.Number, "bytes": e.Part.Size}
	case upload.Lost:
		o = map[string]any{"event": "lost", "part": e.Part.Number, "bytes": e.Part.Size, "why": e.Why}
	case upload.Retrying:
		o = map[string]any{"event": "retrying", "op": e.Op, "error": e.Err.Error(), "wait_seconds": e.Wait.Seconds()}
	case upload.Warning:
		o = map[string]any{"event": "warning", "text": transport.Clean(e.Text)}
	case upload.Ending:
		o = map[string]any{"event": "completing"}
	case upload.Ended:
		o = map[string]any{"event": "done", "file": e.Report.File.Path, "verification": e.Report.Verification}
	default:
		return // bytes in flight are too many to tell
	}
	o["schema"] = 1
	if b, err := json.Marshal(o); err == nil {
		l.w.Write(append(transport.VisibleJSON(b), '\n')) //nolint:errcheck // see the package doc
	}
}
