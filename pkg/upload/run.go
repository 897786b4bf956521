package upload

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/source"
	"github.com/multiput/multiput/pkg/transport"
)

// run is one call of Upload.
type run struct {
	*Uploader
	src     *source.File
	file    File
	target  Target
	limits  Limits
	entry   Entry
	started time.Time
	sent    atomic.Int64

	storing  sync.Mutex // guards Record.Receipts while parts are sent
	watching sync.Mutex // one event at a time
	report   Report
	verify   verifier
}

// finish takes an upload from wherever it is to its end. A nil record is one
// that is still to be created.
func (r *run) finish(ctx context.Context, rec *Record) error {
	var err error
	if rec == nil {
		if rec, err = r.create(ctx); err != nil {
			return err
		}
	}
	r.verify = verifier{}
	r.report.Upload = rec.Upload.ID
	r.report.Parts = len(rec.Upload.Parts)
	r.report.PartsReused, r.report.PartsStored = len(rec.Receipts), len(rec.Receipts)

	if rec.State == Sending {
		if err := r.send(ctx, rec); err != nil {
			return err
		}
	} else {
		r.judgeAll(rec)
	}
	if rec.State != Done {
		if err := r.complete(ctx, rec); err != nil {
			return err
		}
	}
	return r.deliver(ctx, rec)
}

// judgeAll lets the verifier see the receipts of an earlier run, and gives the
// parts that are not what was sent. Two rounds: the first match condemns those
// before it.
func (r *run) judgeAll(rec *Record) (bad []int) {
	for range 2 {
		bad = nil
		for _, p := range rec.Upload.Parts {
			if receipt, ok := rec.Receipts[p.Number]; ok && r.verify.judge(receipt) == mismatch {
				bad = append(bad, p.Number)
			}
		}
	}
	return bad
}

// send stores every part that has no receipt. It goes round again for parts
// whose receipts turn out to be of other bytes than were sent.
func (r *run) send(ctx context.Context, rec *Record) error {
	check := r.newCheckpoints(ctx, rec)
	defer check.stop()

	planned := false
	for round := 0; ; round++ {
		bad, err := r.condemn(rec)
		if err != nil {
			return err
		}
		if len(bad) > 0 {
			check.forget(bad)
			if err := r.entry.Refresh(ctx, rec.Upload.File, bad...); err != nil {
				return err
			}
		}
		pending, stored := r.pending(rec)
		if !planned {
			r.observe(Planned{File: r.file, Upload: rec.Upload.ID, Parts: len(rec.Upload.Parts), Stored: len(rec.Upload.Parts) - len(pending), StoredBytes: stored})
		} else {
			for _, p := range pending {
				r.observe(Lost{Part: p, Why: "its ETag is not the MD5 of what was sent"})
			}
		}
		planned = true
		if len(pending) == 0 {
			break
		}
		if round > 2 {
			return fmt.Errorf("%d parts: %w", len(pending), ErrChecksum)
		}
		if err := r.sendAll(ctx, rec, pending, check); err != nil {
			return err
		}
	}
	if err := r.src.Same(); err != nil {
		return err
	}
	return check.settle(ctx)
}

// condemn forgets the receipts of parts that are not what was sent.
func (r *run) condemn(rec *Record) ([]int, error) {
	r.storing.Lock() // a checkpoint may be storing
	defer r.storing.Unlock()
	bad := r.judgeAll(rec)
	for _, n := range bad {
		if rec.Receipts[n].Checkpointed {
			return nil, fmt.Errorf("part %d: the provider remembers a receipt that is not of the bytes sent: %w", n, ErrChecksum)
		}
		delete(rec.Receipts, n)
	}
	r.report.PartsStored = len(rec.Receipts)
	return bad, nil
}

// pending are the parts without a receipt; stored counts the bytes of the
// others.
func (r *run) pending(rec *Record) (parts []Part, stored int64) {
	r.storing.Lock()
	defer r.storing.Unlock()
	for _, p := range rec.Upload.Parts {
		if _, ok := rec.Receipts[p.Number]; ok {
			stored += p.Size
		} else {
			parts = append(parts, p)
		}
	}
	return parts, stored
}

