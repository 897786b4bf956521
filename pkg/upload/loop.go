package upload

import (
	"cmp"
	"context"
	"errors"
	"net/http"
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

// written is what came of making receipts durable, and of looking at the file
// after that.
type written struct {
	receipts     []Receipt
	err, changed error
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

// stopping ends attempts that cannot arrive within the grace.
func (l *loop) stopping(ctx context.Context) {
	n := 0
	for _, p := range l.begun {
		if p.stage != inFlight {
			continue
		}
		sent, took := p.job.sent.Load(), time.Since(p.job.began)
		if left := p.Size - sent; left > 0 && took > tickLeast && float64(left) > float64(sent)*grace.Seconds()/took.Seconds() {
			p.cancel(l.err)
			continue
		}
		n++
	}
	if ctx.Err() != nil {
		l.observe(Stopping{InFlight: n, Grace: grace})
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

// attempted handles the outcome of an attempt: it is verified, and then either its
// receipt goes to the journal, or the part is retried, or the upload fails.
// docs/design/retries.md has the table.
func (l *loop) attempted(ctx context.Context, o outcome) {
	p := l.find(o.job.part.Number)
	l.changed(l.Slots.moved(l.progress(p, time.Now())))
	l.report.BytesSent += p.told
	cause := context.Cause(ctx)
	p.cancel(nil)
	if o.err == nil && l.ledger.verifier.check(o.receipt) == mismatch {
		o.err = mismatched(p.Number)
	}
	if o.err == nil {
		l.meter.move(p.Size-p.sure, p.job.began, time.Now())
		l.timed(p.Size, time.Since(p.job.began))
		l.heard(nil)
		p.stage = journaling
		l.fresh = append(l.fresh, o.receipt)
		for _, q := range l.begun {
			if q.stage == inFlight && !l.hashes(q) {
				select {
				case q.job.noMD5 <- struct{}{}:
				default: // it is told already
				}
			}
		}
		return
	}
	surplus := errors.Is(o.err, errSurplus)
	if surplus {
		defer l.requeue(p)
	}
	l.meter.undo(p.sure)
	if p.told > 0 {
		l.observe(Sent{Part: p.Part, Bytes: -p.told, Later: surplus})
	}
	if cause == nil {
		l.heard(o.err)
	}
	p.stage = signed
	if l.err != nil || cause != nil || surplus {
		return // it is sent later, or by the next run
	}
	l.failed(p, o.err)
}

// errSurplus ends an attempt that is more than a slow link takes.
var errSurplus = errors.New("more parts are in flight than the connection can carry")

// endSurplus ends the youngest attempts of a slow or limited link where there are more than
// slots, so that parts finish one after the other instead of all at the end. Two may
// go on: to begin one of them again would cost more.
func (l *loop) endSurplus() {
	n := 0
	for _, p := range l.begun { // the oldest first
		if p.stage != inFlight || p.ended {
			continue
		}
		if n++; n > l.slots-l.Slots.excess() && n > 2 && p.job.sent.Load() < p.Size/2 {
			p.ended = true
			p.cancel(errSurplus)
		}
	}
}

// requeue makes a part one that has not begun.
func (l *loop) requeue(p *part) {
	l.begun = slices.DeleteFunc(l.begun, func(q *part) bool { return q == p })
	at, _ := slices.BinarySearchFunc(l.queue, p.Part, func(a, b Part) int { return cmp.Compare(a.Offset, b.Offset) })
	l.queue = slices.Insert(slices.Clip(l.queue), at, p.Part)
}

// failed decides what comes after an attempt that failed.
func (l *loop) failed(p *part, err error) {
	if errors.Is(err, ErrExpired) {
		l.urls.refuse(p.job.to)
		p.stage = unsigned
		if p.expired++; p.expired == maxExpired && l.up.Renewable {
			l.fail(l.clockError(err))
			return
		}
		l.observe(Retrying{Op: OpPart, Part: p.Number, Err: err, Try: p.expired})
		return
	}
	p.expired = 0
	if s, ok := err.(*straggler); ok && s != nil { //nolint:errorlint // it is ours, as we gave it
		p.stragglers++
	}
	if errors.Is(err, ErrChecksum) {
		l.observe(Mismatched{Part: p.Number, Err: err})
	}
	wait, again := l.again(&p.tries, OpPart, p.Number, err)
	if !again {
		l.fail(l.lost(unfinished(triedOften(err, p.tries))))
		return
	}
	p.next = time.Now().Add(wait)
	l.changed(l.Slots.troubled(troubleOf(err)))
}

// troubleOf says whether an error may come of too much in flight.
func troubleOf(err error) trouble {
	var t *transport.Error
	switch {
	case !errors.As(err, &t) || t.Unsent:
		return noTrouble
	case t.Status == http.StatusServiceUnavailable || t.Status == http.StatusTooManyRequests:
		return refusal
	case t.Status == 0 || t.Status == http.StatusRequestTimeout || t.Status == http.StatusGatewayTimeout:
		return breakage
	}
	return noTrouble
}

// write makes receipts durable, all that came meanwhile in one go. A signal does
// not undo it: the parts are stored.
func (l *loop) write(ctx context.Context) {
	if l.writing || len(l.fresh) == 0 {
		return
	}
	batch := l.fresh
	l.fresh, l.writing = nil, true
	go func() {
		w := written{receipts: batch, err: l.ledger.receive(context.WithoutCancel(ctx), batch)}
		if w.err == nil && slices.ContainsFunc(batch, func(r Receipt) bool { return !r.Checkpointed }) {
			w.changed = l.src.Same()
		}
		l.written <- w
	}()
}

// durable counts receipts that are on disk, and frees their slots.
func (l *loop) durable(w written, c *checkpoints) {
	l.writing = false
	if w.err != nil {
		l.fail(w.err)
		l.begun = slices.DeleteFunc(l.begun, func(p *part) bool {
			return slices.ContainsFunc(w.receipts, func(r Receipt) bool { return !r.Checkpointed && r.Part == p.Number })
		})
		return
	}
	remembered := 0
	for _, r := range w.receipts {
		l.ledger.keep(r)
		if r.Checkpointed {
			c.noted(r)
			remembered++
			continue
		}
		p := l.find(r.Part)
		if r.Unconfirmed != nil {
			p.stage, p.tries = unconfirmed, transport.Tries{}
			continue
		}
		l.ledger.mine[r.Part] = true
		l.count()
		l.observe(Stored{Part: p.Part})
		if e, ok := l.ledger.verifier.news(); ok && l.Checksum != ChecksumOff {
			l.observe(e)
		}
		l.begun = slices.DeleteFunc(l.begun, func(q *part) bool { return q == p })
		delete(l.urls.have, r.Part)
		l.overdue = false
		c.add(r)
		l.release(r)
	}
	if remembered > 0 {
		l.observe(Checkpointed{Parts: remembered})
	}
	l.fail(w.changed)
	if l.Checksum == ChecksumRequire && l.ledger.verifier.opaque() && l.up.Digest == "" && slices.ContainsFunc(w.receipts, func(r Receipt) bool { return !r.Verified }) {
		l.fail(errUnproven) // before the rest is sent for nothing
	}
	if l.err == nil {
		l.fail(l.inTime())
	}
}

// look is what is done a few times a second: progress, and parts that take too
// long.
func (l *loop) look() {
	now, n, moved, inFlightBytes := time.Now(), l.inFlight(), int64(0), int64(0)
	if l.awaiting && len(l.begun) == 0 {
		l.observe(Arriving{Done: l.arrived, Of: l.file.Size})
	}
	for _, p := range l.begun {
		if p.stage != inFlight {
			continue
		}
		moved += l.progress(p, now)
		inFlightBytes += p.told
		if usual, is := l.is(p.Size, p.before, n, p.job.began, now); is && p.mayStraggle() {
			p.ended = true
			p.cancel(&straggler{part: p.Number, took: now.Sub(p.job.began), usual: usual})
		}
	}
	l.changed(l.Slots.moved(moved))
	if e, ok := l.ledger.entry.(InFlighter); ok {
		e.InFlight(inFlightBytes)
	}
}

// inFlight is how many parts are.
func (l *loop) inFlight() (n int) {
	for _, p := range l.begun {
		if p.stage == inFlight {
			n++
		}
	}
	return n
}

// progress tells of the bytes of a part that were sent since the last time, and
// counts them.
func (l *loop) progress(p *part, now time.Time) int64 {
	sent := p.job.sent.Load()
	if sent == p.told {
		return 0
	}
	moved := sent - p.told
	l.observe(Sent{Part: p.Part, Bytes: moved})
	p.told = sent
	if sure := sent - unsure; sure > p.sure {
		l.meter.move(sure-p.sure, p.job.began, now)
		p.sure = sure
	}
	return moved
}

// inTime looks, at most once a second, whether the rest will be in time. Its
// error is that another plan is needed, and would do.
func (l *loop) inTime() error {
	now := time.Now()
	if l.lateTold || l.schedule.begin.IsZero() && l.schedule.end.IsZero() || now.Before(l.lookNext) {
		return nil
	}
	l.lookNext = now.Add(time.Second)
	rate, ok := l.meter.rate(min(evidence, l.schedule.nearest(l.started)/10))
	if !ok {
		return nil
	}
	lack, late := l.schedule.lacking(rate, l.meter.bytes-l.moved, now)
	if !late {
		return nil
	}
	if lack.URLs && float64(lack.Need)*spare > float64(lack.Have) && !l.restarted && l.better(rate, max(l.urlLife, lack.Have)) > l.schedule.largest {
		return &tooSlow{lack}
	}
	l.lateTold = true
	l.observe(Late{Lack: lack})
	return nil
}

// release lets go of the bytes of parts that are not sent again, where the source
// keeps them: it reads on when there is room. Those that the verifier may yet
// reject are kept as long as there is room for them and for others.
func (l *loop) release(r Receipt) {
	if !l.src.Once() {
		return
	}
	l.kept = append(l.kept, r)
	roomy := l.src.Room()/(opaqueAfter+2) >= l.schedule.largest
	l.kept = slices.DeleteFunc(l.kept, func(r Receipt) bool {
		if roomy && !l.ledger.verifier.settled(r) {
			return false
		}
		p := l.up.Parts[slices.IndexFunc(l.up.Parts, func(p Part) bool { return p.Number == r.Part })]
		l.src.Release(p.Offset, p.Size)
		l.released = true
		return true
	})
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

// mismatched is a part whose ETag is not the MD5 of what was sent, where ETags
// are MD5s.
func mismatched(part int) error {
	return &damaged{"part " + itoa(part) + " arrived damaged: its ETag is not the MD5 of what was sent"}
}
