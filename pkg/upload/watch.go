package upload

import "time"

// This file looks at what is in flight, a few times a second.

// look is what is done a few times a second: progress, and parts that take too
// long.
func (l *loop) look() {
	now, n, moved, inFlightBytes := time.Now(), l.inFlight(), int64(0), int64(0)
	ahead := Hashing{Why: ReadAhead}
	if l.awaiting && len(l.begun) == 0 {
		l.observe(Arriving{Done: l.arrived, Of: l.file.Size})
	}
	for _, p := range l.begun {
		if p.stage != inFlight {
			continue
		}
		moved += l.progress(p, now)
		inFlightBytes += p.told
		if read := p.job.ahead.Load(); read > 0 && p.told == 0 {
			ahead.Done, ahead.Of = ahead.Done+read, ahead.Of+p.Size
		}
		if usual, is := l.is(p.Size, p.before, n, p.job.began, now); is && p.mayStraggle() {
			p.ended = true
			p.cancel(&straggler{part: p.Number, took: now.Sub(p.job.began), usual: usual})
		}
	}
	if moved == 0 && ahead.Done < ahead.Of {
		l.observe(ahead)
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