// sendAll sends parts concurrently, each with its receipt on disk before its
// sender takes the next.
func (r *run) sendAll(ctx context.Context, rec *Record, pending []Part, check *checkpoints) error {
	n := r.Concurrency
	if n <= 0 {
		n = DefaultConcurrency
	}
	n = min(n, len(pending))
	var next atomic.Int64
	g := newGrants(rec.Grants)
	g.regrant, g.window = rec.Upload.Regrant, 2*n
	g.next = func(most int) []Part {
		i := min(int(next.Load()), len(pending))
		return pending[i:min(len(pending), i+most)]
	}
	g.fetch = func(ctx context.Context, parts []Part) (got []Grant, err error) {
		err = r.retry(ctx, "ask for leave to send", func(ctx context.Context) (err error) {
			got, err = r.Provider.Grant(ctx, rec.Upload, parts)
			return err
		})
		return got, err
	}

	workers, ctx := errgroup.WithContext(ctx)
	sending, stop := afterGrace(ctx)
	defer stop()
	for range n {
		workers.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(pending) {
					return nil
				}
				receipt, err := r.sendPart(ctx, sending, rec.Upload, pending[i], g)
				if err != nil {
					return err
				}
				// Durable before visible, and not undone by a signal.
				if err := r.entry.Receive(context.WithoutCancel(ctx), receipt); err != nil {
					return err
				}
				r.store(rec, receipt)
				g.used(receipt.Part)
				r.observe(Stored{pending[i]})
				check.add(receipt)
				if err := r.src.Same(); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return r.lost(workers.Wait())
}

// store notes receipts that are on disk.
func (r *run) store(rec *Record, rs ...Receipt) {
	r.storing.Lock()
	defer r.storing.Unlock()
	for _, receipt := range rs {
		rec.Receipts[receipt.Part] = receipt
	}
	r.report.PartsStored = len(rec.Receipts)
}

// lost turns the errors by which the provider says that an upload cannot go on
// into the one that starts over.
func (r *run) lost(err error) error {
	if errors.Is(err, ErrGone) || (errors.Is(err, ErrExpired) && !errors.Is(err, ErrUnfinished)) {
		return fmt.Errorf("%w: %w", errStartOver, err)
	}
	return err
}

// afterGrace gives a context that ends a moment after ctx does, so that parts
// whose bytes are on their way may still bring their receipts home.
func afterGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var mu sync.Mutex
	var timer *time.Timer
	unhook := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return later, func() {
		unhook()
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		cancel(nil)
	}
}

// sendPart stores one part and proves it, as often as the policy allows. ctx
// ends the trying, sending the attempt under way.
func (r *run) sendPart(ctx, sending context.Context, up Upload, p Part, g *grants) (Receipt, error) {
	var receipt Receipt
	op := fmt.Sprintf("part %d", p.Number)
	err := r.retry(ctx, op, func(context.Context) error {
		for expired := 0; ; {
			grant, _, err := g.take(ctx, p)
			if err != nil {
				return err
			}
			receipt, err = r.attempt(sending, up, grant, p)
			if !errors.Is(err, ErrExpired) {
				return err
			}
			g.refuse(grant)
			r.observe(Retrying{Op: op, Err: err})
			if expired++; expired >= maxExpired && up.Regrant {
				return clockError(err)
			}
		}
	})
	return receipt, err
}

// attempt sends a part once.
func (r *run) attempt(ctx context.Context, up Upload, g Grant, p Part) (Receipt, error) {
	section := r.src.Section(p.Offset, p.Size, r.Checksum != ChecksumOff)
	body := &sentReader{run: r, part: p, r: section}
	receipt, err := r.Provider.Put(ctx, up, g, p, body)
	if err == nil && r.verify.judge(withDigest(&receipt, section, p)) == mismatch {
		err = &corrupt{part: p.Number}
	}
	body.flush()
	if err != nil {
		r.observe(Sent{Part: p, Bytes: -body.total})
		return Receipt{}, err
	}
	return receipt, nil
}

func withDigest(rc *Receipt, s *source.Section, p Part) Receipt {
	d, _ := s.Digest()
	rc.Part, rc.CRC32C, rc.MD5 = p.Number, d.CRC32C, d.MD5
	return *rc
}

// corrupt is a part that arrived as other bytes than were sent.
type corrupt struct{ part int }

func (e *corrupt) Error() string {
	return fmt.Sprintf("part %d arrived damaged: its ETag is not the MD5 of what was sent", e.part)
}
func (e *corrupt) Unwrap() error             { return ErrChecksum }
func (e *corrupt) Temporary() bool           { return true }
func (e *corrupt) RetryAfter() time.Duration { return 0 }

// sentReader tells of the bytes that go out, a few times a second.
type sentReader struct {
	*run
	part  Part
	r     io.Reader
	total int64 // told of
	more  int64 // to tell of
	last  time.Time
}

func (s *sentReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sent.Add(int64(n))
	s.more += int64(n)
	if now := time.Now(); now.Sub(s.last) >= 50*time.Millisecond {
		s.last = now
		s.flush()
	}
	return n, err
}

