package progress

import (
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// lifeEvery is after how long there is a sign of life.
const lifeEvery = 30 * time.Second

// plain is a line at the start, one for each tenth, one at the end, and one
// after every long silence. None has a control character in it.
type plain struct {
	talk
	*total
	tenth int
	said  time.Time // when there was a line last; zero: none yet
}

func (p *plain) say(format string, args ...any) {
	fmt.Fprintf(p.w, format+"\n", args...)
	p.said, p.tenth = time.Now(), p.percent()/10
}

func (p *plain) event(f *file, e upload.Event) {
	if p.said.IsZero() && p.several() {
		p.say("%d files: %s", p.files, amount(p.size()))
	}
	if s := p.line(f, p.several(), e); s != "" {
		fmt.Fprintln(p.w, s)
	}
	switch e := e.(type) {
	case upload.Planned:
		s := fmt.Sprintf("%s: %s in %s", f.name, amount(f.size), parts(f.parts))
		if f.storedParts > 0 {
			s += fmt.Sprintf(", %d already stored", f.storedParts)
		}
		if !p.several() || f.storedParts > 0 {
			p.say("%s", s)
		}
	case upload.Stored:
		if p.percent()/10 > p.tenth && p.percent() < 100 {
			p.far()
		}
	case upload.Finished:
		p.say("%s", f.summary(e.Report))
	}
}

// far says how far it is.
func (p *plain) far() {
	stored, all := p.parts()
	what := fmt.Sprintf("%d of %s", stored, parts(all))
	name := fmt.Sprintf("%d of %d files", p.done(), p.files)
	if !p.several() {
		name = p.all[len(p.all)-1].name
	} else {
		what = ofBytes(p.stored(), p.size())
	}
	s := fmt.Sprintf("%s: %d%% (%s)", name, p.percent(), what)
	if p.completing() {
		p.say("%s, completing", s)
		return
	}
	if rate, left := p.speed(time.Now()); rate >= 0 {
		s += fmt.Sprintf(", %s/s", amount(int64(rate)))
		if left >= 0 {
			s += fmt.Sprintf(", %s left", remaining(left, ""))
		}
	}
	p.say("%s", s)
}

func (p *plain) tick() {
	if p.said.IsZero() || time.Since(p.said) < lifeEvery {
		return
	}
	for _, f := range p.all {
		if !f.over && !f.done && f.name != "" {
			p.far()
			return
		}
	}
}

func (p *plain) warn(text string) { fmt.Fprintln(p.w, "warning: "+transport.Clean(text)) }

func (p *plain) text(b []byte) { p.w.Write(b) } //nolint:errcheck // see the package doc

func (p *plain) ended(*file) {}

func (p *plain) close() {
	if p.several() && !p.said.IsZero() {
		p.say("%s", p.summary())
	}
}
