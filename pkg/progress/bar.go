package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rivo/uniseg"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// bar draws one line, and prints messages above it.
//
// While it stands there the cursor rests at its beginning: a terminal that was
// made narrower may have broken the line in two, and whatever there is of it is
// then still behind the cursor.
type bar struct {
	messages
	*total
	*waits
	titles
	columns func() int
	active  func() bool // whether the terminal is ours; nil: always
	ascii   bool
	drawn   time.Time
	line    string // content of the last line; empty: nothing of the bar
	left    bool   // nothing more is drawn
	amid    bool   // a line of another writer is not complete yet
}

func newBar(t messages, o Options, all *total, w *waits) *bar {
	return &bar{messages: t, total: all, waits: w, columns: o.Width, active: o.Active, ascii: o.ASCII, titles: titles{titled: o.Title, taskbar: o.Taskbar}}
}

func (b *bar) event(f *file, e upload.Event) {
	if s := b.messages.line(f, b.several(), e); s != "" {
		b.above(s + "\n")
	}
	switch e := e.(type) {
	case upload.Planned, upload.Finishing:
		if !b.several() || b.line == "" {
			b.draw()
		}
	case upload.Finished:
		b.goesOn(b.over())
		b.above(b.succeeded(f.summary(b.several(), e.Report)) + "\n")
	}
}

// The control sequences: what is behind the cursor goes; a line that is longer
// than the terminal is cut off instead of broken in two.
const (
	clearRest = "\x1b[J"
	noWrap    = "\x1b[?7l"
	wrap      = "\x1b[?7h"
)

// above prints a message above the bar.
func (b *bar) above(s string) {
	b.hide()
	io.WriteString(b.w, s) //nolint:errcheck // see the package doc
	b.amid = !strings.HasSuffix(s, "\n")
	if !b.several() || time.Since(b.drawn) >= tickEvery {
		b.tick() // many small files must not cost a redraw each
	}
}

// hide removes the bar.
func (b *bar) hide() {
	if !b.alive() {
		io.WriteString(b.w, b.titles.restore()) //nolint:errcheck // see the package doc
	}
	if b.line != "" {
		io.WriteString(b.w, "\r"+clearRest) //nolint:errcheck // see the package doc
	}
	b.line = ""
}

func (b *bar) warn(text string) { b.above(b.warning(transport.Clean(text)) + "\n") }

func (b *bar) text(p []byte) { b.above(string(p)) }

// alive says whether there is anything to draw: a plan, or what is waited for
// before there is one.
func (b *bar) alive() bool {
	begun := b.planned() || len(b.all) > 0 && !b.waits.since.IsZero()
	return begun && !b.left && b.sum.ended < max(1, b.files)
}

func (b *bar) tick() {
	now := time.Now()
	_, over := b.waits.tell(now)
	b.goesOn(over)
	if b.alive() && !b.amid {
		b.draw()
	}
}

// ours reports whether the terminal is: a program in the background draws nothing.
func (b *bar) ours() bool { return b.active == nil || b.active() }

// goesOn prints that a wait is over which the bar showed.
func (b *bar) goesOn(after time.Duration) {
	if after > 0 && b.ours() {
		b.above(continuing(after) + "\n")
	}
}

func (b *bar) draw() {
	if !b.ours() {
		b.line = "" // the program that has the terminal now has overwritten it
		return
	}
	now := time.Now()
	if line := b.render(now); line != b.line && line != "" {
		io.WriteString(b.w, b.titles.show(b.percent(), b.name(60), b.failing())) //nolint:errcheck // see the package doc
		b.put(line)
	}
}

func (b *bar) put(line string) {
	b.line, b.drawn = line, time.Now()
	io.WriteString(b.w, "\r"+noWrap+line+clearRest+wrap+"\r") //nolint:errcheck // see the package doc
}

// ended leaves the bar of a single upload that did not come to its end as it
// is, over the ^C of the user.
func (b *bar) ended(*file) {
	if b.line == "" || b.several() {
		return
	}
	io.WriteString(b.w, b.titles.restore()) //nolint:errcheck // see the package doc
	b.put(b.render(time.Now()))
	b.line = ""
	io.WriteString(b.w, "\n") //nolint:errcheck // see the package doc
}

func (b *bar) close() {
	b.total.files = len(b.all) // there will be no more
	if !b.several() {
		for _, f := range b.all {
			b.ended(f)
		}
		return
	}
	b.left = true
	b.above(b.summary() + "\n")
}

// level is how much is left out of a line so that it fits.
type level struct {
	before, parts, rate bool // whether these are said
	bar, left, bytes    bool
	name                int // columns
}

// levels are what is left out, the least important first. How much is stored is
// always said.
var levels = []level{
	{before: true, parts: true, rate: true, bar: true, left: true, bytes: true, name: 24},
	{parts: true, rate: true, bar: true, left: true, bytes: true, name: 24},
	{rate: true, bar: true, left: true, bytes: true, name: 24},
	{rate: true, bar: true, left: true, bytes: true, name: 12},
	{bar: true, left: true, bytes: true, name: 12},
	{bar: true, left: true, bytes: true, name: 8},
	{left: true, bytes: true, name: 8},
	{left: true, bytes: true},
	{left: true},
	{},
}

// waitLevels are those of a line that says what is waited for: this matters more
// than how many bytes there are.
var waitLevels = []level{
	{before: true, parts: true, bar: true, bytes: true, name: 24},
	{parts: true, bar: true, bytes: true, name: 24},
	{bar: true, bytes: true, name: 24},
	{bar: true, name: 24},
	{bar: true, name: 12},
	{name: 12},
	{name: 8},
	{},
}