func (s *sentReader) flush() {
	if s.more > 0 {
		s.observe(Sent{Part: s.part, Bytes: s.more})
		s.total += s.more
		s.more = 0
	}
}

// digests computes the whole-file digest that the upload takes at its end. The
// CRC comes from those of the parts; only ranges that this client did not send
// are read for it, and MD5, which cannot be combined, reads all.
func (r *run) digests(ctx context.Context, rec *Record) (Digests, error) {
	switch rec.Upload.Digest {
	case DigestMD5:
		d, err := r.src.Hash(0, r.file.Size, true, ctx.Err)
		return Digests{MD5: d.MD5}, err
	case DigestCRC32C:
		crcs := make(map[int64]uint32)
		sizes := make(map[int64]int64)
		for _, p := range rec.Upload.Parts {
			crcs[p.Offset], sizes[p.Offset] = rec.Receipts[p.Number].CRC32C, p.Size
		}
		for _, h := range rec.Upload.Held {
			d, err := r.src.Hash(h.Offset, h.Size, false, ctx.Err)
			if err != nil {
				return Digests{}, err
			}
			crcs[h.Offset], sizes[h.Offset] = d.CRC32C, h.Size
		}
		var crc uint32
		for off := int64(0); off < r.file.Size; off += sizes[off] {
			crc = source.CombineCRC32C(crc, crcs[off], sizes[off])
		}
		return Digests{CRC32C: binary.BigEndian.AppendUint32(nil, crc)}, nil
	}
	return Digests{}, nil
}

func (r *run) verification(up Upload) string {
	switch {
	case up.Digest == DigestCRC32C:
		return VerifiedCRC32C
	case up.Digest == DigestMD5:
		return VerifiedMD5
	case r.verify.byMD5():
		return VerifiedETag
	}
	return Unverified
}

// complete ends the upload at the provider. The journal says "completing"
// before anything is sent; an answer that is not clear leaves it so.
func (r *run) complete(ctx context.Context, rec *Record) error {
	d, err := r.digests(ctx, rec)
	if err != nil {
		return err
	}
	// The digests may have read the file: whatever they read must be of the
	// same version as the parts.
	if err := r.src.Same(); err != nil {
		return err
	}
	verified := r.verification(rec.Upload)
	if r.Checksum == ChecksumRequire && verified == Unverified {
		return fmt.Errorf("the provider's receipts are no checksums of the parts, and it takes none of the file: %w", ErrUnverified)
	}
	// An earlier run may have sent complete and died before the answer.
	doubt := rec.State == Completing
	if !doubt {
		if err := r.entry.Advance(ctx, Completing, nil); err != nil {
			return err
		}
		rec.State = Completing
	}
	r.observe(Ending{})
	receipts := make([]Receipt, len(rec.Upload.Parts))
	for i, p := range rec.Upload.Parts {
		receipts[i] = rec.Receipts[p.Number]
	}
	var result Result
	err = transport.Retry(ctx, r.Retry, func(err error, wait time.Duration) {
		r.observe(Retrying{Op: "complete", Err: err, Wait: wait})
	}, func(ctx context.Context) (err error) {
		result, err = r.Provider.Complete(ctx, rec.Upload, receipts, d)
		doubt = doubt || (err != nil && !clear(err))
		return err
	})
	if err == nil {
		rec.State = Done
		rec.Outcome = &Outcome{Result: result, Verification: verified}
		return r.entry.Advance(context.WithoutCancel(ctx), Done, rec.Outcome)
	}
	if doubt && !errors.Is(err, ErrDenied) {
		return fmt.Errorf("complete was sent, and no clear answer came: %w: %w", ErrDoubt, err)
	}
	if !doubt {
		// It was clearly not completed: the next run may try with what is stored.
		if back := r.entry.Advance(context.WithoutCancel(ctx), Sending, nil); back != nil {
			return errors.Join(err, back)
		}
		rec.State = Sending
	}
	return r.lost(unfinished(err))
}

// clear reports whether an error of complete says for certain that nothing was
// completed: a refusal, a wish to come later, a request that never left.
func clear(err error) bool {
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrGone) || errors.Is(err, ErrDenied) {
		return true
	}
	var t *transport.Error
	if !errors.As(err, &t) {
		return false
	}
	return t.Unsent || t.Status == 429 || t.Status == 503
}

func equal(a, b []byte) bool { return bytes.Equal(a, b) }

func hashers() int { return runtime.GOMAXPROCS(0) }

// group is an errgroup that carries its context.
type group struct {
	*errgroup.Group
	ctx context.Context //nolint:containedctx // the group's own
}

func newGroup(ctx context.Context, limit int) group {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limit)
	return group{g, ctx}
}
