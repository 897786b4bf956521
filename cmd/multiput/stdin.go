package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/upload"
)

// spoolLimit is how much of standard input may wait on the disk where nobody
// says.
const spoolLimit = "16GiB"

// stream uploads standard input. warn is told what that cannot do.
func (a *app) stream(ctx context.Context, cfg config.Config, u *upload.Uploader, f upload.File, o uploadOptions, warn func(string)) (upload.Report, error) {
	size := o.size
	if f, ok := a.stdin.(*os.File); ok && size < 0 {
		size = rest(f)
	}
	s := upload.Spool{Dir: spoolDir(cfg), Limit: o.spoolLimit}
	if size < 0 {
		warn("standard input is read to its end first, up to " + humanize.IBytes(uint64(s.Limit)) + ", as its size is not known (--size says it)")
	}
	warn("standard input can be read only once: if this ends before it is done, only the same data as a file, with the same --name, continues it")
	return u.UploadStream(ctx, a.stdin, size, s, f)
}

// spoolDir is where standard input waits on the disk: beside the journal.
func spoolDir(cfg config.Config) string { return filepath.Join(filepath.Dir(cfg.Journal), "spool") }

// streamed reports whether a recorded path is that of a stream's spool, which is
// not there any more.
func streamed(cfg config.Config, path string) bool {
	dir, err := filepath.Abs(spoolDir(cfg))
	_, gone := os.Lstat(path)
	return err == nil && gone != nil && strings.HasPrefix(path, dir+string(os.PathSeparator))
}

// rest is how much of a regular file is still to be read; -1 for anything else.
func rest(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return -1
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil || at > info.Size() {
		return -1
	}
	return info.Size() - at
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
		return usagef("--size is for standard input (-)")
	case streams && o.name == "":
		return usagef("standard input has no name: give it one with --name")
	case streams && o.dryRun:
		return usagef("--dry-run cannot look at standard input without reading it")
	case streams && o.restart:
		return usagef("--restart finds nothing to give up: standard input is a new upload each time")
	case streams && isFile && term.IsTerminal(int(f.Fd())):
		return usagef("standard input is a terminal: pipe something into it")
	}
	return nil
}