// Of the picture itself, in columns.
const (
	leastBar = 6
	mostBar  = 24
)

// render gives the line as it is to be in the terminal as it is now.
func (b *bar) render(now time.Time) string {
	columns := 0
	if b.columns != nil {
		columns = b.columns()
	}
	if columns < 1 {
		columns = 80
	}
	// In the last column the cursor would stand on the next line, for some.
	most := columns - 1
	forms := b.status(now)
	if len(forms) == 0 && len(b.all) > 0 && !b.planned() {
		return ""
	}
	said := waitLevels
	if len(forms) == 0 {
		forms, said = []string{""}, levels
	}
	status := ""
	for _, status = range forms {
		if b.ascii {
			status = strings.ReplaceAll(status, "…", "...")
		}
		for _, l := range said {
			if line := b.fit(l, now, status, most); line != "" {
				return line
			}
		}
	}
	if most < len("100%") {
		return ""
	}
	line := strings.TrimSpace(b.head(0) + " " + status)
	if !b.planned() {
		line = status
	}
	return b.short(line, most)
}

// fit is the line with what a level has of it; empty: it takes more columns.
func (b *bar) fit(l level, now time.Time, status string, most int) string {
	rate, left := b.speed(now)
	head, behind := b.head(l.name), b.behind(l, rate, left, status)
	if !b.planned() {
		head, behind = b.name(l.name), "  "+status
	}
	if head == "" {
		behind = status // there is no plan yet
	}
	spare := most - uniseg.StringWidth(head+behind)
	if !l.bar || !b.planned() {
		if spare < 0 {
			return ""
		}
		return strings.TrimSpace(head + b.paintStatus(behind, status))
	}
	width := min(spare-len(" ||"), mostBar)
	if width < leastBar {
		return ""
	}
	if status != "" {
		width = max(leastBar, width-width%4) // the times in a status have more and fewer digits
	}
	return strings.TrimSpace(head + " |" + b.picture(width) + "|" + b.paintStatus(behind, status))
}

// paintStatus colors a status in what stands behind the bar.
func (b *bar) paintStatus(behind, status string) string {
	if status == "" || !b.failing() {
		return behind
	}
	return strings.TrimSuffix(behind, status) + Paint(b.color, Yellow, status)
}

// head is the name and the percentage.
func (b *bar) head(columns int) string {
	if name := b.name(columns); name != "" {
		return fmt.Sprintf("%s %3d%%", name, b.percent())
	}
	return fmt.Sprintf("%d%%", b.percent())
}

// picture is the bar itself, in so many columns.
func (b *bar) picture(width int) string {
	stored, sent, all := b.stored(), b.gone(), b.size()
	if all == 0 {
		n, of := b.parts()
		stored, sent, all = int64(n), int64(n), int64(of)
	}
	t := blocks
	if b.ascii {
		t = ascii
	}
	return t.picture(stored, sent, all, width, b.color)
}

// behind is what follows the picture. Its width changes as little as possible,
// so that the bar does not flicker.
func (b *bar) behind(l level, rate float64, left time.Duration, status string) string {
	unknown := "—"
	if b.ascii {
		unknown = "-"
	}
	var s strings.Builder
	if l.bytes {
		all := ofBytes(b.size(), b.size())
		fmt.Fprintf(&s, " %*s", len(all), ofBytes(b.gone(), b.size()))
		if n := b.before(); n > 0 && l.before {
			fmt.Fprintf(&s, " (%s before)", text.Bytes(n))
		}
	}
	if stored, all := b.parts(); l.parts {
		if most := fmt.Sprint(all); b.several() {
			fmt.Fprintf(&s, "  %s", count(stored, "part")) // those of later files are not known yet
		} else {
			fmt.Fprintf(&s, "  %*d/%s parts", len(most), stored, most)
		}
	}
	if status != "" {
		return s.String() + "  " + status
	}
	if b.completing() {
		if l.left {
			s.WriteString("  completing")
		}
		return s.String()
	}
	if l.rate {
		said := ""
		if rate >= 0 {
			said = text.Rate(rate)
		}
		fmt.Fprintf(&s, "  %8s", said)
	}
	if l.left {
		fmt.Fprintf(&s, "  %-3s", remaining(left, unknown))
	}
	return s.String()
}

// name says what is being uploaded, in so many columns.
func (b *bar) name(most int) string {
	if most == 0 {
		return ""
	}
	if b.several() {
		for _, form := range []string{"%d of %d files", "%d/%d files", "%d/%d"} {
			if s := fmt.Sprintf(form, b.done(), b.files); len(s) <= most {
				return s
			}
		}
		return ""
	}
	if len(b.all) == 0 {
		return ""
	}
	f := b.all[len(b.all)-1]
	return b.short(f.label(false), most)
}

// short cuts a text to so many columns, and shows that it did.
func (b *bar) short(s string, most int) string {
	dots := "…"
	if b.ascii {
		dots = ".."
		s = strings.Map(func(r rune) rune {
			if r > '~' {
				return '?'
			}
			return r
		}, s)
	}
	if uniseg.StringWidth(s) <= most {
		return s
	}
	short, width := "", uniseg.StringWidth(dots)
	for g := uniseg.NewGraphemes(s); g.Next() && width+g.Width() <= most; {
		short += g.Str()
		width += g.Width()
	}
	return short + dots
}
