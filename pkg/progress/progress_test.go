package progress_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rivo/uniseg"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares what was shown with testdata/progress/NAME, control characters
// made visible.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = strings.NewReplacer("\r", "<CR>", "\x1b[J", "<clear>", "\x1b[?7l", "", "\x1b[?7h", "").Replace(got)
	path := filepath.Join("..", "..", "testdata", "progress", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// stage plays uploads in front of a display, in synctest's time.
type stage struct {
	*progress.Display
	out screen
}

// screen keeps what is written.
type screen struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *screen) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

func show(o progress.Options) *stage {
	s := &stage{}
	s.Display = progress.New(&s.out, o)
	return s
}

// pass lets time pass, and the display draw.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// shown gives what was written since the last call.
func (s *stage) shown() string {
	synctest.Wait()
	defer s.out.Reset()
	return s.out.String()
}

const mb = 1_000_000

func part(n int) upload.Part {
	return upload.Part{Number: n, Offset: int64(n-1) * 100 * mb, Size: 100 * mb}
}

func planned(name string, parts, stored int) upload.Planned {
	return upload.Planned{
		File: upload.File{Name: name, Path: "/" + name, Size: int64(parts) * 100 * mb}, Upload: "u1",
		Parts: parts, Stored: stored, StoredBytes: int64(stored) * 100 * mb,
	}
}

func ended(name string, parts, reused int, elapsed time.Duration) upload.Finished {
	return upload.Finished{Report: upload.Report{
		File: upload.File{Name: name, Size: int64(parts) * 100 * mb}, Upload: "u1", Parts: parts, PartsReused: reused,
		BytesSent: int64(parts-reused) * 100 * mb, Elapsed: elapsed, Verification: upload.VerifiedETag,
	}}
}

// send stores a part in so many seconds.
func send(observe func(upload.Event), n, seconds int) {
	for range seconds * 10 {
		pass(100 * time.Millisecond)
		observe(upload.Sent{Part: part(n), Bytes: int64(10 * mb / seconds)})
	}
	observe(upload.Stored{Part: part(n)})
}

// life is an upload of four parts, one of which was stored before, one of which
// is tried twice, and one of which is lost and stored again.
func life(observe func(upload.Event), end func()) {
	observe(planned("a\x1b[31m.bin", 4, 1))
	send(observe, 2, 4)
	observe(upload.Sent{Part: part(3), Bytes: 50 * mb})
	observe(upload.Retrying{Op: upload.OpPart, Part: 3, Err: errors.New("reset\r\x1b[2J"), Wait: time.Second})
	observe(upload.Sent{Part: part(3), Bytes: -50 * mb})
	send(observe, 3, 4)
	observe(upload.Lost{Part: part(2)})
	send(observe, 4, 4)
	observe(upload.AbortFailed{Upload: "u0", Err: errors.New("odd\r\x1b[2Jtext")})
	send(observe, 2, 4)
	observe(upload.Finishing{})
	pass(time.Second)
	observe(ended("a.bin", 4, 1, 17*time.Second))
	end()
}

func TestPlain(t *testing.T) {
	for name, o := range map[string]progress.Options{
		"plain.txt":         {Style: progress.Plain},
		"plain-verbose.txt": {Style: progress.Plain, Verbose: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := show(o)
			life(s.File("a.bin"))
			s.Close()
			golden(t, name, s.shown())
		})
	}
}

// Many quick parts are few lines, and a day of silence still has a sign of life.
func TestPlainIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 1000, 0))
		for n := range 1000 {
			pass(10 * time.Millisecond)
			observe(upload.Sent{Part: part(n + 1), Bytes: 100 * mb})
			observe(upload.Stored{Part: part(n + 1)})
		}
		observe(upload.Finishing{})
		observe(ended("a.bin", 1000, 0, 10*time.Second))
		end()
		s.Close()
		golden(t, "plain-quick.txt", s.shown())
	})
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 2, 0))
		began := s.shown()
		pass(time.Hour)
		if lines := strings.Count(s.shown(), "\n"); lines < 118 || lines > 120 {
			t.Errorf("an hour without any event is %d lines, want one every 30 s (after %q)", lines, began)
		}
		end()
		s.shown()
		pass(time.Hour)
		if got := s.shown(); got != "" {
			t.Errorf("after its end it says %q", got)
		}
		s.Close()
	})
}

func TestPlainSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain, Files: 3, Bytes: 600 * mb})
		several(s)
		s.Close()
		golden(t, "plain-several.txt", s.shown())
	})
}

// several is three uploads, two of them at the same time, one of which fails.
func several(s *stage) {
	a, endA := s.File("a.bin")
	b, endB := s.File("b.bin")
	a(planned("a.bin", 2, 0))
	b(planned("b.bin", 2, 1))
	send(a, 1, 10)
	send(b, 2, 10)
	send(a, 2, 10)
	a(ended("a.bin", 2, 0, 30*time.Second))
	endA()
	endB()
	fmt.Fprintln(s, "multiput: b.bin: refused")
	c, endC := s.File("c.bin")
	c(planned("c.bin", 2, 0))
	send(c, 1, 20)
	send(c, 2, 20)
	c(ended("c.bin", 2, 0, 40*time.Second))
	endC()
}

func TestBar(t *testing.T) {
	for name, o := range map[string]progress.Options{
		"bar.txt":       {},
		"bar-ascii.txt": {ASCII: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			o.Style, o.Width = progress.Bar, func() int { return 120 }
			s := show(o)
			observe, end := s.File("a.bin")
			life(observe, end)
			s.Close()
			golden(t, name, thinned(s.shown()))
		})
	}
}

// thinned leaves every tenth of the bars that follow each other.
func thinned(shown string) string {
	var out strings.Builder
	n := 0
	for line := range strings.SplitAfterSeq(shown, "\x1b[?7h\r") {
		if strings.Contains(line, "\n") {
			n = 0
		}
		if n%10 == 0 {
			out.WriteString(line + "\n")
		}
		n++
	}
	return out.String()
}

func TestBarSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Files: 3, Bytes: 600 * mb})
		several(s)
		s.Close()
		golden(t, "bar-several.txt", thinned(s.shown()))
	})
}

// In a narrow window what matters least goes first, and nothing is broken in
// two. The terminal is asked again each time.
func TestBarWidths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var terminal atomic.Int64
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return int(terminal.Load()) }})
		observe, end := s.File("training.jsonl")
		observe(planned("訓練データ-training-of-the-year.jsonl", 127, 40))
		for n := range 20 {
			send(observe, 41+n, 1)
		}
		s.shown()
		var lines strings.Builder
		line := ""
		for width := 130; width >= 6; width-- {
			terminal.Store(int64(width))
			pass(100 * time.Millisecond)
			if got := s.shown(); got != "" {
				line = strings.Trim(strings.NewReplacer("\x1b[J", "", "\x1b[?7l", "", "\x1b[?7h", "").Replace(got), "\r")
				if n := uniseg.StringWidth(line); n >= width {
					t.Errorf("in %d columns it takes %d: %s", width, n, line)
				}
				if !strings.Contains(line, "%") {
					t.Errorf("in %d columns it does not say how far it is: %s", width, line)
				}
			}
			if width%10 == 0 {
				fmt.Fprintf(&lines, "%3d: %s\n", width, line)
			}
		}
		golden(t, "bar-widths.txt", lines.String())
		end()
		s.Close()
	})
}

// However often parts are lost, retried and sent again, it is never more than
// all, and the time left is never below nothing.
func TestNeverMoreThanAll(t *testing.T) {
	for _, style := range []progress.Style{progress.Bar, progress.Plain} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style})
			observe, end := s.File("a.bin")
			observe(planned("a.bin", 4, 0))
			for round := range 50 {
				p := part(round%4 + 1)
				observe(upload.Sent{Part: p, Bytes: p.Size})
				pass(time.Second)
				observe(upload.Sent{Part: p, Bytes: -p.Size})
				pass(time.Second)
			}
			s.shown()
			for n := range 3 {
				send(observe, n+1, 2)
			}
			for range 20 {
				observe(upload.Lost{Part: part(3)})
				send(observe, 3, 2)
			}
			pass(time.Minute)
			got := s.shown()
			if strings.Contains(got, "100%") || strings.Contains(got, "4 of 4") || strings.Contains(got, "4/4") || strings.Contains(got, " -") {
				t.Errorf("%s: three of four parts are\n%s", style, got)
			}
			end()
			s.Close()
		})
	}
}

