package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/journal"
	"github.com/multiput/multiput/pkg/source/tree"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// input is a file to upload, or why there is none.
type input struct {
	path string // as the user named it
	name string // what the provider is told; empty: the file's own
	err  error

	walked bool // it was found below a directory
}

// inputs are the files that a command line means: those that it names, those in
// a list, and those below directories. They are found as they are asked for.
type inputs struct {
	app   *app
	opts  uploadOptions
	named []string
	list  iter.Seq2[string, error] // nil: there is none
	walk  tree.Walk
	shard shard
	ended func() error // why no more files are wanted
	warn  func(string) // replaced once there is a display

	paths, names seen
	walked       bool
	delivered    map[string]upload.File // by id; nil: nothing is left out
	target       upload.Target
	skipped      int
	replaces     bool // see provider.Definition
}

// newInputs reads what is to be read before anything is sent. What is wrong with
// it is an error.
func (a *app) newInputs(ctx context.Context, cfg config.Config, o uploadOptions, named []string) (*inputs, error) {
	in := &inputs{app: a, opts: o, named: named, ended: func() error { return context.Cause(ctx) }, warn: func(text string) { a.warn(cfg, text) }}
	var err error
	if in.walk.Patterns, err = tree.Parse(o.include, o.exclude); err != nil {
		return nil, usagef("%w", err)
	}
	if in.shard, err = parseShard(o.shard); err != nil {
		return nil, err
	}
	for _, name := range named {
		if name == "" {
			return nil, usagef("the name of a file is empty")
		}
	}
	for _, path := range append([]string{o.filesFrom, cfg.Provider}, named...) {
		if in.isSums(path) {
			return nil, usagef("--checksums %s would replace %s", transport.Visible(o.checksums), transport.Visible(path))
		}
	}
	in.walk.Follow = o.follow
	in.walk.Warn = func(s tree.Skipped) { in.warn(transport.Visible(s.String()) + skippedHint(s)) }
	if o.filesFrom != "" {
		in.list, err = a.listed(o.filesFrom)
	}
	return in, err
}

// skippedText says how many files were left out; empty: none.
func (in *inputs) skippedText() string {
	if in.skipped == 0 {
		return ""
	}
	return count(in.skipped, "file") + " skipped: uploaded before, and unchanged since."
}

// skipDelivered has files left out that the history has as they are now.
func (in *inputs) skipDelivered(ctx context.Context, cfg config.Config, to upload.Target) error {
	known, err := in.app.journaled(ctx, cfg, true)
	if err != nil {
		return err
	}
	in.target, in.delivered = to, make(map[string]upload.File)
	for _, l := range known {
		if l.Record.State == upload.Delivered {
			in.delivered[l.ID] = l.Record.Upload.File
		}
	}
	return nil
}

// all gives the files of this shard.
func (in *inputs) all(yield func(input) bool) {
	n := 0
	for f := range in.distinct {
		if err := in.ended(); err != nil {
			yield(input{path: f.path, err: err})
			return
		}
		mine := in.shard.has(n)
		n++
		if !mine && !errors.Is(f.err, errReplaced) { // which another machine would find empty
			continue
		}
		if f.err == nil && in.isDelivered(f) {
			in.skipped++
			continue
		}
		if f.err == nil {
			f.err = in.namedAlike(f)
		}
		if !yield(f) {
			return
		}
	}
	unused := in.walk.Patterns.Unused()
	if !in.walked || len(unused) == len(in.opts.include) {
		return // each directory says so
	}
	for _, p := range unused {
		in.warn(fmt.Sprintf("--include %s matches no file", transport.Visible(p)))
	}
}

// distinct leaves out a file that is named twice, and says so: two uploads of it
// would be in each other's way. Links are files of their own, by the names that
// they have.
func (in *inputs) distinct(yield func(input) bool) {
	for f := range in.found {
		if f.err == nil && in.twice(f.path) {
			continue
		}
		if !yield(f) {
			return
		}
	}
}

// twice reports whether a path was there before, and says so.
func (in *inputs) twice(path string) bool {
	key, err := filepath.Abs(path)
	if err != nil || path == stdin {
		key = path // opening it reports the error
	}
	first, twice := in.paths.add(key, path)
	if !twice || first != "" && !sameFile(first, path) {
		return false
	}
	as := ""
	if first != "" && first != path {
		as = fmt.Sprintf(" (also as %s)", transport.Visible(first))
	}
	in.warn(fmt.Sprintf("%s is named twice%s: it is uploaded once", transport.Visible(path), as))
	return true
}

