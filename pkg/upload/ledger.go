package upload

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// ledger is the record of one upload and its entry in the journal, and the only
// code that touches either. It belongs to the goroutine that owns the upload;
// only receive may run beside it.
type ledger struct {
	entry    Entry
	rec      *Record
	mine     map[int]bool // the parts that this call stored
	verifier verifier
}

// use makes rec, which is in the journal, the record of the ledger.
func (l *ledger) use(rec *Record) {
	l.rec, l.mine, l.verifier = rec, make(map[int]bool), verifier{}
	if rec.Receipts == nil {
		rec.Receipts = make(map[int]Receipt)
	}
}

// begin records a new upload. Presigned URLs are kept where they cannot be
// renewed.
func (l *ledger) begin(ctx context.Context, rec Record, urls []Presigned) error {
	if !rec.Upload.Renewable {
		rec.Presigned = urls
	}
	if err := l.entry.Begin(ctx, rec); err != nil {
		return err
	}
	rec.Presigned = urls
	l.use(&rec)
	return nil
}

// described records where the description of the provider is now, if it was moved.
// Whether its text is the one of the beginning can still be told.
func (l *ledger) described(ctx context.Context, path string) error {
	was := l.rec.Upload.Origin.Path
	if was == "" || path == "" || path == was || l.rec.State != Sending && l.rec.State != Completing {
		return nil
	}
	rec := *l.rec
	rec.Upload.Origin.Path = path
	if err := l.entry.Begin(ctx, rec); err != nil {
		return err
	}
	l.rec.Upload.Origin.Path = path
	return nil
}

// receive makes receipts durable. It may run beside the owner, one call at a
// time; keep comes after it.
func (l *ledger) receive(ctx context.Context, rs []Receipt) error { return l.entry.Receive(ctx, rs...) }

// record makes receipts durable and takes them into the record.
func (l *ledger) record(ctx context.Context, rs []Receipt) error {
	if err := l.receive(ctx, rs); err != nil {
		return err
	}
	for _, r := range rs {
		l.keep(r)
	}
	return nil
}

// keep takes a receipt that is durable into the record.
func (l *ledger) keep(r Receipt) { l.rec.Receipts[r.Part] = r }

// stored counts the parts that are stored.
func (rec *Record) stored() (n int) {
	for _, r := range rec.Receipts {
		if r.Unconfirmed == nil {
			n++
		}
	}
	return n
}

// step records what the provider keeps of the upload after a clear answer to
// one of several requests.
func (l *ledger) step(ctx context.Context, data json.RawMessage) error {
	rec := *l.rec
	rec.Upload.Data = data
	if err := l.entry.Begin(context.WithoutCancel(ctx), rec); err != nil {
		return err
	}
	l.rec.Upload.Data = data
	return nil
}

// finish records that the provider confirmed the upload, and what it keeps of
// it from then on; nil: what it kept before.
func (l *ledger) finish(ctx context.Context, s State, o *Outcome, data json.RawMessage) error {
	if data == nil {
		return l.advance(ctx, s, o)
	}
	rec := *l.rec
	rec.State, rec.Outcome, rec.Upload.Data, rec.Presigned = s, o, data, nil
	if err := l.entry.Begin(ctx, rec); err != nil {
		return err
	}
	l.rec.State, l.rec.Outcome, l.rec.Upload.Data = s, o, data
	return nil
}

// aborted records that the provider aborted a corrupt upload, whose receipts are not
// needed any more.
func (l *ledger) aborted(ctx context.Context) error {
	rec := *l.rec
	rec.Upload.Aborted, rec.Receipts, rec.Presigned = true, nil, nil
	return l.entry.Begin(context.WithoutCancel(ctx), rec)
}

// pending are the parts that are not stored; bytes counts those of the others.
func (l *ledger) pending() (parts []Part, bytes int64) { return pending(l.rec) }

func pending(rec *Record) (parts []Part, stored int64) {
	for _, p := range rec.Upload.Parts {
		if rec.Has(p.Number) {
			stored += p.Size
		} else {
			parts = append(parts, p)
		}
	}
	return parts, stored
}

// receipts are those of all parts, in the order of the plan.
func (l *ledger) receipts() ([]Receipt, error) {
	rs := make([]Receipt, len(l.rec.Upload.Parts))
	for i, p := range l.rec.Upload.Parts {
		if rs[i] = l.rec.Receipts[p.Number]; !l.rec.Has(p.Number) {
			return nil, fmt.Errorf("%w: it has no receipt of part %d", ErrJournal, p.Number)
		}
	}
	return rs, nil
}

// drop forgets the receipts of parts, which are sent again, and records the file
// as f is now.
func (l *ledger) drop(ctx context.Context, f File, parts []int) error {
	if err := l.entry.Refresh(ctx, f, parts...); err != nil {
		return err
	}
	l.rec.Upload.File = f
	for _, n := range parts {
		delete(l.rec.Receipts, n)
		delete(l.mine, n)
	}
	return nil
}

// compareNext makes the next run compare every stored part with the file, whatever
// its time says by then.
func (l *ledger) compareNext(ctx context.Context) error {
	if l.rec == nil {
		return nil
	}
	f := l.rec.Upload.File
	f.ModTime, f.ID = time.Time{}, ""
	return l.entry.Refresh(context.WithoutCancel(ctx), f)
}

// advance records another state. What is asked for after the provider acted is
// not undone by a signal.
func (l *ledger) advance(ctx context.Context, s State, o *Outcome) error {
	if err := l.entry.Advance(ctx, s, o); err != nil {
		return err
	}
	l.rec.State = s
	if o != nil {
		l.rec.Outcome = o
	}
	return nil
}

// mismatched are the parts whose ETags are not the MD5s of what was sent, in
// order. The verifier sees all receipts, those of an earlier run included.
func (l *ledger) mismatched() (bad []int) {
	for range 2 { // the first match says what those before it are
		bad = nil
		for _, p := range l.rec.Upload.Parts {
			if r, ok := l.rec.Receipts[p.Number]; ok && l.verifier.check(r) == mismatch {
				bad = append(bad, p.Number)
			}
		}
	}
	return bad
}

// verification is what the upload is verified by once the provider confirms it,
// all parts being stored.
func (l *ledger) verification() string {
	up := l.rec.Upload
	digest := up.Digest
	if len(up.Parts) == 1 && up.Parts[0].Size == up.File.Size && digest == "" { // the part is the whole
		digest = l.rec.Receipts[up.Parts[0].Number].VerifiedBy
	}
	switch digest {
	case DigestCRC32C:
		return VerifiedCRC32C
	case DigestMD5:
		return VerifiedMD5
	case DigestSHA1:
		return VerifiedSHA1
	case DigestSHA256:
		return VerifiedSHA256
	case DigestCRC64NVME:
		return VerifiedCRC64NVME
	}
	// Ranges that we did not send are there only with a digest of the whole.
	by := VerifiedETag
	for _, p := range up.Parts {
		switch r := l.rec.Receipts[p.Number]; {
		case matches(r):
		case r.Verified:
			by = VerifiedHeader
		default:
			return Unverified
		}
	}
	return by
}
