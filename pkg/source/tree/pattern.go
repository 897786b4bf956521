package tree

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/multiput/multiput/pkg/source"
)

// Patterns choose files by the paths that they have below a directory. The zero
// value chooses all.
type Patterns struct {
	include, exclude []pattern
}

// pattern is one of them: * and ? stand for anything but a slash, ** for
// directories at any depth, [a-z] for a character, {a,b} for one of several.
type pattern struct {
	given   string
	glob    string
	base    bool // it is of a name, at any depth; otherwise of the path
	dirs    bool // it is of directories only
	matched bool
}

// PatternError is a pattern that is none.
type PatternError struct{ Pattern string }

func (e *PatternError) Error() string {
	return fmt.Sprintf("%q is not a pattern (such as *.jpg or logs/**)", e.Pattern)
}

// Parse reads patterns. One without a slash is of a file's name at any depth, one
// with a slash of the path below the directory. What is excluded is so whatever
// includes it; a directory that is excluded is not looked into. With a slash at
// its end a pattern is of directories, and of all that is below them. An error is
// a *PatternError.
func Parse(include, exclude []string) (p Patterns, err error) {
	if p.include, err = parse(include); err == nil {
		p.exclude, err = parse(exclude)
	}
	return p, err
}

func parse(given []string) ([]pattern, error) {
	var all []pattern
	for _, s := range given {
		glob := filepath.ToSlash(s)
		glob, dirs := strings.CutSuffix(glob, "/")
		base := !strings.Contains(glob, "/")
		glob = strings.TrimPrefix(strings.TrimPrefix(glob, "./"), "/")
		if glob == "" || !doublestar.ValidatePattern(glob) {
			return nil, &PatternError{s}
		}
		all = append(all, pattern{given: s, glob: glob, base: base, dirs: dirs})
	}
	return all, nil
}

// NoMatchError is a directory whose files the patterns all leave out. It wraps
// source.ErrNoInput.
type NoMatchError struct {
	Dir              string
	Include, Exclude []string // as they were given
}

func (e *NoMatchError) Error() string {
	excluded := strings.Join(e.Exclude, ", ")
	switch {
	case len(e.Include) == 0:
		return fmt.Sprintf("%s: every file is excluded by %s", e.Dir, excluded)
	case len(e.Exclude) == 0:
		return fmt.Sprintf("%s: no file matches %s", e.Dir, strings.Join(e.Include, ", "))
	}
	return fmt.Sprintf("%s: no file matches %s, with %s excluded", e.Dir, strings.Join(e.Include, ", "), excluded)
}

func (e *NoMatchError) Unwrap() error { return source.ErrNoInput }

// given are patterns as they were given.
func given(patterns []pattern) (all []string) {
	for _, p := range patterns {
		all = append(all, p.given)
	}
	return all
}

// Unused are the patterns that should include something, and did not so far.
func (p Patterns) Unused() (unused []string) {
	for _, i := range p.include {
		if !i.matched {
			unused = append(unused, i.given)
		}
	}
	return unused
}

// wants reports whether a file is chosen; the directories that it is in are not
// excluded.
func (p Patterns) wants(rel string) bool {
	for _, e := range p.exclude {
		if !e.dirs && e.of(rel) {
			return false
		}
	}
	wanted := len(p.include) == 0
	for i := range p.include {
		if in := &p.include[i]; (!in.dirs && in.of(rel)) || (in.dirs && in.ofParent(rel)) {
			in.matched, wanted = true, true
		}
	}
	return wanted
}

// prunes reports whether a directory is excluded.
func (p Patterns) prunes(rel string) bool {
	for _, e := range p.exclude {
		if e.of(rel) {
			return true
		}
	}
	return false
}

func (p *pattern) of(rel string) bool {
	if p.base {
		rel = path.Base(rel)
	}
	return doublestar.MatchUnvalidated(p.glob, rel)
}

func (p *pattern) ofParent(rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if p.of(dir) {
			return true
		}
	}
	return false
}