// namedAlike warns of a file that the provider gets under the name of another. It is an
// error where that would be lost.
func (in *inputs) namedAlike(f input) error {
	first, twice := in.names.add(cmp.Or(f.name, filepath.Base(f.path)), f.path)
	if !twice || in.opts.name != "" { // which is for one file only
		return nil
	}
	hint := ""
	if !in.opts.relative && in.walked {
		hint = "; --relative names files by their paths below the directory"
	}
	if in.replaces {
		return usagef("it has the same name as %s, and would replace it%s", transport.Visible(cmp.Or(first, "an earlier file")), hint)
	}
	in.warn(fmt.Sprintf("%s has the same name as %s%s", transport.Visible(f.path), transport.Visible(cmp.Or(first, "an earlier file")), hint))
	return nil
}

// found gives every file that is named, in a list, or below a directory.
func (in *inputs) found(yield func(input) bool) {
	for _, name := range in.named {
		if !in.expand(name, yield) {
			return
		}
	}
	if in.list == nil {
		return
	}
	for name, err := range in.list {
		if err != nil {
			yield(input{path: in.opts.filesFrom, err: err})
			return
		}
		if !in.expand(name, yield) {
			return
		}
	}
}

// expand gives a file, or the files below a directory.
func (in *inputs) expand(path string, yield func(input) bool) bool {
	if info, err := os.Stat(path); path == stdin || err != nil || !info.IsDir() {
		i := input{path: path}
		if in.isSums(path) {
			i.err = errReplaced
		}
		return yield(i)
	}
	if in.twice(path) {
		return true
	}
	in.walked = true
	for f, err := range in.walk.Files(path) {
		if err == nil && in.isSums(f.Path) {
			continue
		}
		i := input{path: f.Path, err: err, walked: true}
		if in.opts.relative {
			i.name = f.Rel
		}
		if !yield(i) {
			return false
		}
	}
	return true
}

// errReplaced: a file that was to be uploaded is the file of --checksums.
var errReplaced = usagef("--checksums would replace it")

// isSums reports whether a path is that of the file that --checksums replaces:
// uploading it, or reading names from it, would find it empty.
func (in *inputs) isSums(path string) bool {
	if in.opts.checksums == "" {
		return false
	}
	info, err := os.Stat(path)
	if path == stdin {
		info, err = os.Stdin.Stat()
	}
	to, err2 := os.Stat(in.opts.checksums)
	return err == nil && err2 == nil && to.Mode().IsRegular() && os.SameFile(info, to)
}

// isDelivered reports whether the history has a file as it is now.
func (in *inputs) isDelivered(f input) bool {
	if len(in.delivered) == 0 || f.path == stdin {
		return false
	}
	file, err := upload.Stat(f.path)
	if err != nil {
		return false // opening it reports the error
	}
	t := in.target
	t.Name = cmp.Or(in.opts.name, f.name, filepath.Base(f.path))
	was, known := in.delivered[journal.ID(t, file.Path)]
	return known && was.Size == file.Size && was.ModTime.Equal(file.ModTime)
}

// sameFile reports whether two names of one path are of one file: link/../f may
// be another than f.
func sameFile(a, b string) bool {
	if !strings.Contains(a+b, "..") {
		return true
	}
	first, err := os.Stat(a)
	second, err2 := os.Stat(b)
	return err != nil || err2 != nil || os.SameFile(first, second)
}

// lookAhead is how many files are looked for before the first is begun: mistakes
// show early, and totals are known.
const lookAhead = 1000

// peek gives the first files, whether there are more, and all of them from the
// first. stop is called when no more is asked for.
func peek(all iter.Seq[input]) (first []input, more bool, whole iter.Seq[input], stop func()) {
	next, stop := iter.Pull(all)
	for len(first) < lookAhead {
		f, ok := next()
		if !ok {
			break
		}
		first = append(first, f)
	}
	more = len(first) == lookAhead
	return first, more, func(yield func(input) bool) {
		for _, f := range first {
			if !yield(f) {
				return
			}
		}
		for more {
			f, ok := next()
			if !ok || !yield(f) {
				return
			}
		}
	}, stop
}
