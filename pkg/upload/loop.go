package upload

import (
	"context"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

// tickLeast and tickMost are how often the owner looks at what is in flight:
// while bytes move, and while none do.
const (
	tickLeast = 100 * time.Millisecond
	tickMost  = time.Second
)

// stage is how far a part has come that has begun. One that has begun keeps its
// slot until its receipt is durable.
type stage int

const (
	unsigned    stage = iota // it needs a presigned URL
	signed                   // it can be sent, when its backoff is over
	inFlight                 // a worker sends it
	unconfirmed              // it is stored, and can be confirmed when its backoff is over
	confirming               // it is being confirmed
	journaling               // its receipt is being made durable
)

// part is a part that has begun.
type part struct {
	Part
	stage      stage
	tries      transport.Tries
	next       time.Time // when its backoff is over
	expired    int       // presigned URLs in a row that were refused as expired
	stragglers int       // how often it was re-sent as a straggler

	// Of the attempt that is in flight:
	job    *job
	cancel context.CancelCauseFunc
	ended  bool  // it was ended as a straggler
	before int   // parts that were stored when it began
	told   int64 // bytes that Sent told of
	sure   int64 // of those, the ones beyond the kernel's buffers
}

// mayStraggle reports whether its attempt may still be ended as a straggler.
func (p *part) mayStraggle() bool { return !p.ended && p.stragglers < maxStragglers }

// loop sends the parts of an upload. One goroutine owns it, and with it the
// ledger, the presigned URLs, the schedule and the events; nothing here is
// locked. Workers are goroutines that make one attempt each and send one message.
type loop struct {
	*session
	up    Upload
	queue []Part // not begun, by offset
	begun []*part
	slots int // parts that may have begun at once
	asked int // slots that were asked for beside these
	urls  urls
	stragglers
	schedule schedule
	moved    int64     // what the meter had counted when the schedule was made
	lateTold bool      // once is enough
	lookNext time.Time // when to look at the schedule again
	arrived  int64     // bytes of a stream that can be read
	awaiting bool      // the stream is waited for

	kept []Receipt // of a stream: their bytes are still here

	fresh   []Receipt // to be made durable
	writing bool
	err     error // why no part is begun any more

	outcomes chan outcome
	confirms chan confirmed
	presign  chan presigned
	written  chan written
	slot     chan struct{}
	arrivals chan arrival
}

// arrival is how much of a stream can be read.
type arrival struct {
	end int64
	err error
}

func (s *session) newLoop(parts []Part) *loop {
	n := min(s.Slots.bound(), len(parts))
	rec := s.ledger.rec
	l := &loop{
		session: s, up: rec.Upload, queue: parts, slots: 1, stragglers: newStragglers(len(parts)),
		urls:     urls{renewable: rec.Upload.Renewable, window: 2 * n, have: make(map[int]held)},
		schedule: scheduleOf(rec.Upload, rec.Presigned, parts, s.concurrency()), moved: s.meter.bytes,
		outcomes: make(chan outcome, n), confirms: make(chan confirmed, n), presign: make(chan presigned, 1), written: make(chan written, 1),
		slot: make(chan struct{}, n), arrivals: make(chan arrival, 1),
	}
	l.urls.keep(rec.Presigned)
	l.up.File.Content = s.file.Content
	return l
}

// run sends all parts: each with its receipt on disk before its slot takes
// another.
func (l *loop) run(ctx context.Context, c *checkpoints) error {
	l.lateTold = l.tellLate(l.schedule)
	// What is in flight may arrive for a moment after the upload was told to stop.
	sending, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	begin, last := context.WithCancel(ctx) // ends when no part is begun any more
	defer last()
	defer l.returnSlots()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var over <-chan time.Time // the grace is over
	for {
		if l.err == nil && ctx.Err() == nil {
			l.start(sending, begin)
			c.start()
		}
		l.write(ctx)
		if l.idle() {
			return l.err
		}
		timer.Reset(l.wake(c.retryAt()))
		select {
		case o := <-l.outcomes:
			l.attempted(ctx, o)
		case o := <-l.confirms:
			l.answered(ctx, o)
		case u := <-l.presign:
			l.keep(ctx, u)
		case w := <-l.written:
			l.durable(w, c)
		case t := <-c.told:
			known, err := c.answered(ctx, t)
			l.fresh = append(l.fresh, known...)
			l.fail(err)
		case <-l.slot:
			l.slots, l.asked = l.slots+1, l.asked-1
		case a := <-l.arrivals:
			l.awaiting = false
			l.arrived = max(l.arrived, a.end)
			l.fail(a.err)
		case <-timer.C:
			l.look()
			if l.Slots.excess() > 0 && l.Slots.costly() {
				l.endSurplus()
			}
		case <-done(ctx, l.err):
			l.fail(context.Cause(ctx))
		case <-over:
			stop(l.err)
		}
		if l.err != nil && over == nil {
			last()
			over = time.After(grace)
			l.stopping(ctx)
		}
	}
}

// done is closed when ctx is done, unless the upload is stopping already.
func done(ctx context.Context, stopping error) <-chan struct{} {
	if stopping != nil {
		return nil
	}
	return ctx.Done()
}

// fail ends the beginning of parts. The first error counts.
func (l *loop) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// idle reports whether nothing is left to wait for.
func (l *loop) idle() bool {
	if l.writing || l.urls.asking || l.awaiting || len(l.fresh) > 0 {
		return false
	}
	if l.err == nil {
		return len(l.queue) == 0 && len(l.begun) == 0
	}
	return !slices.ContainsFunc(l.begun, func(p *part) bool { return p.stage == inFlight || p.stage == confirming })
}

// wake is how long nothing has to be done unless something comes.
func (l *loop) wake(checkpoint time.Time) time.Duration {
	now, most := time.Now(), tickMost
	at := func(t time.Time) { most = min(most, max(0, t.Sub(now))) }
	for _, p := range l.begun {
		switch p.stage {
		case signed, unconfirmed:
			if l.err == nil && p.next.After(now) {
				at(p.next)
			}
		case inFlight:
			if p.job.sent.Load() < p.Size {
				most = min(most, tickLeast)
			}
			if limit, _, ok := l.limit(p.Size, p.before); ok && p.mayStraggle() && p.job.began.Add(limit).After(now) {
				at(p.job.began.Add(limit))
			}
		}
	}
	for _, retry := range []time.Time{checkpoint, l.urls.next} {
		if retry.After(now) {
			at(retry)
		}
	}
	return most
}

// start begins parts while slots are free, sends those that can be sent and asks
// for presigned URLs.
func (l *loop) start(sending, begin context.Context) {
	now := time.Now()
	l.shareSlots()
	for len(l.begun)-l.overlap() < l.slots && len(l.queue) > 0 && (!l.overdue || len(l.begun) == 0) && l.readable(begin, l.queue[0]) {
		p := &part{Part: l.queue[0]}
		if _, ok := l.ledger.rec.Receipts[p.Number]; ok {
			p.stage = unconfirmed // an earlier run stored it
		}
		l.begun = append(l.begun, p)
		l.queue = l.queue[1:]
	}
	allowed := max(1, l.slots-l.Slots.excess()) + l.overlap()
	for _, p := range l.begun {
		if p.stage == inFlight || p.stage == journaling {
			allowed--
		}
	}
	for _, p := range l.begun {
		if p.stage == unconfirmed && !p.next.After(now) {
			l.confirm(sending, p)
		}
		if p.stage == unsigned || p.stage == signed {
			l.sign(p, now)
		}
		if p.stage == signed && !p.next.After(now) && allowed > 0 {
			l.send(sending, p, now)
			allowed--
		}
	}
	l.request(begin, now)
}

// overlap is 1 where one part fills a slow link and all of its bytes are sent: the
// next one goes while its answer is under way.
func (l *loop) overlap() int {
	if len(l.begun) != 1 || l.begun[0].stage != inFlight || l.begun[0].job.sent.Load() < l.begun[0].Size || !l.Slots.overlaps() {
		return 0
	}
	return 1
}

// readable reports whether the bytes of a part can be read. Those of a stream are
// waited for.
func (l *loop) readable(ctx context.Context, p Part) bool {
	end := p.Offset + p.Size
	if !l.src.Once() || end <= l.arrived {
		return true
	}
	if !l.awaiting {
		l.awaiting = true
		go func() { l.arrivals <- arrival{end, l.src.Ready(ctx, end)} }()
	}
	return false
}

// send gives a part to a worker.
func (l *loop) send(ctx context.Context, p *part, now time.Time) {
	ctx, p.cancel = context.WithCancelCause(ctx)
	p.stage, p.ended, p.before, p.told, p.sure = inFlight, false, l.stored, 0, 0
	p.job = &job{up: l.up, to: l.urls.have[p.Number].Presigned, part: p.Part, md5: l.hashes(p), began: now, noMD5: make(chan struct{}, 1)}
	go func(j *job) { l.outcomes <- send(ctx, l.Provider, l.src, j) }(p.job)
}

// hashes reports whether the MD5 of a part is to be computed.
func (l *loop) hashes(p *part) bool {
	return l.wantsMD5() && l.ledger.verifier.wants(p.Number, len(l.queue) == 0)
}

// find is the part that has begun under a number.
func (l *loop) find(number int) *part {
	return l.begun[slices.IndexFunc(l.begun, func(p *part) bool { return p.Number == number })]
}

// shareSlots asks for as many slots as there are parts for, and gives back those
// that have none, or that there are too many of, but for the caller's.
func (l *loop) shareSlots() {
	useful := min(l.Slots.bound(), len(l.begun)+len(l.queue))
	for l.slots+l.asked < useful {
		l.asked++
		l.Slots.ask(l.Rank, l.slot)
	}
	for excess := l.Slots.excess(); l.slots > max(1, useful) || excess > 0 && l.slots > max(1, len(l.begun)); excess-- {
		l.slots--
		l.Slots.Give()
	}
}

// returnSlots gives back all slots but the caller's.
func (l *loop) returnSlots() {
	l.slots += l.asked - l.Slots.withdraw(l.slot)
	for ; l.slots > 1; l.slots-- {
		l.Slots.Give()
	}
}
