package upload

import "context"

// Journal remembers uploads across crashes. All methods are durable when they
// return nil, and may be called from several goroutines and processes.
type Journal interface {
	// Open takes the lock of the upload with this target and path, recording
	// nothing, and returns its entry. Where another process or goroutine holds
	// the lock, the error is a *BusyError (which wraps ErrBusy).
	Open(ctx context.Context, t Target, path string) (Entry, error)
	// Find reads the record of the upload with this target and path, nil if there
	// is none, taking no lock. Where another process or goroutine has it, the
	// error is a *BusyError.
	Find(ctx context.Context, t Target, path string) (*Record, error)
	// Moved lists the unfinished or undelivered uploads to this target, of a
	// file of this name and size, recorded under whichever path, most recent
	// first. Their receipts are included. Those that another process or goroutine
	// has are left out; locks are not kept.
	Moved(ctx context.Context, t Target, size int64) ([]Record, error)
}

// Entry is one upload in the journal, whose lock this process holds.
type Entry interface {
	// Load reads the record with all receipts; nil if there is none. What is
	// Delivered need not be kept.
	Load(ctx context.Context) (*Record, error)
	// Begin replaces whatever was recorded by r, its receipts included.
	Begin(ctx context.Context, r Record) error
	// Adopt makes the record that Moved listed under another path this entry's,
	// with the File that r has now, and removes the old one. ErrBusy: another
	// process has it, or took it meanwhile. Load afterwards.
	Adopt(ctx context.Context, r Record) error
	// Receive adds or replaces receipts. Calls that overlap share one commit.
	Receive(ctx context.Context, rs ...Receipt) error
	// Refresh records that the file is as f now, and forgets the receipts of
	// the given parts: they are to be sent again.
	Refresh(ctx context.Context, f File, drop ...int) error
	// Advance moves the record to another state: the next one, or from
	// Completing back to Sending after a clear refusal, or on to Corrupt. o is
	// stored with Waiting and Done. From then on, and with Corrupt, stored urls are
	// forgotten.
	Advance(ctx context.Context, s State, o *Outcome) error
	// Close releases the lock. The record stays.
	Close() error
}

// Forgetter is an Entry whose record can be removed: of an upload of which the
// provider has nothing, and refuses it.
type Forgetter interface {
	Forget(ctx context.Context) error
}

// InFlighter is an Entry that shows other processes how many bytes are in flight.
// The goroutine that owns the upload calls it a few times a second: it must not wait
// for a disk, and may drop values.
type InFlighter interface {
	InFlight(bytes int64)
}
