package upload

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	// evidence is how long a rate is looked at before it is believed, or a tenth
	// of the time there is, if that is less.
	evidence = 10 * time.Second
	// spare is the share of the time that a plan counts on. A rate varies.
	spare = 0.8
	// fast is the rate in bytes per second, 10 Mbit/s, from which on it is worth
	// saying that an upload needs it, where nothing is known of the network.
	fast = 1.25e6
)

// deadline compares what is left of an upload with the time that is left for
// it: its own life, and the urls' where they cannot be renewed. A store looks
// at a presigned URL when a part begins, so only the beginning of the last parts counts.
type deadline struct {
	run   *run
	begin time.Time // by when every part must have begun; zero: no such time
	end   time.Time // by when all must be stored; zero: not known

	mu      sync.Mutex
	left    int64     // bytes that have no receipt yet
	tail    int64     // of those, the last ones, which are under way together
	largest int64     // bytes of a part
	moved   int64     // what the pace had counted when left was
	warned  bool      // once is enough
	next    time.Time // when to look again
}

// newDeadline is that of the parts that are pending.
func (r *run) newDeadline(rec *Record, pending []Part) *deadline {
	d := &deadline{run: r, end: rec.Upload.Expires}
	for _, p := range pending {
		d.left += p.Size
		d.largest = max(d.largest, p.Size)
	}
	d.tail = r.tail(pending)
	if !rec.Upload.Renewable {
		d.begin = ends(rec.Presigned, pending)
	}
	d.moved = r.pace.moved()
	return d
}

// ends is when the first of the urls of these parts ends; zero if none does.
func ends(urls []Presigned, parts []Part) (first time.Time) {
	end := make(map[int]time.Time, len(urls))
	for _, g := range urls {
		end[g.Part] = g.Expires
	}
	for _, p := range parts {
		if e := end[p.Number]; !e.IsZero() && (first.IsZero() || e.Before(first)) {
			first = e
		}
	}
	return first
}

// lack is one time that does not suffice.
type lack struct {
	need, have time.Duration
	text       string
	begin      bool // it is the beginning of parts that comes too late
}

// lacking says which time does not suffice at a rate. d.mu is held.
func (d *deadline) lacking(rate float64) (lack, bool) {
	left := max(0, d.left-(d.run.pace.moved()-d.moved))
	if !d.begin.IsZero() && left > d.tail { // else the last ones have begun
		l := lack{need: takes(left-d.tail, rate), have: time.Until(d.begin), begin: true}
		if l.need > l.have {
			l.text = fmt.Sprintf("at %s the last parts begin in %s, and the time of their addresses %s; this provider issues no new ones",
				perSecond(rate), inTime(l.need), comes(l.have))
			return l, true
		}
	}
	if !d.end.IsZero() {
		l := lack{need: takes(left, rate), have: time.Until(d.end)}
		if l.need > l.have {
			l.text = fmt.Sprintf("at %s what is left (%s) takes %s, and the upload's own time %s",
				perSecond(rate), humanize.Bytes(uint64(left)), inTime(l.need), comes(l.have))
			return l, true
		}
	}
	return lack{}, false
}

// before looks at it before the first byte: at the rate that is known from
// elsewhere, or else at the rate that is needed.
func (d *deadline) before() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rate, ok := d.run.foreseen(evidence); ok {
		if l, short := d.lacking(rate); short {
			d.warned = true
			d.run.warn("%s", l.text)
		}
		return
	}
	need, by, have := 0.0, "", time.Duration(0)
	at := func(bytes int64, end time.Time, text string) {
		left := time.Until(end)
		if end.IsZero() || left <= 0 {
			return
		}
		if rate := float64(bytes) / left.Seconds(); rate > need {
			need, by, have = rate, text, left
		}
	}
	at(d.left-d.tail, d.begin, "the addresses of the parts end in %s, and this provider issues no new ones")
	at(d.left, d.end, "the provider ends the upload in %s")
	if need >= fast {
		d.run.warn(by+": to send %s in time takes %s (%.0f Mbit/s) or more", inTime(have), humanize.Bytes(uint64(d.left)), perSecond(need), need*8/1e6)
	}
}

// stored counts a part, and looks whether the rest will be in time. Its error
// is that another plan is needed, and would do.
func (d *deadline) stored() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if d.warned || d.begin.IsZero() && d.end.IsZero() || now.Before(d.next) {
		return nil
	}
	d.next = now.Add(time.Second)
	have := time.Duration(math.MaxInt64)
	for _, end := range []time.Time{d.begin, d.end} {
		if !end.IsZero() {
			have = min(have, end.Sub(d.run.started))
		}
	}
	rate, ok := d.run.pace.seen(min(evidence, have/10))
	if !ok {
		return nil
	}
	l, short := d.lacking(rate)
	if !short {
		return nil
	}
	if l.begin && float64(l.need)*spare > float64(l.have) && !d.run.restarted && d.run.better(rate, max(d.run.urlLife, l.have)) > d.largest {
		return &tooSlow{l.text}
	}
	d.warned = true
	d.run.warn("%s", l.text)
	return nil
}

// tooSlow is an upload that cannot end in time as it is planned.
type tooSlow struct{ why string }

func (e *tooSlow) Error() string   { return e.why }
func (e *tooSlow) Unwrap() []error { return []error{errStartOver, ErrExpired} }

