package main

import (
	"fmt"
	"os"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// spoolLimit is how much of standard input is buffered on disk at most, by default.
const spoolLimit = "16GiB"

// warnOfStream says what the upload of standard input cannot do.
func (a *app) warnOfStream(u *upload.Uploader, job upload.Job, warn func(string)) {
	if job.Spool.Needed(job.In) {
		if job.Size < 0 {
			warn("reading standard input to its end first, up to " + humanize.IBytes(uint64(job.Spool.Limit)) + ", as its size is not known (--size sets it)")
		}
		warn("standard input can be read only once: after an interruption, only the same data as a file, with the same --name, resumes the upload")
	}
	observe := u.Observe
	u.Observe = func(e upload.Event) {
		if p, ok := e.(upload.Planned); ok && p.File.Size == 0 {
			warn("standard input is empty: the upload has 0 bytes")
		}
		observe(e)
	}
}

// streamed reports whether a recorded path is that of standard input.
func streamed(path string) bool { return upload.Spool{}.Streamed(path) }

// named is how a recorded path is shown: standard input by its name.
func named(path, name string) string {
	if streamed(path) {
		return stdin + " (" + name + ")"
	}
	return path
}

// fileOf is how a message names the file of an upload.
func fileOf(r upload.Record) string { return transport.Visible(named(r.Path, r.Target.Name)) }

// isGone reports whether what is left to send of an upload is standard input of
// another process.
func isGone(r upload.Record) bool { return r.State == upload.Sending && streamed(r.Path) }

// goneError: what is left to send of an upload was standard input.
type goneError struct{ r upload.Record }

func (e *goneError) Error() string {
	return fmt.Sprintf("%s cannot be resumed: standard input is gone", fileOf(e.r))
}
func (*goneError) Unwrap() error { return upload.ErrNoInput }

// hint says how it is continued.
func (e *goneError) hint() string {
	if (upload.Spool{}).Gone(e.r.Path) {
		return asFile(e.r.Target.Name)
	}
	return "the same command continues it, with the same file: multiput upload - --name " + quoted(e.r.Target.Name) + " <FILE"
}

// asFile says how an upload of a pipe is continued.
func asFile(name string) string {
	return "upload the same data as a file, with --name " + quoted(name) + ", to continue"
}

// checkStdin refuses what cannot be meant with standard input.
func (a *app) checkStdin(o uploadOptions, files []string) error {
	uses := 0
	for _, file := range files {
		if file == stdin {
			uses++
		}
	}
	if o.filesFrom == stdin {
		uses++
	}
	f, isFile := a.stdin.(*os.File)
	switch streams := uses > 0 && o.filesFrom != stdin; {
	case uses > 1:
		return usagef("standard input is named more than once")
	case !streams && o.sizeGiven:
		return usagef("--size can only be used with standard input (-)")
	case streams && o.name == "":
		return usagef("standard input has no name: give it one with --name")
	case streams && o.dryRun:
		return usagef("--dry-run cannot look at standard input without reading it")
	case streams && o.restart && (upload.Spool{}).Needed(a.stdin):
		return usagef("--restart has nothing to abort: standard input is a new upload each time")
	case streams && isFile && term.IsTerminal(int(f.Fd())):
		return usagef("standard input is a terminal: pipe something into it")
	case uses > 0 && a.closedIn:
		return fmt.Errorf("standard input is closed: %w", upload.ErrNoInput)
	}
	return nil
}