// A part may be on its way twice. That is no more than all of it either.
func TestTwiceOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.JSON})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 1, 0))
		observe(upload.Sent{Part: part(1), Bytes: 90 * mb})
		observe(upload.Sent{Part: part(1), Bytes: 90 * mb})
		pass(time.Second)
		if got := s.shown(); !strings.Contains(got, `"bytes_in_flight":100000000,`) {
			t.Errorf("of 100 MB it says %s", got)
		}
		end()
		s.Close()
	})
}

// The rate is that of the last seconds. When nothing moves any more there is no
// rate, but for how long it is so.
func TestRateIsRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 100 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 100, 0))
		last := func() string {
			drawn := strings.Split(strings.TrimSpace(s.shown()), "\x1b[?7l")
			return drawn[len(drawn)-1]
		}
		for n := range 30 {
			send(observe, n+1, 10)
		}
		if got := last(); !strings.Contains(got, " 10 MB/s") || !strings.Contains(got, "11m") {
			t.Errorf("at 10 MB/s, with 7 GB to go, it says %q", got)
		}
		for n := range 20 {
			send(observe, n+31, 1)
		}
		if got := last(); !strings.Contains(got, " 100 MB/s") || !strings.Contains(got, " 50s") {
			t.Errorf("after 20 s of 100 MB/s, with 5 GB to go, it says %q", got)
		}
		observe(upload.Sent{Part: part(51), Bytes: mb})
		pass(20 * time.Second)
		if got := last(); !strings.HasSuffix(strings.TrimRight(got, "\r\x1b[J?7h"), "  waiting 20 s: the store does not answer") {
			t.Errorf("after 20 s of nothing it says %q", got)
		}
		end()
		s.Close()
	})
}

func TestNoControlCharacters(t *testing.T) {
	for _, style := range []progress.Style{progress.Plain, progress.JSON, progress.Warnings} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style, Verbose: true})
			life(s.File("a.bin"))
			s.Close()
			if got := s.shown(); strings.ContainsAny(got, "\x1b\r") {
				t.Errorf("%s: %q", style, got)
			}
		})
	}
}

// An upload that was interrupted leaves the bar whole, and the next line is one
// of its own.
func TestBarOfAnInterruptedUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		send(observe, 1, 2)
		s.shown()
		end()
		got := s.shown()
		if !strings.Contains(got, " 25% |") || !strings.HasSuffix(got, "\r\n") {
			t.Errorf("it leaves %q", got)
		}
		fmt.Fprintln(s, "interrupted")
		pass(time.Minute)
		s.Close()
		if got := s.shown(); got != "interrupted\n" {
			t.Errorf("after its end it says %q", got)
		}
	})
}

// What others say stands above the bar, and an open line of theirs is not drawn
// over.
func TestBarAndOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar})
		observe, end := s.File("a.bin")
		fmt.Fprint(s, "password: ")
		observe(upload.AbortFailed{Upload: "first", Err: errors.New("refused")})
		fmt.Fprint(s, "password: ")
		pass(time.Second)
		if got := s.shown(); got != "password: warning: could not abort upload first at the provider: refused\npassword: " {
			t.Errorf("before there is a bar: %q", got)
		}
		fmt.Fprintln(s)
		observe(planned("a.bin", 4, 0))
		pass(time.Second)
		s.shown()
		fmt.Fprintln(s, "above")
		if got := s.shown(); !strings.HasPrefix(got, "\r\x1b[Jabove\n\r") || !strings.Contains(got, "a.bin   0% |") {
			t.Errorf("with a bar: %q", got)
		}
		fmt.Fprint(s, "password: ")
		pass(5 * time.Second)
		if got := s.shown(); got != "\r\x1b[Jpassword: " {
			t.Errorf("over an open line: %q", got)
		}
		fmt.Fprintln(s)
		s.shown()
		err := s.Aside(func() error {
			if got := s.out.String(); got != "\r\x1b[J" {
				t.Errorf("aside: %q", got)
			}
			return errors.New("no space")
		})
		if got := s.shown(); err == nil || !strings.Contains(got, "a.bin   0% |") {
			t.Errorf("after that: %q", got)
		}
		end()
		s.Close()
	})
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.JSON})
		observe, end := s.File("a.bin")
		fmt.Fprint(s, "a line\n{\"schema\":1,\"error\":{}}\n{no object\n")
		life(observe, end)
		s.Close()
		got := s.shown()
		golden(t, "events.ndjson", got)
		for line := range strings.SplitSeq(strings.TrimSpace(got), "\n") {
			var o struct{ Schema int }
			if err := json.Unmarshal([]byte(line), &o); err != nil || o.Schema != 1 {
				t.Errorf("%s: %v", line, err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Warnings})
		life(s.File("a.bin"))
		s.Close()
		golden(t, "warnings.ndjson", s.shown())
	})
}

