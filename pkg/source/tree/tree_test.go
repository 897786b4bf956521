package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/source"
)

// grow makes a directory with files, empty directories (a/) and links (a->b).
func grow(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		name, to, link := strings.Cut(name, "->")
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		switch {
		case err != nil:
		case link:
			if err = os.Symlink(filepath.FromSlash(to), path); err != nil {
				t.Skipf("no links here: %v", err)
			}
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o700)
		default:
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// walk gives what is found below dir, what is warned of, and the errors.
func walk(t *testing.T, w Walk, dir string) (rels, warned []string, failed []error) {
	t.Helper()
	w.Warn = func(s Skipped) { warned = append(warned, strings.ReplaceAll(s.String(), dir, "DIR")) }
	for f, err := range w.Files(dir) {
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if f.Path != filepath.Join(dir, filepath.FromSlash(f.Rel)) {
			t.Errorf("%s is at %s", f.Rel, f.Path)
		}
		rels = append(rels, f.Rel)
	}
	return rels, warned, failed
}

// The order is that of the bytes of whole paths: "a.x" comes before "a/x", as a
// point comes before a slash.
func TestByteOrderOfPaths(t *testing.T) {
	dir := grow(t, "a/x", "a.x", "a-b/z", "a0", ".hidden/.deep", ".zz", "Z", "é", "a/b/c", "a/b.c")
	rels, _, failed := walk(t, Walk{}, dir)
	if len(rels) != 10 || !slices.IsSorted(rels) || failed != nil {
		t.Errorf("%q, %v", rels, failed)
	}
}

func TestPatterns(t *testing.T) {
	all := []string{".git/config", "a.jpg", "a.txt", "logs/1.log", "logs/deep/2.log", "logs/deep/b.jpg", "x/logs/3.log"}
	for _, c := range []struct{ include, exclude, want string }{
		{"*.jpg", "", "a.jpg logs/deep/b.jpg"},
		{"*.jpg *.txt", "a.*", "logs/deep/b.jpg"},
		{"logs/*", "", "logs/1.log"},
		{"./logs/*", "", "logs/1.log"},
		{"/a.*", "", "a.jpg a.txt"},
		{"logs/**", "", "logs/1.log logs/deep/2.log logs/deep/b.jpg"},
		{"**/*.log", "", "logs/1.log logs/deep/2.log x/logs/3.log"},
		{"logs/", "", "logs/1.log logs/deep/2.log logs/deep/b.jpg x/logs/3.log"},
		{"[0-2].log", "", "logs/1.log logs/deep/2.log"},
		{"*.{jpg,txt}", "", "a.jpg a.txt logs/deep/b.jpg"},
		{"", ".git", "a.jpg a.txt logs/1.log logs/deep/2.log logs/deep/b.jpg x/logs/3.log"},
		{"", "logs", ".git/config a.jpg a.txt"},
		{"", "x/logs", ".git/config a.jpg a.txt logs/1.log logs/deep/2.log logs/deep/b.jpg"},
		{"", "**/deep/**", ".git/config a.jpg a.txt logs/1.log x/logs/3.log"},
		{"*", "*", ""},
	} {
		t.Run(c.include+" but "+c.exclude, func(t *testing.T) {
			p, err := Parse(strings.Fields(c.include), strings.Fields(c.exclude))
			if err != nil {
				t.Fatal(err)
			}
			rels, _, failed := walk(t, Walk{Patterns: p}, grow(t, all...))
			if got := strings.Join(rels, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if (c.want == "") != (len(failed) == 1 && errors.Is(failed[0], source.ErrNoInput)) {
				t.Errorf("errors %v", failed)
			}
		})
	}
	for _, bad := range []string{"[", "", "/", "a{b", "x/[z-"} {
		var e *PatternError
		if _, err := Parse(nil, []string{bad}); !errors.As(err, &e) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func TestUnused(t *testing.T) {
	p, err := Parse([]string{"*.a", "*.b", "c"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := Walk{Patterns: p}
	walk(t, w, grow(t, "1.a", "2.b", "3.b"))
	if got := w.Patterns.Unused(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("unused: %q", got)
	}
}

func TestLinks(t *testing.T) {
	dir := grow(t, "real/f", "real/up->..", "file->real/f", "dir->real", "gone->nothing")
	rels, warned, failed := walk(t, Walk{}, dir)
	if want := []string{"file", "real/f"}; !slices.Equal(rels, want) {
		t.Errorf("%q", rels)
	}
	if len(warned) != 2 || len(failed) != 1 || !errors.Is(failed[0], os.ErrNotExist) || !errors.Is(failed[0], source.ErrNoInput) {
		t.Errorf("%q, %v", warned, failed)
	}
	rels, warned, failed = walk(t, Walk{Follow: true}, dir)
	if want := []string{"dir/f", "file", "real/f"}; !slices.Equal(rels, want) {
		t.Errorf("%q", rels)
	}
	if len(warned) != 2 || !strings.Contains(warned[1], "real/up is a link to a directory that contains it") || len(failed) != 1 {
		t.Errorf("%q, %v", warned, failed)
	}
}

func TestEmpty(t *testing.T) {
	dir := grow(t, "a/b/", "c/")
	rels, _, failed := walk(t, Walk{}, dir)
	if len(rels) > 0 || len(failed) != 1 || !strings.HasPrefix(failed[0].Error(), dir+": ") || !errors.Is(failed[0], source.ErrNoInput) {
		t.Errorf("%q, %v", rels, failed)
	}
}

func TestUnreadableDirectory(t *testing.T) {
	dir := grow(t, "a/1", "b/2", "c/3")
	if err := os.RemoveAll(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for f, err := range new(Walk).Files(dir) {
		if f.Rel == "a/1" { // what vanishes, and cannot be read
			if err := os.RemoveAll(filepath.Join(dir, "c")); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, fmt.Sprint(f.Rel, errors.Is(err, source.ErrNoInput)))
	}
	if want := []string{"a/1false", "true"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, err := range new(Walk).Files(dir) {
		if err != nil {
			t.Error(err)
		}
		break // a caller may stop early
	}
}

// What it takes does not grow with the number of files in other directories.
func TestStreamed(t *testing.T) {
	dir := grow(t, "a/1", "b/1")
	for f, err := range new(Walk).Files(dir) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Rel == "a/1" {
			if err := os.WriteFile(filepath.Join(dir, "b", "late"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if f.Rel == "b/late" {
			return
		}
	}
	t.Error("b was read before what is in a was given")
}
