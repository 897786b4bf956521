package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	heading   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	linked    = regexp.MustCompile(`\]\(\s*([^)\s]+)\)`)
	noAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are those that GitHub gives the headings of a page.
func anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// Every relative link of a page leads to a file, and to a heading in it.
func TestLinksOfPages(t *testing.T) {
	root := filepath.Join("..", "..")
	links := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if err == nil && (e.Name() == ".git" || e.Name() == "cache" || e.Name() == "node_modules") {
				return fs.SkipDir
			}
			return err
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range linked.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(b), ""), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, ":") {
				continue
			}
			links++
			file := path
			if to != "" {
				file = filepath.Join(filepath.Dir(path), filepath.FromSlash(to))
			}
			page, err := os.ReadFile(file)
			if fi, statErr := os.Stat(file); statErr == nil && fi.IsDir() {
				err = nil
			}
			if err != nil || anchor != "" && !anchors(codeBlock.ReplaceAllString(string(page), ""))[anchor] {
				t.Errorf("%s: the link %s leads nowhere (%v)", path, m[1], err)
			}
		}
		return nil
	})
	if err != nil || links < 100 {
		t.Errorf("%d links: %v", links, err)
	}
}

// The prose of the pages about the command line is wrapped, so that it can be read in an
// editor and compared line by line.
func TestPagesAreWrapped(t *testing.T) {
	const most = 92
	for _, name := range []string{"README", "docs/install", "docs/files", "docs/housekeeping", "docs/scripts", "docs/configuration", "docs/resuming", "docs/sandbox", "docs/troubleshooting", "docs/ci"} {
		page, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)+".md"))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(codeBlock.ReplaceAllString(string(page), ""), "\n") {
			if n := len([]rune(line)); n > most && !strings.HasPrefix(line, "|") && !strings.Contains(line, "](") && !strings.Contains(line, "`{") {
				t.Errorf("%s has a line of %d columns: %s", name, n, line)
			}
		}
	}
}
