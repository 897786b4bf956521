package upload_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/source"
)

// fileFaults are what becomes of the file.
var fileFaults = []string{"edited", "edited, and its time set back", "touched", "replaced", "replaced by its like", "truncated", "grown", "moved", "deleted"}

// content is the file in one of its versions.
func (s *simulation) content(version, size int) []byte {
	d := s.draw("content", version)
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

// write writes a version of the file.
func (s *simulation) write(path string, content []byte, minutes int) {
	s.mu.Lock()
	s.versions = append(s.versions, content)
	s.mu.Unlock()
	s.must(os.WriteFile(path, content, 0o600))
	s.date(path, minutes)
}

func (s *simulation) date(path string, minutes int) {
	at := time.Date(2026, 11, 1, 12, minutes, 0, 0, time.UTC)
	s.must(os.Chtimes(path, at, at))
}

// between is what happens while no process is there.
func (s *simulation) between(d *rand.Rand, in func(int) bool) {
	if path := s.where(); !exists(path) {
		s.say("the file is back")
		s.mu.Lock()
		last, version := s.versions[len(s.versions)-1], len(s.versions)
		s.mu.Unlock()
		s.write(path, last, version)
	}
	if in(s.kind.edits / 2) {
		s.edit(s.draw("edit between", s.runs))
	}
	if in(50) {
		s.jump(s.draw("jump between", s.runs))
	}
	if in(50) {
		s.count("time passes")
		pass(time.Duration(d.IntN(72)) * time.Hour)
	}
	torn := in(500)
	if !in(100) {
		return
	}
	heads, err := filepath.Glob(filepath.Join(s.journal.dir(s.dir), "*.json"))
	s.must(err)
	for _, head := range heads {
		if info, err := os.Stat(head); err != nil || !torn {
			s.count("head is lost")
			s.must(os.Remove(head))
		} else {
			s.count("head is torn")
			s.must(os.Truncate(head, info.Size()/2))
		}
	}
}

// where the file is.
func (s *simulation) where() string {
	s.files.Lock()
	defer s.files.Unlock()
	return s.path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// edit does something to the file.
func (s *simulation) edit(d *rand.Rand) {
	s.files.Lock()
	defer s.files.Unlock()
	old, err := os.ReadFile(s.path)
	if err != nil {
		return // it was deleted
	}
	what := fileFaults[d.IntN(len(fileFaults))]
	s.mu.Lock()
	version := len(s.versions)
	s.mu.Unlock()
	fresh := s.content(version, len(old))
	if len(old) > 1 && d.IntN(2) == 0 { // only one byte of it
		fresh = append([]byte(nil), old...)
		fresh[d.IntN(len(fresh))] ^= 1
	}
	changed := true
	s.say("the file is %s", what)
	switch what {
	case "edited":
		s.write(s.path, fresh, version)
	case "edited, and its time set back":
		s.editUnnoticed(fresh)
	case "touched":
		s.mu.Lock()
		s.versions = append(s.versions, old)
		s.mu.Unlock()
		s.date(s.path, version)
		changed = false
	case "replaced", "replaced by its like":
		if changed = what == "replaced"; !changed {
			fresh = old
		}
		s.write(s.path+".new", fresh, version)
		s.must(os.Rename(s.path+".new", s.path))
	case "truncated":
		s.write(s.path, old[:d.IntN(len(old)+1)], version)
	case "grown":
		s.write(s.path, append(old[:len(old):len(old)], fresh...), version)
	case "moved":
		to := filepath.Join(s.dir, "moved.bin")
		if strings.HasSuffix(s.path, "moved.bin") {
			to = filepath.Join(s.dir, "file.bin")
		}
		s.must(os.Rename(s.path, to))
		s.path = to
		// A journal with nothing by which to know the file again; and an upload is of one
		// path: one that was started there is resumed.
		changed = s.kind.whole || s.journal.of(to) != ""
	case "deleted":
		s.must(os.Remove(s.path))
		changed = false
	}
	s.count(what)
	if changed {
		s.excuse("the file changed")
	}
}

// editUnnoticed writes to the file so that its size and time do not tell. The system
// has ticks, in which two changes look like one: then it is retried.
func (s *simulation) editUnnoticed(content []byte) {
	before := s.identity()
	info, err := os.Stat(s.path)
	s.must(err)
	for {
		s.must(os.WriteFile(s.path, content, 0o600))
		s.must(os.Chtimes(s.path, info.ModTime(), info.ModTime()))
		if s.identity() != before || before == "" {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions = append(s.versions, content)
}

func (s *simulation) identity() string {
	f, err := source.Open(s.path)
	s.must(err)
	defer f.Close()
	return f.Info.ID
}
