package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReliabilityTable holds that every row of docs/reliability.md names tests
// that there are.
func TestReliabilityTable(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([^`]+)`")
	rows, have := 0, map[string]map[string]bool{}
	for n, line := range strings.Split(string(page), "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| fault |") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 {
			t.Errorf("line %d has %d cells, want a fault, what happens, and what shows it", n+1, len(cells))
			continue
		}
		tests := named.FindAllStringSubmatch(cells[2], -1)
		if len(tests) == 0 {
			t.Errorf("line %d names no test: %s", n+1, cells[0])
		}
		for _, test := range tests {
			where, name, ok := strings.Cut(test[1], " ")
			switch {
			case !ok:
				t.Errorf("line %d: %s is neither PACKAGE TestName nor script NAME", n+1, test[1])
			case where == "script":
				if _, err := os.Stat(filepath.Join(root, "testdata", "script", name+".txtar")); err != nil {
					t.Errorf("line %d: %v", n+1, err)
				}
			default:
				if have[where] == nil {
					have[where] = testsOf(t, filepath.Join(root, filepath.FromSlash(where)))
				}
				if !have[where][name] {
					t.Errorf("line %d: %s has no %s", n+1, where, name)
				}
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d rows were read: is it still a table?", rows)
	}
}

// testsOf are the tests of a package, on whatever system they run.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(src, -1) {
			tests[string(m[1])] = true
		}
	}
	return tests
}