// foreseen is the rate to expect: what was seen for at least d, or else what the
// network is held to, or what an earlier run got to.
func (r *run) foreseen(d time.Duration) (float64, bool) {
	if rate, ok := r.pace.seen(d); ok {
		return rate, true
	}
	rate := r.earlier
	if limit := float64(r.Rate); limit > 0 && (rate <= 0 || limit < rate) {
		rate = limit
	}
	return rate, rate > 0
}

// better is the size of parts of which all begin within life at a rate: fewer
// and larger ones. Zero where the client has no say in it.
func (r *run) better(rate float64, life time.Duration) int64 {
	if !r.limits.TakesHint || r.PartSize > 0 {
		return 0
	}
	// In w waves of parts of one size, the last one begins when all but its
	// share of the file is stored: (w-1)/w of it.
	waves := int64(1)
	if stored := spare * rate * life.Seconds() / float64(r.file.Size); stored < 1 {
		waves = max(1, int64(1/(1-stored)))
	}
	const mib = 1 << 20
	size := divUp(divUp(r.file.Size, waves*int64(r.concurrency())), mib) * mib
	if r.limits.MaxPart > 0 {
		size = min(size, r.limits.MaxPart)
	}
	return max(size, r.limits.MinPart)
}

// learn remembers what a new upload's times are.
func (r *run) learn(rec *Record) {
	r.uploadLife, r.urlLife = 0, 0
	if !rec.Upload.Expires.IsZero() {
		r.uploadLife = time.Until(rec.Upload.Expires)
	}
	if end := ends(rec.Presigned, rec.Upload.Parts); !rec.Upload.Renewable && !end.IsZero() {
		r.urlLife = time.Until(end)
	}
}

// foresee plans for the rate that is known, before the first byte: of parts that
// the addresses of which are good for life, those that begin together at the
// end have tail bytes. It reports whether it has a better plan than that.
func (r *run) foresee(life time.Duration, tail int64) bool {
	rate, ok := r.foreseen(evidence)
	if !ok || life <= 0 || r.want > 0 || float64(r.file.Size-tail) <= spare*rate*life.Seconds() {
		return false
	}
	want := r.better(rate, life)
	if want == 0 || tail > 0 && want*int64(r.concurrency()) <= tail {
		return false
	}
	r.want = want
	r.warn("at %s not all parts would begin within the %s that their addresses are good for: asking for parts of %s",
		perSecond(rate), inTime(life), humanize.IBytes(uint64(want)))
	return true
}

// tail are the bytes of the parts that begin last: those of one size go out in
// waves, of as many as are sent at once.
func (r *run) tail(parts []Part) (bytes int64) {
	if len(parts) == 0 {
		return 0
	}
	for _, p := range parts[(len(parts)-1)/r.concurrency()*r.concurrency():] {
		bytes += p.Size
	}
	return bytes
}

// again decides, when an upload came to the end of its time, whether a new one
// would fare better, and plans it so. Its error says why not.
func (r *run) again(parts []Part) error {
	enough := evidence
	if life := max(r.urlLife, r.uploadLife); life > 0 {
		enough = min(enough, life/10)
	}
	rate, ok := r.foreseen(enough)
	if !ok {
		return nil // nothing is known that speaks against it
	}
	size := r.file.Size
	if need := takes(size, rate); r.uploadLife > 0 && need > r.uploadLife {
		return fmt.Errorf("%s takes %s at %s, and the provider ends an upload after %s: %w",
			humanize.Bytes(uint64(size)), inTime(need), perSecond(rate), inTime(r.uploadLife), ErrTooSlow)
	}
	if r.urlLife <= 0 {
		return nil
	}
	tail := r.tail(parts)
	if takes(size-tail, rate) <= r.urlLife {
		return nil
	}
	if r.want = r.better(rate, r.urlLife); r.want > 0 && len(parts) > 0 && r.want > parts[0].Size {
		return nil
	}
	larger := "and it takes no wish for larger parts"
	if r.PartSize > 0 {
		larger = "and larger parts are not what was asked for"
	} else if r.limits.TakesHint {
		larger = "and larger parts do not help"
	}
	return fmt.Errorf("at %s only %s of %s begin within the %s that the addresses of the parts are good for; this provider issues no new ones, %s: %w",
		perSecond(rate), humanize.Bytes(uint64(min(size, int64(rate*r.urlLife.Seconds())+tail))), humanize.Bytes(uint64(size)), inTime(r.urlLife), larger, ErrTooSlow)
}

// rateOf is the rate of an earlier run, by what it stored since the upload was
// created. Pauses make it too low, which makes plans careful.
func rateOf(rec *Record) float64 {
	var bytes int64
	for _, p := range rec.Upload.Parts {
		if _, ok := rec.Receipts[p.Number]; ok {
			bytes += p.Size
		}
	}
	if d := rec.Updated.Sub(rec.Started); d >= time.Second {
		return float64(bytes) / d.Seconds()
	}
	return 0
}

func takes(bytes int64, rate float64) time.Duration {
	s := float64(max(0, bytes)) / rate
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

// comes says when something ends.
func comes(d time.Duration) string {
	if d <= 0 {
		return fmt.Sprintf("ended %s ago", inTime(-d))
	}
	return fmt.Sprintf("ends in %s", inTime(d))
}

// inTime is a time as people say it.
func inTime(d time.Duration) time.Duration {
	switch {
	case d > time.Hour:
		return d.Round(time.Minute)
	case d > 10*time.Second:
		return d.Round(time.Second)
	}
	return d.Round(100 * time.Millisecond)
}

func perSecond(rate float64) string { return humanize.Bytes(uint64(rate)) + "/s" }
