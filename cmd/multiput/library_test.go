package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// commandLine is a flag, or the name of the program. That of a variable is not.
var commandLine = regexp.MustCompile(`(^|[^-])--([a-z%]|$)|\s-[a-zA-Z]\b|\bmultiput\b`)

// mayName are the strings below pkg/ that name a flag or the program all the same.
var mayName = []struct {
	where string // what their paths begin with
	text  string // a regular expression
	why   string
}{
	{"pkg/config/", `--`, "it declares the flags, reads them, and says at which of them a wrong value is"},
	{"pkg/config/", `^multiput$`, "its directories, and its service in the keyring"},
	{"pkg/internal/realstore/", ``, "runs other programs, for tests"},
	{"pkg/journal/", `^multiput journal$`, "the kind of a file, which is in it"},
	{"pkg/sandbox/", `^\x00multiput part 1$`, "the kind of a file, which is in it"},
	{"pkg/provider/manifest/put.go", `^\r\n--$`, "begins a boundary of a multipart body"},
	{"pkg/provider/gallery.go", `/multiput/main/docs/schema/`, "the URL of a schema"},
}

// A library names no flag and no program: another program than this one may use it.
// What to do is said by cmd/multiput, in classes.go and hints.go.
func TestLibraryNamesNoFlagAndNoProgram(t *testing.T) {
	root, files, used := filepath.Join("..", ".."), 0, map[int]bool{}
	err := filepath.WalkDir(filepath.Join(root, "pkg"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		at := token.NewFileSet()
		f, err := parser.ParseFile(at, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if _, ok := n.(*ast.ImportSpec); ok {
				return false
			}
			x, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			text, ok := literal(x)
			if !ok {
				return true
			}
			if !commandLine.MatchString(text) {
				return false
			}
			for i, m := range mayName {
				if strings.HasPrefix(name, m.where) && regexp.MustCompile(m.text).MatchString(text) {
					used[i] = true
					return false
				}
			}
			t.Errorf("%s:%d names a flag or the program: %q", name, at.Position(n.Pos()).Line, text)
			return false
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("%d files were read", files)
	}
	for i, m := range mayName {
		if !used[i] {
			t.Errorf("no string below %s is allowed by %q (%s)", m.where, m.text, m.why)
		}
	}
	for _, text := range []string{"use --restart", "(--follow does)", "--include " + "x", "--%s: %w", "a higher -j", "multiput wrote"} {
		if !commandLine.MatchString(text) {
			t.Errorf("not found: %q", text)
		}
	}
}
