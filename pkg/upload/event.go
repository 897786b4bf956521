package upload

import "time"

// Event is something that happened to one upload. Events are data: a display
// puts them into words.
type Event interface{ event() }

// Warning is an Event that users should know about, and that does not end the upload.
type Warning interface {
	Event
	warning()
}

// Note is an Event that reports a decision and its reason.
type Note interface {
	Event
	note()
}

// happened, warned and noted make a type an Event, a Warning and a Note.
type (
	happened struct{}
	warned   struct{ happened }
	noted    struct{ happened }
)

func (happened) event() {}
func (warned) warning() {}
func (noted) note()     {}

// Op is a kind of request to the provider.
type Op string

// The requests there are.
const (
	OpCreate     Op = "create"
	OpPresign    Op = "presign"
	OpPart       Op = "part"
	OpCheckpoint Op = "checkpoint"
	OpComplete   Op = "complete"
	OpConfirm    Op = "confirm"
	OpReady      Op = "ready"
	OpProbe      Op = "probe"
	OpAbort      Op = "abort"
)

// What happens to an upload.
type (
	// Planned is the first event: the plan is in the journal.
	Planned struct {
		happened
		File        File
		Upload      string // the provider's name for the upload
		Parts       int
		Stored      int   // parts that need not be sent
		StoredBytes int64 // bytes that need not be sent
	}
	// Requesting says that a request other than a part's is about to be sent.
	Requesting struct {
		happened
		Op Op
	}
	// Hashing says that the file is read for its digests alone.
	Hashing struct {
		happened
		Why      Reading
		Done, Of int64 // bytes
	}
	// Arriving says how much of standard input is in the spool, a few times while
	// the upload waits for it.
	Arriving struct {
		happened
		Done, Of int64 // bytes; Of below 0: not known
	}
	// Sent says that bytes of a part were handed to the network. An attempt that
	// failed takes its bytes back: Bytes is negative. So does [Lost], all of its
	// part's.
	Sent struct {
		happened
		Part  Part
		Bytes int64
		Later bool // they are taken back though nothing failed: the part is sent later
	}
	// Stored says that a part's receipt is on disk.
	Stored struct {
		happened
		Part Part
	}
	// Lost says that a part that counted as stored is sent again, as its ETag is
	// not the MD5 of what was sent.
	Lost struct {
		happened
		Part Part
	}
	// Retrying says that a request failed and is retried.
	Retrying struct {
		happened
		Op   Op
		Part int // of OpPart and OpConfirm
		Err  error
		Try  int // the number of the try that failed, from 1
		Most int // tries there are; 0: as many as the time allows
		Wait time.Duration
	}
	// Stopping says that the upload was interrupted: parts in flight have Grace
	// to finish.
	Stopping struct {
		happened
		InFlight int
		Grace    time.Duration
	}
	// Finishing says that every part is stored and complete is about to be sent.
	Finishing struct {
		happened
		Receipts     int
		Verification string // what the upload is verified by once it is confirmed
	}
	// Unclear says whether the outcome of the upload would be unknown if the
	// program ended now: what ends the upload was sent and not clearly answered.
	Unclear struct {
		happened
		Is     bool
		Report Report // which it is
	}
	// Finished is the last event of an upload that succeeded.
	Finished struct {
		happened
		Report Report
	}
)

// Reading is why the file is read without being sent.
type Reading int

// The reasons there are.
const (
	ReadToCompare  Reading = iota // stored parts are compared with the file
	ReadForDigests                // for the digest of the whole that the provider takes
	ReadAhead                     // for the digests that the provider wants before the bytes
)

// Reason is why an upload starts over.
type Reason int

// The reasons there are.
const (
	Asked             Reason = iota // it was asked for
	SizeChanged                     // the file has another size
	RememberedChanged               // the file changed in a part that the provider remembers
	EndedChanged                    // the file changed after its last part was stored
	PartSizeChanged                 // another part size was asked for, and nothing is stored
	PlannedChanged                  // the file changed since it was planned for other machines
	BadPlan                         // the recorded plan does not tile the file
	Ended                           // the provider cannot continue it
)

