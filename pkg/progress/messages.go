package progress

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// messages writes the messages that all styles share.
type messages struct {
	w        io.Writer
	hint     Hint
	verbose  bool
	color    bool
	terminal bool
	stopping *bool // that it was told
}

// warning is a line that warns.
func (t messages) warning(text string) string { return Paint(t.color, Yellow, "warning:") + " " + text }

// succeeded is the line of a file that is uploaded.
func (t messages) succeeded(summary string) string { return paintLine(t.color, Green, summary) }

func (t messages) line(f *file, several bool, e upload.Event) string {
	of := ""
	if several && f.path != "" {
		of = f.label(true) + ": "
	}
	switch e := e.(type) {
	case upload.Warning, upload.Lost:
		return t.warning(of + t.hint.Text(e))
	case upload.Stopping:
		if e.InFlight == 0 || *t.stopping {
			return ""
		}
		*t.stopping = true // of all files
		s := fmt.Sprintf("stopping: up to %s for parts in flight", long(e.Grace))
		if t.terminal {
			s += "; Ctrl-C again to stop now"
		}
		return s
	case upload.Note, upload.Finishing:
		if t.verbose {
			return of + Text(e)
		}
	case upload.Retrying:
		if t.verbose {
			return fmt.Sprintf("%s%s: retrying in %s: %s", of, op(e), e.Wait.Round(time.Millisecond), transport.Line(e.Err.Error()))
		}
	}
	return ""
}

// label is what a file is called: among several, or below a directory, by its path.
func (f *file) label(several bool) string {
	switch {
	case (several || f.byPath) && f.path != "":
		return transport.Visible(f.path)
	case f.name == "":
		return transport.Visible(filepath.Base(f.path))
	}
	return f.name
}

// summary is the last line of an upload.
func (f *file) summary(several bool, r upload.Report) string {
	s := fmt.Sprintf("%s: %s", f.label(several), spent(r.File.Size, r.BytesSent, r.Elapsed, f.sent))
	s += ", " + count(r.Parts, "part")
	if r.Parts == 1 && r.PartsReused == 1 {
		s += ", stored before"
	} else if r.PartsReused > 0 {
		s += fmt.Sprintf(", %d of them stored before", r.PartsReused)
	}
	if r.Concurrency > 1 && r.Parts-r.PartsReused > 1 {
		s += fmt.Sprintf(", up to %d at once", r.Concurrency)
	}
	if r.Verification == upload.Unverified {
		return s + ", unverified"
	}
	return s + ", verified by " + r.Verification
}

// summary is the last line of several uploads.
func (t *total) summary() string {
	done, size, before, sent := 0, int64(0), int64(0), t.handed
	for _, f := range t.all {
		if f.done {
			done++
			size += f.size
		} else {
			sent = 0 // some of it is of no file that is done: no rate
		}
		before += f.before
	}
	s := fmt.Sprintf("%d of %d files: %s", done, max(t.files, len(t.all)), spent(size, sent, time.Since(t.began), t.sent))
	if before > 0 {
		s += fmt.Sprintf(", %s stored before", text.Bytes(before))
	}
	return s
}

// spent has the time of all, and the rate of what was sent: waiting for the provider to
// process the file says nothing about it.
func spent(size, sent int64, elapsed time.Duration, sending span) string {
	s := fmt.Sprintf("%s in %s", text.Bytes(size), took(elapsed))
	if secs := sending.of(elapsed).Seconds(); secs > 0 && sent > 0 {
		s += fmt.Sprintf(" (%s)", text.Rate(float64(sent)/secs))
	}
	return s
}

func took(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(10 * time.Millisecond)
}

// ofBytes is "4.9/7.9 GB": both in the unit of the second.
func ofBytes(n, all int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	unit, scale := 0, 1.0
	for float64(all)/scale >= 1000 && unit < len(units)-1 {
		unit++
		scale *= 1000
	}
	digits := 1
	if unit == 0 || float64(all)/scale >= 100 {
		digits = 0
	}
	// Rounded down: 100 % means that everything is stored.
	part := math.Floor(float64(n)/scale*math.Pow10(digits)) / math.Pow10(digits)
	if n >= all {
		part = float64(all) / scale
	}
	return fmt.Sprintf("%.*f/%.*f %s", digits, part, digits, float64(all)/scale, units[unit])
}

// remaining is a time to wait, no finer than is useful. Below 0 it is
// not known: unknown.
func remaining(d time.Duration, unknown string) string {
	day := 24 * time.Hour
	switch {
	case d < 0:
		return unknown
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}
