package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSumsThatCannotBeWritten holds that sums which were put off stay somewhere, if
// their file cannot be written in the end.
func TestSumsThatCannotBeWritten(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	path := filepath.Join(t.TempDir(), "sums")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := createSums(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write("a.bin", []byte{0xab}); err != nil {
		t.Fatal(err)
	}
	s.f.Close()
	err = s.close()
	if err == nil || !strings.Contains(err.Error(), s.lines.Name()) {
		t.Fatalf("%v", err)
	}
	if lines, err := os.ReadFile(s.lines.Name()); err != nil || string(lines) != "ab  a.bin\n" {
		t.Errorf("%q, %v", lines, err)
	}
}
