package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"github.com/schollz/progressbar/v3"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// bar draws one line, and above it whatever else is said.
//
// While it stands there the cursor rests at its beginning: a terminal that was
// made narrower may have broken the line in two, and whatever there is of it is
// then still behind the cursor. It uses no color.
type bar struct {
	talk
	*total
	columns func() int
	ascii   bool
	line    string // what stands in the last line; empty: nothing of ours
	amid    bool   // somebody else's line is not at its end yet
}

func newBar(t talk, o Options, all *total) *bar {
	return &bar{talk: t, total: all, columns: o.Width, ascii: o.ASCII}
}

func (b *bar) event(f *file, e upload.Event) {
	if s := b.talk.line(f, b.several(), e); s != "" {
		b.above(s + "\n")
	}
	switch e := e.(type) {
	case upload.Planned:
		b.draw()
	case upload.Finished:
		b.above(f.summary(e.Report) + "\n")
	}
}

// The control sequences: what is behind the cursor goes; a line that is longer
// than the terminal is cut off instead of broken in two.
const (
	clearRest = "\x1b[J"
	noWrap    = "\x1b[?7l"
	wrap      = "\x1b[?7h"
)

// above says something in front of the bar.
func (b *bar) above(s string) {
	b.hide()
	io.WriteString(b.w, s) //nolint:errcheck // see the package doc
	b.amid = !strings.HasSuffix(s, "\n")
	b.tick()
}

// hide leaves nothing of the bar.
func (b *bar) hide() {
	if b.line != "" {
		io.WriteString(b.w, "\r"+clearRest) //nolint:errcheck // see the package doc
	}
	b.line = ""
}

func (b *bar) warn(text string) { b.above("warning: " + transport.Clean(text) + "\n") }

func (b *bar) text(p []byte) { b.above(string(p)) }

// alive says whether there is anything to draw.
func (b *bar) alive() bool {
	planned, over := 0, 0
	for _, f := range b.all {
		if f.name != "" {
			planned++
		}
		if f.done || f.over {
			over++
		}
	}
	return planned > 0 && over < max(1, b.files)
}

func (b *bar) tick() {
	if b.alive() && !b.amid {
		b.draw()
	}
}

func (b *bar) draw() {
	if line := b.render(time.Now()); line != b.line {
		b.put(line)
	}
}

func (b *bar) put(line string) {
	b.line = line
	io.WriteString(b.w, "\r"+noWrap+line+clearRest+wrap+"\r") //nolint:errcheck // see the package doc
}

// ended leaves the bar of a single upload that did not come to its end as it
// is, over the ^C of whoever ended it.
func (b *bar) ended(f *file) {
	if b.line == "" || b.several() {
		return
	}
	b.put(b.render(time.Now()))
	b.line = ""
	io.WriteString(b.w, "\n") //nolint:errcheck // see the package doc
}

func (b *bar) close() {
	b.total.files = len(b.all) // no more will come
	if !b.several() {
		for _, f := range b.all {
			b.ended(f)
		}
		return
	}
	for _, f := range b.all {
		f.over = true
	}
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
	rate, left := b.speed(now)
	for _, l := range levels {
		name, behind := b.name(l.name), b.behind(l, rate, left)
		spare := most - uniseg.StringWidth(b.picture(name, 0)+behind)
		switch {
		case !l.bar && spare >= -len(" ||"): // without what is left of a bar
			return strings.TrimSpace(fmt.Sprintf("%s%4d%%%s", name, b.percent(), behind))
		case l.bar && spare >= leastBar:
			return strings.TrimSpace(b.picture(name, min(spare, mostBar)) + behind)
		}
	}
	return "" // less than five columns
}

// picture is the name, how much is stored, and a bar of that.
func (b *bar) picture(name string, width int) string {
	n, of := b.stored(), b.size()
	if of == 0 {
		stored, all := b.parts()
		n, of = int64(stored), max(1, int64(all))
	}
	theme := progressbar.ThemeDefault
	if b.ascii {
		theme = progressbar.ThemeASCII
	}
	p := progressbar.NewOptions64(of,
		progressbar.OptionSetWriter(io.Discard),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetTheme(theme),
		progressbar.OptionSetWidth(width),
		progressbar.OptionSetDescription(name),
	)
	p.Set64(n)      //nolint:errcheck // n is at most all, and nothing is written
	p.RenderBlank() //nolint:errcheck // nothing is written
	return strings.TrimSpace(p.String())
}

// behind is what follows the picture. Its width changes as little as possible,
// so that the bar does not tremble.
func (b *bar) behind(l level, rate float64, left time.Duration) string {
	unknown := "—"
	if b.ascii {
		unknown = "-"
	}
	var s strings.Builder
	if l.bytes {
		all := ofBytes(b.size(), b.size())
		fmt.Fprintf(&s, " %*s", len(all), ofBytes(b.stored(), b.size()))
		if n := b.before(); n > 0 && l.before {
			fmt.Fprintf(&s, " (%s before)", amount(n))
		}
	}
	if stored, all := b.parts(); l.parts {
		if most := fmt.Sprint(all); b.several() {
			fmt.Fprintf(&s, "  %s", parts(stored)) // those of later files are not known yet
		} else {
			fmt.Fprintf(&s, "  %*d/%s parts", len(most), stored, most)
		}
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
			said = amount(int64(rate)) + "/s"
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
	name := b.all[len(b.all)-1].name
	dots := "…"
	if b.ascii {
		dots = ".."
		name = strings.Map(func(r rune) rune {
			if r > '~' {
				return '?'
			}
			return r
		}, name)
	}
	if uniseg.StringWidth(name) <= most {
		return name
	}
	short, width := "", uniseg.StringWidth(dots)
	for g := uniseg.NewGraphemes(name); g.Next() && width+g.Width() <= most; {
		short += g.Str()
		width += g.Width()
	}
	return short + dots
}
