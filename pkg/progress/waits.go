package progress

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"time"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

const (
	// waitAfter is how long nothing may move before it is told.
	waitAfter = 2 * time.Second
	// waitSoon is how long nothing may move where a longer wait is certain.
	waitSoon = 500 * time.Millisecond
	// inBuffers is how much of a part the kernel takes before the store has seen
	// any of it: so much of a failed attempt is no progress.
	inBuffers = 4 << 20
)

// waits knows since when there has been no progress, and why. A wait is the time
// without progress, however many retries are in it: bytes of an attempt that
// failed do not end it.
type waits struct {
	to    string        // the host of the provider; may be empty
	every time.Duration // the least time between two waits that are told; 0: all are

	open    int                // uploads of which events may come
	since   time.Time          // of the last progress that stays; zero: nothing began
	trying  map[attempt]moving // parts in flight
	undone  int64              // bytes of the attempt that failed last
	refused int64              // the most bytes of an attempt that was refused since the last part was stored
	reason  cause
	outage  time.Time // until when the provider is retried though it cannot be reached
	reading reading

	told time.Time // when a wait was told last
	from time.Time // since when the wait that was told lasts; zero: none was
}

// attempt is a part in flight.
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

// cause is why there is no progress.
type cause struct {
	text   string
	doing  bool      // the text is all there is to say
	at     time.Time // when it was known
	until  time.Time // when the next attempt begins; zero: not known
	failed bool      // a request failed
	gone   bool      // of those: the server cannot be reached
	part   bool      // of those: the store answered, and did not take the part
}

// reading is how far the file is read without being sent.
type reading struct {
	text     string // empty: it is not
	done, of int64  // bytes; of below 0: not known
	since    time.Time
}

func (r reading) String() string {
	switch {
	case r.of < 0:
		return fmt.Sprintf("%s: %s", r.text, amount(r.done))
	case r.of == 0:
		return r.text
	}
	return fmt.Sprintf("%s: %d%% (%s)", r.text, int(float64(r.done)/float64(r.of)*100), ofBytes(r.done, r.of))
}

// count takes an event in.
func (w *waits) count(f *file, e upload.Event) {
	now := time.Now()
	if w.since.IsZero() {
		w.since, w.trying = now, make(map[attempt]moving)
	}
	switch e := e.(type) {
	case upload.Sent:
		w.sent(attempt{f, e.Part.Number}, e.Bytes, now)
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
		w.read(reading{text: hashing(e.Why), done: e.Done, of: e.Of}, now)
	case upload.Arriving:
		w.read(reading{text: "reading standard input", done: e.Done, of: e.Of}, now)
	case upload.Requesting:
		w.reading = reading{}
		if !w.reason.at.Before(w.since) && !w.reason.doing {
			w.reason.until = time.Time{} // it failed before, and that is still the reason
			break
		}
		w.reason = w.requesting(e.Op, now)
	case upload.Presigning:
		if e.Missing > 0 && w.reason.at.Before(w.since) {
			w.reason = cause{text: "the provider has not issued presigned URLs yet", at: now}
		}
	case upload.NotReady:
		w.reason = cause{text: "the file is not ready yet", at: now, until: now.Add(e.Wait)}
	case upload.Retrying:
		w.reason = w.retrying(e, now)
		if w.reason.part {
			w.refused = max(w.refused, w.undone)
		}
		w.undone = 0
	case upload.Outage:
		w.outage = now.Add(e.For)
	}
}

