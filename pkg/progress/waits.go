package progress

import (
	"fmt"
	"maps"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/upload"
)

const (
	// waitAfter is how long there may be no progress before a wait is reported.
	waitAfter = 2 * time.Second
	// waitSoon is the same where a longer wait is certain.
	waitSoon = 500 * time.Millisecond
	// idleAfter is how long no bytes may be sent, without a failure, before the rate is
	// no longer shown: a slow link sends them in bursts.
	idleAfter = 5 * time.Second
	// inBuffers is how much of a part the kernel takes before the store has seen
	// any of it: so much of a failed attempt does not count as progress.
	inBuffers = 4 << 20
)

// waits records since when there has been no progress, and why. A wait is the time
// without progress, however many retries are in it: bytes of an attempt that
// failed do not end it.
type waits struct {
	to    string        // the host of the provider; may be empty
	every time.Duration // minimum time between two reported waits; 0: all are reported

	open    int                // unfinished uploads
	since   time.Time          // of the last progress; zero: nothing has started
	trying  map[attempt]moving // parts in flight
	undone  int64              // bytes of the last failed attempt
	refused int64              // largest number of bytes of a refused attempt since the last part was stored
	reason  cause
	backoff map[attempt]cause // of requests that are retried later, or were
	outage  time.Time         // until when the provider is retried though it cannot be reached
	reading reading

	shown time.Time // start of the wait on the screen; zero: none yet
	told  time.Time // when a wait was last reported
	from  time.Time // start of the reported wait; zero: none
}

// attempt is a part in flight, or a request of another kind: part 0.
type attempt struct {
	f    *file
	part int
}

// moving is how the bytes of a part in flight move.
type moving struct {
	first, last time.Time
	bytes       int64
}

// surely reports whether more moved than into the buffers of the kernel, which
// are filled at once.
func (m moving) surely() bool { return m.last.Sub(m.first) >= tickEvery }

// count updates the waits with an event.
func (w *waits) count(f *file, e upload.Event) {
	now := time.Now()
	if w.since.IsZero() {
		w.since, w.trying, w.backoff = now, make(map[attempt]moving), make(map[attempt]cause)
	}
	switch e := e.(type) {
	case upload.Sent:
		w.sent(attempt{f, e.Part.Number}, e, now)
	case upload.Stored:
		delete(w.trying, attempt{f, e.Part.Number})
		w.since, w.refused = now, 0
	case upload.Lost:
		delete(w.trying, attempt{f, e.Part.Number})
	case upload.Finished:
		w.since, w.reading, w.refused = now, reading{}, 0
	case upload.Planned, upload.Finishing, upload.Checkpointed:
		w.since, w.reading = now, reading{}
	case upload.Hashing:
		text, short := hashing(e.Why)
		w.read(reading{text: text, short: short, done: e.Done, of: e.Of}, now)
	case upload.Arriving:
		w.read(reading{text: "reading standard input", short: "stdin", done: e.Done, of: e.Of}, now)
	case upload.Requesting:
		w.reading = reading{}
		if !w.reason.at.Before(w.since) && !w.reason.doing {
			w.reason.until = time.Time{} // it failed before, which is still the reason
			break
		}
		w.reason = w.requesting(e.Op, now)
	case upload.Presigning:
		if e.Missing > 0 && w.reason.at.Before(w.since) {
			w.reason = cause{text: "the provider has not issued presigned URLs yet", short: "no URLs yet", at: now}
		}
	case upload.NotReady:
		w.reason = cause{text: "the file is not ready yet", short: "not ready", at: now, until: now.Add(e.Wait)}
	case upload.Retrying:
		r := w.retrying(e, now)
		if r.part {
			w.refused = max(w.refused, w.undone)
		}
		w.undone, w.backoff[attempt{f, e.Part}] = 0, r
		if !w.failing() || r.text != w.reason.text || r.try >= w.reason.try {
			w.reason = r // of several parts, the one that was tried most often is named
		}
	case upload.Outage:
		w.outage = now.Add(e.For)
	}
}

// sent counts bytes that were handed to the network, or taken back.
func (w *waits) sent(a attempt, e upload.Sent, now time.Time) {
	m := w.trying[a]
	if e.Bytes > 0 {
		if m.bytes == 0 {
			m.first = now
		}
		m.last, m.bytes = now, m.bytes+e.Bytes
		w.trying[a], w.reading = m, reading{}
		return
	}
	if m.bytes > inBuffers && w.counts(m) {
		w.since = later(w.since, m.last)
	}
	if !e.Later {
		w.undone = m.bytes
	}
	delete(w.trying, a)
}

// read counts what was read of the file.
func (w *waits) read(r reading, now time.Time) {
	if r.done != w.reading.done || r.text != w.reading.text {
		w.since = now
	}
	r.since = w.reading.since
	if r.text != w.reading.text {
		r.since = now
	}
	w.reading = r
}

