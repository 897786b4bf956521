package progress

import (
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// file is the progress of one upload.
type file struct {
	path   string // as the user named it
	name   string // as it is shown; empty before there is a plan
	byPath bool   // it is shown by its path, even if it is alone

	size        int64
	stored      int64           // bytes that have a receipt
	before      int64           // of those, stored before this run
	sending     int64           // bytes that were handed to the network and are not stored yet
	inFlight    map[int]reached // those, by the number of their part
	parts       int
	storedParts int

	sent span // how long it was sent

	completing bool
	done       bool // the provider confirmed
	over       bool // there are no further events
}

// span is a time in which bytes were sent: from the plan until all are stored.
type span struct{ from, to time.Time }

func (s *span) count(e upload.Event) {
	switch e.(type) {
	case upload.Planned:
		if s.from.IsZero() {
			s.from = time.Now()
		}
	case upload.Finishing:
		s.to = time.Now()
	}
}

// of is the length, or all where it is not known.
func (s span) of(all time.Duration) time.Duration {
	if d := s.to.Sub(s.from); !s.from.IsZero() && d > 0 {
		return d
	}
	return all
}

// reached is how much of a part was handed to the network: by the attempt that is in
// flight, and by an earlier one that was put off. The part stands where the one that
// came furthest was, so that what is shown goes back only when an attempt fails.
type reached struct {
	bytes, before int64
	began         time.Time // when its first bytes were handed
}

func (r reached) most() int64 { return max(r.bytes, r.before) }

// move counts bytes of a part, or takes them back.
func (f *file) move(e upload.Sent) {
	if f.inFlight == nil {
		f.inFlight = make(map[int]reached)
	}
	was := f.inFlight[e.Part.Number]
	is := reached{was.bytes + e.Bytes, was.before, was.began}
	if was.bytes == 0 {
		is.began = time.Now()
	}
	switch {
	case e.Later:
		is.before = was.most()
	case e.Bytes < 0:
		is.before = 0
	}
	f.inFlight[e.Part.Number] = is
	f.sending += is.most() - was.most()
}

// count brings f up to date.
func (f *file) count(e upload.Event) {
	f.sent.count(e)
	switch e := e.(type) {
	case upload.Planned:
		*f = file{
			path: f.path, sent: f.sent, byPath: f.byPath, name: shown(e.File), size: e.File.Size,
			stored: e.StoredBytes, before: e.StoredBytes, parts: e.Parts, storedParts: e.Stored,
		}
	case upload.Sent:
		f.move(e)
	case upload.Stored:
		f.sending -= f.inFlight[e.Part.Number].most() // none where an earlier run sent it
		delete(f.inFlight, e.Part.Number)
		f.stored += e.Part.Size
		f.storedParts++
	case upload.Lost:
		f.stored -= e.Part.Size
		f.storedParts--
	case upload.Finishing:
		f.completing = true
	case upload.Finished:
		if f.name == "" { // a stored result: there was no plan
			f.name, f.size, f.parts = shown(e.Report.File), e.Report.File.Size, e.Report.Parts
			f.before = f.size
		}
		f.stored, f.storedParts, f.sending, f.completing, f.done = f.size, f.parts, 0, false, true
	}
}

func shown(f upload.File) string { return transport.Visible(f.Name) }

// gone also counts what is in flight.
func (f *file) gone() int64 { return min(f.size, f.stored+f.sending) }

// sums are what files have together, kept up to date with each event: nothing
// here costs more because there are many files.
type sums struct {
	size, stored, gone, before    int64
	parts, storedParts, planned   int
	done, ended, sending, waiting int // files
}

// sums is what f adds to those of all files.
func (f *file) sums() sums {
	one := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	return sums{
		size: f.size, stored: f.stored, gone: f.gone(), before: f.before, parts: f.parts, storedParts: f.storedParts,
		planned: one(f.name != ""), done: one(f.done), ended: one(f.done || f.over),
		sending: one(!f.over && !f.done && !f.completing), waiting: one(f.completing && !f.over),
	}
}

func (s *sums) add(a sums, sign int) {
	n := int64(sign)
	s.size += n * a.size
	s.stored += n * a.stored
	s.gone += n * a.gone
	s.before += n * a.before
	s.parts += sign * a.parts
	s.storedParts += sign * a.storedParts
	s.planned += sign * a.planned
	s.done += sign * a.done
	s.ended += sign * a.ended
	s.sending += sign * a.sending
	s.waiting += sign * a.waiting
}

// total is the progress of all files together.
type total struct {
	paths bool // see Options
	all   []*file
	sum   sums
	files int   // how many there are
	bytes int64 // of all of them, as far as known beforehand

	handed  int64 // bytes that were handed to the network, most repeats included
	samples []sample
	still   int64     // what was handed when bytes were still, last
	began   time.Time // when the display was created
	sent    span      // how long files were sent
}

// sample is what was handed to the network at a moment.
type sample struct {
	at     time.Time
	handed int64
}

// The rate is that of the last seconds: long enough to be steady, short enough
// to follow.
const (
	window      = 10 * time.Second
	sampleEvery = 500 * time.Millisecond
	enough      = time.Second // of a window, to speak of a rate
	paused      = 2 * time.Second
	atOnce      = time.Second
)

func (t *total) count(f *file, e upload.Event) {
	// The bytes of an attempt that is refused at once only filled buffers.
	if e, sent := e.(upload.Sent); sent && (e.Bytes > 0 || time.Since(f.inFlight[e.Part.Number].began) < atOnce) {
		t.handed += e.Bytes
	}
	t.sent.count(e)
	t.change(f, func() { f.count(e) })
}

// begin adds a file whose plan is not known yet.
func (t *total) begin(f *file) {
	t.all = append(t.all, f)
	t.sum.add(f.sums(), 1)
}

// change keeps the sums right while f changes.
func (t *total) change(f *file, how func()) {
	t.sum.add(f.sums(), -1)
	how()
	t.sum.add(f.sums(), 1)
}

// sample remembers how much was handed, for the rate. Its window begins with the first
// bytes, and with the first ones after a time without any: waiting is told, and what
// was waited says nothing about the rate. Nor does a time in which the program did not
// run, as after Ctrl-Z.
func (t *total) sample(now time.Time, still bool) {
	n := len(t.samples)
	switch {
	case still:
		t.samples, t.still = nil, t.handed
		return
	case n == 0 && t.handed <= t.still, n > 0 && now.Sub(t.samples[n-1].at) < sampleEvery:
		return
	}
	if n > 0 && now.Sub(t.samples[n-1].at) >= paused {
		t.samples = nil
	}
	for len(t.samples) > 1 && now.Sub(t.samples[1].at) >= window {
		t.samples = t.samples[1:]
	}
	t.samples = append(t.samples, sample{now, t.handed})
}

// gained is what this run has sent.
func (t *total) gained() int64 { return t.sum.gone - t.sum.before }

// speed gives the bytes per second that go to the network, and the time that is
// left: at that rate, if as much of it goes into failed attempts as did so far. Below
// 0: not known.
func (t *total) speed(now time.Time) (rate float64, left time.Duration) {
	if len(t.samples) == 0 || now.Sub(t.samples[0].at) < enough {
		return -1, -1
	}
	first := t.samples[0]
	if t.handed <= first.handed {
		return -1, -1 // bytes are sent in bursts, or not at all
	}
	rate = float64(t.handed-first.handed) / now.Sub(first.at).Seconds()
	const most = 99 * 24 * time.Hour // more is not a useful estimate
	secs := float64(t.size()-t.gone()) / rate * float64(t.handed) / float64(t.gained())
	switch {
	case t.stored() == t.size():
		return rate, 0
	case t.gained() <= 0 || secs > most.Seconds():
		return rate, -1
	}
	// What is on its way takes a moment at least.
	return rate, max(time.Second, time.Duration(secs*float64(time.Second)))
}

// size is that of all files, those included that are not planned yet.
func (t *total) size() int64 { return max(t.sum.size, t.bytes) }

// gone also counts what is in flight.
func (t *total) gone() int64 { return t.sum.gone }

func (t *total) stored() int64 { return min(t.sum.stored, t.size()) }

func (t *total) before() int64 { return t.sum.before }

func (t *total) parts() (stored, all int) { return t.sum.storedParts, t.sum.parts }

func (t *total) done() int { return t.sum.done }

// planned reports whether there is a plan to show the progress of.
func (t *total) planned() bool { return t.sum.planned > 0 }

// completing says that nothing is left but the provider's answers.
func (t *total) completing() bool {
	return t.sum.sending == 0 && t.sum.waiting > 0 && len(t.all) >= t.files
}

// percent is how much was sent, rounded down: 100 is that all is stored. Files
// of no bytes count by their parts.
func (t *total) percent() int {
	if size := t.size(); size > 0 {
		if t.stored() == size {
			return 100
		}
		return min(99, int(float64(t.gone())/float64(size)*100))
	}
	if stored, all := t.parts(); all > 0 {
		return stored * 100 / all
	}
	return 0
}

// several says whether the files are shown together.
func (t *total) several() bool { return t.files > 1 }
