package progress

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// objects is one JSON object per event and line. docs/schema/events.json
// describes them.
type objects struct {
	w        io.Writer
	hint     Hint
	total    *total
	waits    *waits
	warnings bool // and nothing else
	verbose  bool // notes too, in any case
	told     time.Time
	gained   int64
}

func (o *objects) say(event string, f *file, with map[string]any) {
	with["schema"], with["event"], with["time"] = 1, event, time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	if f != nil && f.path != "" {
		with["file"] = f.path
	}
	o.print(with)
}

func (o *objects) print(object any) {
	if b, err := json.Marshal(object); err == nil {
		o.w.Write(append(transport.VisibleJSON(b), '\n')) //nolint:errcheck // see the package doc
	}
}

func (o *objects) event(f *file, e upload.Event) {
	o.continuing(o.waits.over())
	switch e := e.(type) {
	case upload.Lost:
		o.say("lost", f, map[string]any{"part": e.Part.Number, "bytes": e.Part.Size, "why": Text(e)})
		return
	case upload.Warning:
		o.say("warning", f, map[string]any{"text": o.hint.Text(e)})
		return
	case upload.Note, upload.Finishing:
		if o.verbose {
			o.say("note", f, map[string]any{"text": Text(e)})
		}
	}
	if _, is := e.(upload.Note); is {
		return
	}
	if o.warnings {
		return
	}
	switch e := e.(type) {
	case upload.Planned:
		o.say("planned", f, map[string]any{
			"upload": e.Upload, "size": e.File.Size, "parts": e.Parts,
			"parts_stored": e.Stored, "bytes_stored": e.StoredBytes,
		})
	case upload.Stored:
		o.say("stored", f, map[string]any{
			"part": e.Part.Number, "bytes": e.Part.Size,
			"parts_stored": f.storedParts, "bytes_stored": f.stored,
		})
	case upload.Retrying:
		with := map[string]any{"op": op(e), "error": transport.Line(e.Err.Error()), "wait_seconds": e.Wait.Seconds(), "attempt": e.Try + 1, "attempts": nil}
		if e.Most > 0 {
			with["attempts"] = e.Most
		}
		o.say("retrying", f, with)
	case upload.Hashing:
		why, _ := hashing(e.Why)
		o.say("reading", f, map[string]any{"why": why, "bytes": e.Done, "size": e.Of})
	case upload.Arriving:
		with := map[string]any{"why": "standard input", "bytes": e.Done, "size": nil}
		if e.Of >= 0 {
			with["size"] = e.Of
		}
		o.say("reading", f, with)
	case upload.Stopping:
		o.say("stopping", f, map[string]any{"parts_in_flight": e.InFlight, "grace_seconds": e.Grace.Seconds()})
	case upload.Finishing:
		o.say("completing", f, map[string]any{})
	case upload.Finished:
		o.say("done", f, map[string]any{
			"upload": e.Report.Upload, "size": e.Report.File.Size, "parts": e.Report.Parts, "parts_reused": e.Report.PartsReused, "concurrency": e.Report.Concurrency,
			"bytes_sent": e.Report.BytesSent, "seconds": e.Report.Elapsed.Seconds(), "verification": e.Report.Verification,
		})
	}
}

// tick says once a second how far all of it is, if anything moved: the bytes
// in flight are too many to tell of each time.
func (o *objects) tick() {
	if o.warnings {
		return
	}
	now, gained := time.Now(), o.total.gained()
	switch line, over := o.waits.tell(now); {
	case over > 0:
		o.continuing(over)
	case line != "":
		o.say("waiting", nil, map[string]any{"text": line})
	}
	if gained == o.gained || now.Sub(o.told) < time.Second {
		return
	}
	o.told, o.gained = now, gained
	with := map[string]any{
		"size": o.total.size(), "bytes_stored": o.total.stored(), "bytes_in_flight": o.total.gone() - o.total.stored(),
		"bytes_per_second": nil, "seconds_left": nil,
	}
	rate, left := o.total.speed(now)
	if rate >= 0 {
		with["bytes_per_second"] = int64(rate)
	}
	if left >= 0 {
		with["seconds_left"] = left.Round(time.Second).Seconds()
	}
	o.say("progress", nil, with)
}

// continuing says that a wait is over, if one is.
func (o *objects) continuing(after time.Duration) {
	if after > 0 && !o.warnings {
		o.say("continuing", nil, map[string]any{"seconds": after.Seconds()})
	}
}

// text passes objects on and makes one of every other line: a program that reads them
// must not stumble over a line that is none.
func (o *objects) text(p []byte) {
	for line := range bytes.Lines(p) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case line[0] == '{' && json.Valid(line):
			o.print(json.RawMessage(line))
		default:
			o.say("text", nil, map[string]any{"text": string(line)})
		}
	}
}

func (o *objects) warn(text string) {
	o.say("warning", nil, map[string]any{"text": transport.Clean(text)})
}

func (o *objects) ended(*file) {}
func (o *objects) close()      {}
