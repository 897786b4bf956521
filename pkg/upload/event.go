package upload

import "time"

// Event is something that happened to one upload, for whoever watches.
type Event interface{ event() }

// Planned is the first event: the plan is in the journal.
type Planned struct {
	File        File
	Upload      string // the provider's name for the upload
	Parts       int
	Stored      int   // parts that need not be sent
	StoredBytes int64 // bytes that need not be sent
}

// Sent says that bytes of a part were handed to the network. An attempt that
// failed takes its bytes back: Bytes is negative. So does [Lost], all of its
// part's.
type Sent struct {
	Part  Part
	Bytes int64
}

// Stored says that a part's receipt is on disk.
type Stored struct{ Part Part }

// Lost says that a part that counted as stored has to be sent again.
type Lost struct {
	Part Part
	Why  string
}

// Retrying says that an operation failed and is tried again.
type Retrying struct {
	Op   string // what is tried again, such as "part 3"
	Err  error
	Wait time.Duration
}

// Warning is something the user should know and the upload survives.
type Warning struct{ Text string }

// Note says what was decided and why, for someone who wants to know.
type Note struct{ Text string }

// Finishing says that every part is stored and complete is about to be sent.
type Finishing struct{}

// Finished is the last event of an upload that succeeded.
type Finished struct{ Report Report }

func (Planned) event()   {}
func (Sent) event()      {}
func (Stored) event()    {}
func (Lost) event()      {}
func (Retrying) event()  {}
func (Warning) event()   {}
func (Note) event()      {}
func (Finishing) event() {}
func (Finished) event()  {}
