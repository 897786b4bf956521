package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/upload"
)

// lookAtMachine are the checks that are the same for all providers.
func (a *app) lookAtMachine(ctx context.Context, flags *pflag.FlagSet, cfg config.Config) []finding {
	path := cfg.Journal
	if path == "" { // the configuration is not known; its default is
		if f := flags.Lookup("journal"); f.Changed {
			path = f.Value.String()
		} else if dir, err := config.StateDir(); err != nil {
			return []finding{failing("state", failure{err: err})}
		} else {
			path = filepath.Join(dir, "journal")
		}
	}
	dir := existing(path)
	found := []finding{lookAtDir(dir, a.remote(path)), lookAtSpace(dir)}
	found = append(found, lookAtJournal(ctx, path)...)
	return append(found, lookAtFiles(cfg.Concurrency))
}

// existing is the directory itself, or the next above it that is there.
func existing(dir string) string {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// lookAtDir makes and removes a file where the journal is or would be: whether
// that can be done is not to be told from modes.
func lookAtDir(dir, remote string) finding {
	const elsewhere = "name another directory with --journal"
	f, err := os.CreateTemp(dir, ".multiput-doctor-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	switch {
	case err != nil:
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return bad("state", exitJournal, "make it writable, or "+elsewhere, "%s cannot be written to (%v)", dir, err)
	case remote != "":
		return warn("state", elsewhere+" on a local one", "%s is on a network file system (%s), where locks and durability depend on the server", dir, remote)
	}
	return good("state", "%s can be written to", dir)
}

// Where less is free, the journal of a large upload may not fit.
const scarce, spent uint64 = 64 << 20, 1 << 20

func lookAtSpace(dir string) finding {
	free, err := freeSpace(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return good("space", "not known on this system")
	case err != nil:
		return warn("space", "", "the free space at %s is not known (%v)", dir, err)
	case free < spent:
		return bad("space", exitJournal, "free some, or name another directory with --journal", "%s are free at %s", humanize.IBytes(free), dir)
	case free < scarce:
		return warn("space", "the journal of a large upload needs some; free some, or name another directory with --journal", "%s are free at %s", humanize.IBytes(free), dir)
	}
	return good("space", "%s are free at %s", humanize.IBytes(free), dir)
}

func lookAtJournal(ctx context.Context, path string) []finding {
	open, wrong, err := (&journal.Journal{Dir: path}).Examine(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []finding{good("journal", "there is none yet at %s", path)}
	case err != nil:
		return []finding{failing("journal", failure{err: err})}
	}
	found := []finding{good("journal", "%s is in order", path)}
	if len(wrong) > 0 {
		found = nil
	}
	for _, err := range wrong {
		found = append(found, warn("journal", "", "%v", err))
	}
	return append(found, lookAtUploads(open, time.Now())...)
}

// endsSoon is how long before its end an upload is reported.
const endsSoon = time.Hour

// mostUploads is how many uploads are reported one by one.
const mostUploads = 20

// lookAtUploads says which uploads need attention, and by when.
func lookAtUploads(open []journal.Listed, now time.Time) (found []finding) {
	unfinished := 0
	for _, l := range open {
		r := l.Record
		again := "run the same command again"
		if streamed(r.Path) {
			again = "run multiput resume"
		}
		what := fmt.Sprintf("%s to %s", named(r.Path, r.Target.Name), r.Target.Provider)
		switch r.State {
		case upload.Done:
			found = append(found, warn("upload", again+" to have its result printed", "%s is uploaded, and its result was not printed", what))
			continue
		case upload.Waiting:
			found = append(found, warn("upload", again+" to wait until it is ready", "%s is uploaded, and was not ready", what))
			continue
		case upload.Completing:
			found = append(found, warn("upload", again+" to ask the provider", "%s may or may not have completed: the final request got no clear answer", what))
			continue
		}
		unfinished++
		if isGone(r) {
			continue // prune removes it
		}
		stored := fmt.Sprintf("%d of %d parts are stored", l.PartsStored, l.Parts)
		end, of := endOf(l)
		switch left := end.Sub(now); {
		case end.IsZero() || left > endsSoon:
		case left <= 0:
			found = append(found, warn("upload", again+": it creates a new upload if necessary", "%s: %s, and %s ended %s", what, stored, of, humanize.RelTime(end, now, "ago", "")))
		default:
			found = append(found, warn("upload", again+" before that", "%s: %s, and %s ends in %s", what, stored, of, left.Round(time.Second)))
		}
	}
	if len(found) > mostUploads {
		found = append(found[:mostUploads], warn("upload", "", "and %d more", len(found)-mostUploads))
	}
	if len(found) == 0 {
		found = append(found, good("uploads", "%d unfinished, none in doubt, none that expires within %s", unfinished, endsSoon))
	}
	return found
}

// filesFor is how many files and connections an upload of so many parts at once
// may have open.
func filesFor(concurrency int) uint64 {
	return uint64(2*cmp.Or(concurrency, upload.MaxConcurrency) + 32)
}

func lookAtFiles(concurrency int) finding {
	limit, err := openFiles()
	need := filesFor(concurrency)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return good("files", "this system sets no limit of open files")
	case err != nil:
		return warn("files", "", "the limit of open files is not known (%v)", err)
	case limit < need:
		return warn("files", fmt.Sprintf("ulimit -n %d, or a smaller -j", need), "only %d files may be open at once, but up to %d may be needed", limit, need)
	case limit > 1<<40:
		return good("files", "there is no limit of open files")
	}
	return good("files", "%d may be open at once, and up to %d are needed", limit, need)
}
