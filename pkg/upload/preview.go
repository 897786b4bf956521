package upload

import (
	"context"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// Step is what Upload does first with a file.
type Step string

// The first steps.
const (
	StepCreate   Step = "create"   // begin an upload
	StepSend     Step = "send"     // send the parts without a receipt
	StepComplete Step = "complete" // find out how it ended, sending no part
	StepWait     Step = "wait"     // wait until the file is ready, sending nothing
	StepDeliver  Step = "deliver"  // hand the stored result over, sending nothing
)

// Next is what Upload does with a file as it is now and what the journal has of
// it, nil for nothing. With compare, the parts that are stored are compared with
// the file before: those that differ are sent again, or all of them.
func Next(rec *Record, f File) (step Step, compare bool) {
	if rec == nil {
		return StepCreate, false
	}
	was := rec.Upload.File
	switch rec.State {
	case Sending:
		step = StepSend
	case Completing:
		step = StepComplete
	case Waiting:
		return StepWait, false
	case Done:
		step = StepDeliver
	default:
		return StepCreate, false
	}
	if was.Size != f.Size {
		return StepCreate, false
	}
	return step, !was.ModTime.Equal(f.ModTime) || was.ID != f.ID
}

// Preview is what Upload would do, as far as that can be told without asking
// the provider.
type Preview struct {
	File    File
	Target  Target
	Record  *Record // what the journal has that can be resumed; nil: nothing
	Next    Step
	Compare bool     // as of Next
	Moved   []string // paths whose unfinished upload is resumed instead, if it is of this file
	Parts   []Part   // the plan; nil: the provider makes it
	Left    []Part   // those of it that are sent
	Stored  int64    // bytes that are not sent

	Expires  time.Time     // when the upload ends; zero: not known
	Begin    time.Time     // by when its last part must have begun; zero: not known
	URLLife  time.Duration // how long a presigned URL of a new upload is good for; 0: not known
	Warnings []Warning     // what there is to say about the time
}

// Preview says what Upload would do with a file. It checks what Upload checks
// before its first request, sends nothing and records nothing.
func (u *Uploader) Preview(ctx context.Context, f File) (Preview, error) {
	var v Preview
	quiet := *u
	quiet.Observe = func(e Event) {
		if w, ok := e.(Warning); ok {
			v.Warnings = append(v.Warnings, w)
		}
	}
	src, err := source.Open(f.Path)
	if err != nil {
		return v, err
	}
	defer src.Close()
	s, err := quiet.newSession(src, f)
	if err != nil {
		return v, err
	}
	v.File, v.Target = s.file, s.target
	rec, err := s.Journal.Find(ctx, s.target, s.file.Path)
	if err != nil {
		return v, err
	}
	switch {
	case rec == nil, rec.State == Delivered:
		if v.Moved, err = s.perhaps(ctx); err != nil {
			return v, err
		}
	case rec.State != Corrupt:
		v.Record = rec
		s.earlier = rateOf(rec)
	}
	if v.Next, v.Compare = Next(v.Record, s.file); s.Restart {
		v.Next, v.Compare, v.Moved = StepCreate, false, nil
	}
	switch v.Next {
	case StepCreate:
		return v, s.previewNew(&v)
	case StepSend:
		v.Left, v.Stored = pending(v.Record)
		v.Expires = v.Record.Upload.Expires
		sc := scheduleOf(v.Record.Upload, v.Record.Presigned, v.Left, s.concurrency())
		v.Begin = sc.begin
		s.tellLate(sc)
	default:
		v.Stored = s.file.Size
	}
	v.Parts = v.Record.Upload.Parts
	for _, h := range v.Record.Upload.Existing {
		if v.Next == StepSend {
			v.Stored += h.Size
		}
	}
	return v, nil
}

// previewNew plans as create would.
func (s *session) previewNew(v *Preview) error {
	v.URLLife = s.limits.URLLife
	s.foresee(v.URLLife, 0)
	sc := schedule{bytes: s.file.Size}
	if !s.limits.Plans {
		parts, err := Split(s.file.Size, s.partSize(), s.limits)
		if err != nil {
			return err
		}
		v.Parts, v.Left = parts, parts
		sc.tail = tail(parts, s.concurrency())
	} else if size := max(s.PartSize, s.hint); s.limits.TakesHint && size > 0 {
		sc.tail = min(s.file.Size, size*int64(s.concurrency()))
	}
	if v.URLLife > 0 {
		sc.begin = time.Now().Add(v.URLLife)
	}
	s.tellLate(sc)
	return nil
}

// perhaps are the paths of what moved would look at.
func (s *session) perhaps(ctx context.Context) (paths []string, _ error) {
	candidates, err := s.Journal.Moved(ctx, s.target, s.file.Size)
	for _, c := range candidates {
		if s.mayBeMoved(c) {
			paths = append(paths, c.Path)
		}
	}
	return paths, err
}

// Stat is the file at a path as Upload would find it, without name and type.
func Stat(path string) (File, error) {
	src, err := source.Open(path)
	if err != nil {
		return File{}, err
	}
	return File{Path: src.Path, Size: src.Info.Size, ModTime: src.Info.ModTime, ID: src.Info.ID}, src.Close()
}
