package progress

import (
	"fmt"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// lifeEvery is the longest time without a line.
const lifeEvery = 30 * time.Second

// plain is a line at the start, one for each tenth, one at the end, and one
// after every long silence. None has a control character in it.
type plain struct {
	messages
	*total
	*waits
	tenth int
	said  time.Time // when there was a line last; zero: none yet
}

func (p *plain) say(format string, args ...any) {
	fmt.Fprintf(p.w, format+"\n", args...)
	p.said, p.tenth = time.Now(), max(p.tenth, p.percent()/10)
}

func (p *plain) event(f *file, e upload.Event) {
	if p.said.IsZero() {
		p.start(f, e)
	}
	if over := p.over(); over > 0 {
		p.say("%s", continuing(over))
	}
	if s := p.line(f, p.several(), e); s != "" {
		fmt.Fprintln(p.w, s)
	}
	switch e := e.(type) {
	case upload.Planned:
		s := fmt.Sprintf("%s: %s in %s", f.label(p.several()), text.Bytes(f.size), count(f.parts, "part"))
		if f.storedParts > 0 {
			s += fmt.Sprintf(", %d already stored", f.storedParts)
		}
		if !p.several() || f.storedParts > 0 {
			p.say("%s", s)
		}
	case upload.Stored:
		p.tick()
	case upload.Finished:
		p.say("%s", p.succeeded(f.summary(p.several(), e.Report)))
	}
}

// start is the first line, before anything is sent. A result that only has to be
// delivered has none.
func (p *plain) start(f *file, e upload.Event) {
	if _, over := e.(upload.Finished); over {
		return
	}
	to := ""
	if p.to != "" {
		to = " to " + p.to
	}
	if p.several() {
		p.say("%d files: %s, uploading%s", p.files, text.Bytes(p.size()), to)
	} else if found, ok := e.(upload.Found); !ok || found.Next != upload.StepDeliver {
		p.say("%s: uploading%s", f.label(false), to)
	}
}

// far prints the progress.
func (p *plain) far() {
	stored, all := p.parts()
	what := fmt.Sprintf("%d of %s stored", stored, count(all, "part"))
	name := fmt.Sprintf("%d of %d files", p.done(), p.files)
	if !p.several() {
		name = p.all[len(p.all)-1].label(false)
	} else {
		what = ofBytes(p.stored(), p.size()) + " stored"
	}
	if n := p.gone() - p.stored(); n > 0 {
		what += fmt.Sprintf(", %s in flight", text.Bytes(n))
	}
	s := fmt.Sprintf("%s: %d%% (%s)", name, p.percent(), what)
	if p.completing() {
		p.say("%s, completing", s)
		return
	}
	if rate, left := p.speed(time.Now()); rate >= 0 {
		s += fmt.Sprintf(", %s", text.Rate(rate))
		if left >= 0 {
			s += fmt.Sprintf(", %s left", remaining(left, ""))
		}
	}
	p.say("%s", s)
}

func (p *plain) tick() {
	now := time.Now()
	switch line, over := p.waits.tell(now); {
	case over > 0:
		p.say("%s", continuing(over))
		return
	case line != "":
		p.say("%s", line)
		return
	case p.said.IsZero():
		return
	}
	if now.Sub(p.said) < lifeEvery && (p.percent()/10 <= p.tenth || p.percent() >= 99) {
		return
	}
	for _, f := range p.all {
		if !f.over && !f.done && f.name != "" {
			p.far()
			return
		}
	}
}

func (p *plain) warn(text string) { fmt.Fprintln(p.w, p.warning(transport.Clean(text))) }

func (p *plain) text(b []byte) { p.w.Write(b) } //nolint:errcheck // see the package doc

func (p *plain) ended(*file) {}

func (p *plain) close() {
	if p.several() && !p.said.IsZero() {
		p.say("%s", p.summary())
	}
}
