package tree

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
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

// String names the patterns as they were given.
func (p Patterns) String() string {
	var words []string
	for _, i := range p.include {
		words = append(words, "--include "+i.given)
	}
	for _, e := range p.exclude {
		words = append(words, "--exclude "+e.given)
	}
	return strings.Join(words, " ")
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