// Warnings.
type (
	// StartingOver says that an upload is replaced by a new one.
	StartingOver struct {
		warned
		Reason  Reason
		Was, Is int64 // bytes, of SizeChanged and PartSizeChanged
		Err     error // of BadPlan and Ended
	}
	// CompletedElsewhere says that another run completed the upload, of which the
	// journal does not know.
	CompletedElsewhere struct {
		warned
		Upload string
	}
	// Resending says how many stored parts are sent again because the file changed.
	Resending struct {
		warned
		Parts int
	}
	// Mismatched says that a part was damaged in transit and is sent again.
	Mismatched struct {
		warned
		Part int
		Err  error
	}
	// TookOver says how many parts of an existing upload of the provider are used.
	TookOver struct {
		warned
		Upload string
		Parts  int   // that the provider has, and that are the file's
		Differ []int // that it has, and that are sent again
	}

	// OriginChanged says that the description of the provider changed since the upload
	// was created.
	OriginChanged struct {
		warned
		Upload string
		Path   string
	}
	// PartSizeIgnored says that the plan has parts of another size than was asked for.
	PartSizeIgnored struct {
		warned
		Asked, Has int64 // bytes
		Stored     int   // parts that are stored with it
		Planned    bool  // other machines may have stored some; without either it is of a new plan
		Multiple   int64 // of which the provider takes multiples, where that is why; 0: the provider chose it
	}
	// ClockSkew says how far this machine's clock is ahead of the provider's.
	ClockSkew struct {
		warned
		Skew time.Duration
	}
	// Outage says that the provider cannot be reached, and how long it is tried.
	Outage struct {
		warned
		Err error
		For time.Duration
	}
	// AbortFailed says that an upload could not be aborted at the provider.
	AbortFailed struct {
		warned
		Upload string
		Err    error
	}
	// AbortTooLate says that an upload that was to be aborted was completed.
	AbortTooLate struct {
		warned
		Upload string
	}
	// CheckpointFailed says that a checkpoint failed.
	CheckpointFailed struct {
		warned
		Err error
	}
	// Late says that the upload cannot finish in time at the measured rate.
	Late struct {
		warned
		Lack
	}
	// NeedsRate says which rate the upload needs, where none is known.
	NeedsRate struct {
		warned
		Rate  float64 // bytes per second
		Bytes int64
		Have  time.Duration
		URLs  bool // it is the presigned URLs that end, not the upload
	}
	// LargerParts says that the provider is asked for larger parts, as not all
	// parts would begin before the presigned URLs expire.
	LargerParts struct {
		warned
		Rate     float64 // bytes per second
		Life     time.Duration
		PartSize int64
	}
)

// Notes.
type (
	// ReadsAhead says that the file is read once more, as the provider wants
	// digests before the bytes.
	ReadsAhead struct{ noted }
	// NotReady says that the file is not ready yet, and how long until the next request.
	NotReady struct {
		noted
		Wait time.Duration
	}
	// Found says what the journal has of the file, and what comes next.
	Found struct {
		noted
		Had    State // what was found for this path; empty: nothing
		At     time.Time
		Upload string
		Next   Step
		Stored int  // parts
		Parts  int  // of the plan
		Moved  bool // it was recorded under another path
	}
	// Overdue says that the upload has ended by this machine's clock: one part is
	// sent to see what the provider says.
	Overdue struct {
		noted
		Upload string
		End    time.Time
	}
	// PlanMade describes the plan of a new upload.
	PlanMade struct {
		noted
		Upload    string
		Parts     int
		PartSize  int64 // of the first
		Client    bool  // the client made it
		Existing  int   // ranges that the provider already has
		URLs      int   // presigned URLs that came with it
		Renewable bool
		NoRequest bool // none is made for URLs
		Expires   time.Time
	}
	// Presigning says that presigned URLs are requested for parts, as Missing has
	// none that is valid; 0: ahead of need.
	Presigning struct {
		noted
		Parts   []int
		Missing int
	}
	// ETagsKnown says what the ETags of this store are.
	ETagsKnown struct {
		noted
		MD5   bool
		Parts int // that were looked at, where they are not MD5s
	}
	// Concurrency says that another number of parts is in flight at once.
	Concurrency struct {
		noted
		Was, Is int
		Why     Why
		Goodput float64 // bytes per second; 0: not known yet
	}
	// Aborting says that an upload is aborted.
	Aborting struct {
		noted
		Upload string
	}
	// Checkpointed says how many more receipts the provider remembers.
	Checkpointed struct {
		noted
		Parts int
	}
	// Probed is the result of requesting the status of an upload.
	Probed struct {
		noted
		Answer Answer
		Err    error
	}
)