// sent counts bytes that were handed to the network, or taken back.
func (w *waits) sent(a attempt, bytes int64, now time.Time) {
	m := w.trying[a]
	if bytes > 0 {
		if m.bytes == 0 {
			m.first = now
		}
		m.last, m.bytes = now, m.bytes+bytes
		w.trying[a], w.reading = m, reading{}
		return
	}
	if m.bytes > inBuffers && w.counts(m) {
		w.since = later(w.since, m.last)
	}
	w.undone = m.bytes
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

// ended forgets an upload of which no event will come any more.
func (w *waits) ended(f *file) {
	w.open--
	for a := range w.trying {
		if a.f == f {
			delete(w.trying, a)
		}
	}
}

func hashing(why upload.Reading) string {
	switch why {
	case upload.ReadForDigests:
		return "computing the digest of the whole file"
	case upload.ReadAhead:
		return "computing digests before the upload"
	case upload.ReadToCompare:
	}
	return "comparing the file with its stored parts"
}

func (w *waits) host() string { return cmp.Or(w.to, "the provider") }

// requesting is the reason while a request is not answered.
func (w *waits) requesting(op upload.Op, now time.Time) cause {
	switch op {
	case upload.OpCreate, upload.OpProbe, upload.OpAbort:
		return cause{text: "connecting to " + w.host() + "…", doing: true, at: now}
	case upload.OpPart:
		return cause{text: "the store has not answered yet", at: now}
	case upload.OpReady:
		if !w.reason.at.Before(w.since) {
			return w.reason // that the file is not ready
		}
	case upload.OpPresign, upload.OpCheckpoint, upload.OpComplete, upload.OpConfirm:
	}
	return cause{text: fmt.Sprintf("%s has not answered yet (%s)", w.host(), op), at: now}
}

// retrying is the reason after a request that failed.
func (w *waits) retrying(e upload.Retrying, now time.Time) cause {
	r := cause{at: now, until: now.Add(e.Wait), failed: true}
	who := "the provider"
	if e.Op == upload.OpPart {
		who = "the store"
	}
	var t *transport.Error
	switch {
	case transport.Unreached(e.Err):
		r.gone = true
		r.text = unreached(e.Err, w.host())
	case !errors.As(e.Err, &t):
		r.text = transport.Line(e.Err.Error())
	case t.Status == 503:
		r.text = who + " is busy (503)"
	case t.Status == 429:
		r.text = who + " limits the rate (429)"
	case t.Status >= 500:
		r.text = fmt.Sprintf("%s failed (%d)", who, t.Status)
	case t.Status > 0:
		r.text = fmt.Sprintf("%s answered with status %d", who, t.Status)
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		r.text = "too many files are open here"
	case errors.Is(e.Err, transport.ErrStalled):
		r.text = who + " stopped receiving data"
	default:
		r.text = "the connection to " + who + " broke"
	}
	if e.Most == 0 {
		r.text += fmt.Sprintf(", attempt %d", e.Try+1)
	} else {
		r.text += fmt.Sprintf(", attempt %d of %d", e.Try+1, e.Most)
	}
	if r.gone && e.Most == 0 {
		r.text = unreached(e.Err, w.host())
	}
	r.part = e.Op == upload.OpPart && t != nil && t.Status > 0
	return r
}

// unreached says why a server cannot be reached.
func unreached(err error, host string) string {
	if said := transport.ByProxy(err); said != "" {
		return said
	}
	var t *transport.Error
	if errors.As(err, &t) {
		if u, bad := url.Parse(t.URL); bad == nil && u.Host != "" {
			host = u.Host
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETDOWN) {
		return "no network"
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "cannot reach " + host + " (connection refused)"
	}
	return "cannot reach " + host
}

// moved is when there was progress last.
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

// status says what is waited for, or read; empty: nothing that is worth saying.
func (w *waits) status(now time.Time) string {
	if w.since.IsZero() || w.open == 0 {
		return ""
	}
	moved := w.moved()
	idle := now.Sub(moved)
	if w.reading.text != "" && idle < waitAfter {
		return w.reading.String()
	}
	r, known := w.reason, !w.reason.at.Before(w.since)
	length := idle
	if known && r.until.After(now) {
		length = r.until.Sub(moved)
	}
	if idle < waitSoon || length < waitAfter {
		return ""
	}
	switch {
	case known && r.doing:
		return r.text
	case known && r.gone && w.outage.After(now):
		return fmt.Sprintf("%s, retrying for %s", r.text, long(w.outage.Sub(now)))
	case !known && w.reading.text != "":
		r.text = w.reading.String()
	case !known && len(w.trying) > 0:
		r.text = "the store does not answer"
	case !known:
		return "connecting to the store…"
	}
	return fmt.Sprintf("waiting %s: %s", long(length), r.text)
}

// long is a time as people say it.
func long(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	case d < 100*time.Minute:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute)/time.Minute))
	}
	return text.Duration(d).String()
}

// tell gives what is to be said for good: that there is a wait, and that it is
// over. Reading is no wait as long as it goes on.
func (w *waits) tell(now time.Time) (line string, over time.Duration) {
	status := w.status(now)
	over = w.over()
	goes := w.reading.text != "" && now.Sub(w.moved()) < waitAfter
	again := !w.from.IsZero() || goes
	if w.reading.text != "" && now.Sub(w.reading.since) < waitAfter {
		return "", over
	}
	if status == "" || over > 0 || again && w.every == 0 || !w.told.IsZero() && now.Sub(w.told) < w.every {
		return "", over
	}
	w.told = now
	if !goes {
		w.from = w.moved()
	}
	return status, 0
}

// over says once that a wait that was told is over, and how long it was; 0: none is.
func (w *waits) over() time.Duration {
	moved := w.moved()
	if w.from.IsZero() || !moved.After(w.from) {
		return 0
	}
	length := moved.Sub(w.from)
	w.from = time.Time{}
	return length
}

// continuing says that a wait is over.
func continuing(after time.Duration) string { return "continuing after " + long(after) }