// Several uploads tell of themselves at the same time, and other messages are written.
func TestAtTheSameTime(t *testing.T) {
	for _, style := range []progress.Style{progress.Bar, progress.Plain, progress.JSON, progress.Warnings, progress.None} {
		synctest.Test(t, func(t *testing.T) {
			const files = 4
			s := show(progress.Options{Style: style, Files: files, Bytes: files * 200 * mb})
			var all sync.WaitGroup
			for n := range files {
				all.Go(func() {
					name := fmt.Sprintf("%d.bin", n)
					observe, end := s.File(name)
					observe(planned(name, 2, 0))
					for p := range 2 {
						for range 100 {
							<-time.After(time.Duration(n+1) * 10 * time.Millisecond)
							observe(upload.Sent{Part: part(p + 1), Bytes: mb})
						}
						observe(upload.Stored{Part: part(p + 1)})
						fmt.Fprintln(s, "between")
					}
					observe(ended(name, 2, 0, 2*time.Second))
					end()
				})
			}
			all.Wait()
			s.Close()
			got := s.shown()
			if n := strings.Count(got, "between"); n != 2*files {
				t.Errorf("%s: of %d lines of others %d are there", style, 2*files, n)
			}
			last := map[progress.Style]string{progress.Bar: "\n4 of 4 files: 800 MB in ", progress.Plain: "\n4 of 4 files: 800 MB in "}[style]
			if !strings.Contains(got, last) || style == progress.Bar && !strings.Contains(got, "3 of 4 files  ") {
				t.Errorf("%s: %s", style, got)
			}
		})
	}
}

func TestNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.None, Verbose: true})
		life(s.File("a.bin"))
		fmt.Fprintln(s, "an error")
		s.Close()
		if got := s.shown(); got != "an error\n" {
			t.Errorf("it says %q", got)
		}
	})
}

// What an empty file shows must not divide by its size, and a stored result
// that is delivered again has no plan.
func TestOdd(t *testing.T) {
	for _, style := range []progress.Style{progress.Plain, progress.Bar, progress.JSON} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style})
			observe, end := s.File("empty")
			observe(upload.Planned{File: upload.File{Name: "empty"}, Parts: 1})
			pass(time.Second)
			observe(upload.Stored{Part: upload.Part{Number: 1}})
			pass(time.Minute)
			observe(upload.Finished{Report: upload.Report{File: upload.File{Name: "empty"}, Parts: 1}})
			end()
			s.Close()
			if got := s.shown(); style == progress.Bar && (!strings.Contains(got, "  0% |") || !strings.Contains(got, "100% |")) {
				t.Errorf("an empty file: %q", got)
			}
			s = show(progress.Options{Style: style})
			observe, end = s.File("again")
			observe(upload.Finished{Report: upload.Report{File: upload.File{Name: "again"}, Verification: upload.Unverified}})
			end()
			s.Close()
			if got := s.shown(); style != progress.JSON && got != "again: 0 B in 0s, 0 parts, unverified\n" {
				t.Errorf("%s: %q", style, got)
			}
		})
	}
}