// ended removes an upload that has no further events.
func (w *waits) ended(f *file) {
	w.open--
	of := func(a attempt) bool { return a.f == f }
	maps.DeleteFunc(w.trying, func(a attempt, _ moving) bool { return of(a) })
	maps.DeleteFunc(w.backoff, func(a attempt, _ cause) bool { return of(a) })
}

// because is the reason, if one is known: of something that failed or began since there
// was progress, or of what failed before that and is not retried yet.
func (w *waits) because(now time.Time) (r cause, known bool) {
	if !w.reason.at.Before(w.since) {
		return w.reason, true
	}
	for _, c := range w.backoff {
		if c.until.After(now) && (!known || c.until.Before(r.until)) {
			r, known = c, true
		}
	}
	return r, known
}

// moved is the time of the last progress.
func (w *waits) moved() time.Time {
	at := w.since
	for _, m := range w.trying {
		if w.counts(m) {
			at = later(at, m.last)
		}
	}
	return at
}

// counts reports whether the bytes of an attempt are progress. Of one that follows
// a refusal, those are not that the store took before and refused then.
func (w *waits) counts(m moving) bool {
	switch {
	case !w.failing():
		return true
	case w.reason.part:
		return m.bytes > w.refused+inBuffers
	}
	return m.surely()
}

// failing reports whether a request failed since the last progress.
func (w *waits) failing() bool {
	return w.reason.failed && !w.reason.at.Before(w.since)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// still reports whether no bytes were sent for so long that the rate of those before
// says nothing any more.
func (w *waits) still(now time.Time) bool {
	idle := now.Sub(w.moved())
	return idle >= idleAfter || idle >= waitAfter && w.failing() || w.reading.text != "" && now.Sub(w.reading.since) >= waitAfter
}

// status describes what is waited for, or read, in ever shorter forms; none: nothing
// needs to be shown.
func (w *waits) status(now time.Time) []string {
	if w.since.IsZero() || w.open == 0 {
		return nil
	}
	moved := w.moved()
	idle := now.Sub(moved)
	if w.reading.text != "" && idle < waitAfter {
		return w.reading.forms()
	}
	r, known := w.because(now)
	length := idle
	if known && r.until.After(now) {
		length = r.until.Sub(moved)
	}
	if !w.shown.Equal(moved) && (idle < waitSoon || length < waitAfter) {
		return nil
	}
	w.shown = moved // it stays until there is progress
	switch {
	case known && r.doing:
		return []string{r.text, r.short}
	case known && r.gone && w.outage.After(now):
		patience := ", retrying for " + long(w.outage.Sub(now))
		return []string{r.text + patience, r.short + patience, r.short}
	case known:
		return waiting(idle, r.forms(now)...)
	case w.reading.text != "":
		return waiting(idle, w.reading.forms()...)
	case len(w.trying) > 0:
		return waiting(idle, "the store does not answer", "no answer")
	}
	return []string{"connecting to the store…", "connecting…"}
}

// waiting says how long there has been no progress, and why.
func waiting(idle time.Duration, why ...string) []string {
	forms := make([]string, 0, len(why)+2)
	for _, s := range why {
		forms = append(forms, "waiting "+long(idle)+": "+s)
	}
	short := why[len(why)-1]
	return append(forms, short+", "+long(idle), short)
}

// long formats a duration for people.
func long(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	case d < 100*time.Minute:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	}
	return text.Duration(d).String()
}

// tell returns the permanent messages: that there is a wait, and that it is
// over. Reading is no wait as long as it goes on.
func (w *waits) tell(now time.Time) (line string, over time.Duration) {
	status := w.status(now)
	over = w.over()
	goes := w.reading.text != "" && now.Sub(w.moved()) < waitAfter
	again := !w.from.IsZero() || goes
	if w.reading.text != "" && now.Sub(w.reading.since) < waitAfter {
		return "", over
	}
	switch soon := !goes && now.Sub(w.moved()) < waitAfter; {
	case len(status) == 0, over > 0, soon, again && w.every == 0, !w.told.IsZero() && now.Sub(w.told) < w.every:
		return "", over
	}
	w.told = now
	if !goes {
		w.from = w.moved()
	}
	return status[0], 0
}

// over reports once that a reported wait is over, and how long it was; 0: none is.
func (w *waits) over() time.Duration {
	moved := w.moved()
	if w.from.IsZero() || !moved.After(w.from) {
		return 0
	}
	length := moved.Sub(w.from)
	w.from, w.since = time.Time{}, moved // what follows is another wait
	return length
}

// continuing says that a wait is over.
func continuing(after time.Duration) string { return "continuing after " + long(after) }
