package progress_test

import (
	"errors"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// troubled is an upload that has to wait for about everything.
func troubled(observe func(upload.Event), end func()) {
	refused := &transport.Error{Op: "put", URL: "https://store.test/a", Status: 503, Retry: true}
	offline := &transport.Error{Op: "put", URL: "https://store.test/a", Err: &net.DNSError{Err: "no such host", Name: "store.test"}, Unsent: true, Retry: true}
	observe(upload.Found{Next: upload.StepCreate})
	observe(upload.Hashing{Why: upload.ReadAhead, Of: 400 * mb})
	pass(time.Second)
	observe(upload.Hashing{Why: upload.ReadAhead, Done: 100 * mb, Of: 400 * mb})
	pass(time.Second)
	observe(upload.Requesting{Op: upload.OpCreate})
	pass(5 * time.Second)
	observe(planned("a.bin", 4, 0))
	send(observe, 1, 4)
	for try := range 3 { // one wait, though bytes go into the kernel's buffers
		observe(upload.Sent{Part: part(2), Bytes: mb})
		pass(200 * time.Millisecond)
		observe(upload.Sent{Part: part(2), Bytes: -mb})
		observe(upload.Retrying{Op: upload.OpPart, Part: 2, Err: refused, Try: try + 1, Most: 10, Wait: 14 * time.Second})
		pass(14 * time.Second)
	}
	send(observe, 2, 4)
	observe(upload.Retrying{Op: upload.OpPart, Part: 3, Err: offline, Try: 1, Wait: time.Second})
	observe(upload.Outage{Err: offline, For: 15 * time.Minute})
	pass(65 * time.Second)
	send(observe, 3, 4)
	observe(upload.Sent{Part: part(4), Bytes: 50 * mb})
	pass(10 * time.Second) // a stall
	observe(upload.Sent{Part: part(4), Bytes: -50 * mb})
	observe(upload.Retrying{Op: upload.OpPart, Part: 4, Err: &transport.Error{Err: transport.ErrStalled, Retry: true}, Try: 1})
	send(observe, 4, 4)
	observe(upload.Finishing{})
	observe(upload.Requesting{Op: upload.OpComplete})
	pass(3 * time.Second)
	for range 4 {
		observe(upload.Requesting{Op: upload.OpReady})
		observe(upload.NotReady{Wait: 10 * time.Second})
		pass(10 * time.Second)
	}
	observe(ended("a.bin", 4, 0, 150*time.Second))
	end()
}

func TestWaits(t *testing.T) {
	for name, o := range map[string]progress.Options{
		"waits.txt":        {Style: progress.Bar, Width: func() int { return 120 }},
		"waits-narrow.txt": {Style: progress.Bar, Width: func() int { return 40 }},
		"waits-tiny.txt":   {Style: progress.Bar, Width: func() int { return 20 }},
		"waits-plain.txt":  {Style: progress.Plain},
		"waits.ndjson":     {Style: progress.JSON},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := show(o)
			s.To("api.openai.com")
			troubled(s.File("a.bin"))
			s.Close()
			got := s.shown()
			if o.Style == progress.Bar {
				got = thinned(got)
			}
			golden(t, name, got)
		})
	}
}

// Not a word of a wait below two seconds, and at most one line in 30 s.
func TestShortWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 1000, 0))
		for n := range 20 {
			send(observe, n+1, 1)
			observe(upload.Retrying{Op: upload.OpPart, Part: n + 2, Err: errors.New("busy"), Try: 1, Wait: time.Second})
			pass(1700 * time.Millisecond)
		}
		if got := s.shown(); strings.Contains(got, "wait") || strings.Contains(got, "connecting") {
			t.Errorf("of waits of 1.7 s it says\n%s", got)
		}
		for n := range 20 { // 80 s
			send(observe, n+21, 1)
			observe(upload.Retrying{Op: upload.OpPart, Part: n + 22, Err: errors.New("busy"), Try: 1, Wait: 3 * time.Second})
			pass(3 * time.Second)
		}
		got := s.shown()
		if n := len(regexp.MustCompile("waiting 2 s: busy, attempt 2 in 1 s\n").FindAllString(got, -1)); n != 3 || strings.Count(got, "continuing after 3 s\n") != n {
			t.Errorf("in 80 s of waits of 3 s it says %d times that it waits\n%s", n, got)
		}
		end()
		s.Close()
	})
}

// Where it is a proxy that does not connect, it is the proxy that is named.
func TestWaitForProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain})
		s.To("api.openai.com")
		observe, end := s.File("a.bin")
		observe(upload.Found{Next: upload.StepCreate})
		observe(upload.Requesting{Op: upload.OpCreate})
		busy := &transport.ProxyError{Proxy: "http://proxy.test:8080", Status: 504}
		observe(upload.Retrying{Op: upload.OpCreate, Err: &transport.Error{URL: "https://api.openai.com/v1/uploads", Err: busy, Unsent: true, Retry: true}, Try: 1, Wait: 5 * time.Second})
		pass(5 * time.Second)
		if got := s.shown(); !strings.Contains(got, "the proxy http://proxy.test:8080 answered CONNECT with 504") || strings.Contains(got, "reach api.openai.com") {
			t.Errorf("it says\n%s", got)
		}
		end()
		s.Close()
	})
}

// A process that may open no more files says so, and blames no connection.
func TestWaitForFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 1000, 0))
		err := &transport.Error{Err: os.NewSyscallError("socket", syscall.EMFILE)}
		observe(upload.Retrying{Op: upload.OpPart, Part: 1, Err: err, Try: 1, Wait: 3 * time.Second})
		pass(3 * time.Second)
		if got := s.shown(); !strings.Contains(got, "waiting 2 s: too many files are open here, attempt 2 in 1 s\n") {
			t.Errorf("it says\n%s", got)
		}
		end()
		s.Close()
	})
}

// Of every frame of an upload with trouble: it goes back only when a part is
// sent again, and never says more than all.
func TestEveryFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		took := int64(0) // bytes that were taken back
		observe, end := s.File("a.bin")
		frames := func(e upload.Event) {
			if sent, is := e.(upload.Sent); is && sent.Bytes < 0 {
				took -= sent.Bytes
			}
			observe(e)
		}
		troubled(frames, end)
		s.Close()
		percents := regexp.MustCompile(`a\.bin +([0-9]+)% `).FindAllStringSubmatch(s.shown(), -1)
		back, before := 0, 0
		for _, p := range percents {
			n, err := strconv.Atoi(p[1])
			if err != nil || n > 100 {
				t.Fatalf("%s%%", p[1])
			}
			back += max(0, before-n)
			before = n
		}
		if most := int(took * 100 / (400 * mb)); len(percents) < 100 || before != 100 || back > most {
			t.Errorf("%d frames that end at %d%% and go back by %d, want at most %d", len(percents), before, back, most)
		}
	})
}

// Standard input has progress of its own while it is read.
func TestArriving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 70 }})
		observe, end := s.File("-")
		for n := range 3 {
			observe(upload.Arriving{Done: int64(n) * 100 * mb, Of: -1})
			pass(time.Second)
		}
		if got := s.shown(); !strings.Contains(got, "-  reading standard input: 200 MB") {
			t.Errorf("it shows %q", got)
		}
		pass(10 * time.Second)
		if got := s.shown(); !strings.Contains(got, "-  waiting 11 s: reading standard input: 200 MB") {
			t.Errorf("it shows %q", got)
		}
		end()
		s.Close()
	})
}

// Title and taskbar follow the bar, and are put back before the last line.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Title: true, Taskbar: true, Color: true})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 2, 0))
		send(observe, 1, 1)
		pass(time.Second)
		got := s.shown()
		if !strings.Contains(got, "\x1b[22;0t\x1b]0;0% a.bin\x07") || !strings.Contains(got, "\x1b]0;50% a.bin\x07\x1b]9;4;1;50\x07") {
			t.Errorf("it shows %q", got)
		}
		if !strings.Contains(got, "|\x1b[32m████") {
			t.Errorf("it has no color: %q", got)
		}
		send(observe, 2, 1)
		observe(ended("a.bin", 2, 0, 2*time.Second))
		end()
		s.Close()
		if got := s.shown(); !strings.HasSuffix(got, "\x1b[23;0t\x1b]9;4;0;0\x07\r\x1b[J\x1b[32ma.bin:\x1b[0m 200 MB in 2s (100 MB/s), 2 parts, verified by etag\n") {
			t.Errorf("it leaves %q", got)
		}
	})
}

// In the background nothing is drawn. A program that ends at once leaves nothing.
func TestBackgroundAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		active := true
		s := show(progress.Options{Style: progress.Bar, Active: func() bool { return active }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		s.Aside(func() error { active = false; return nil }) //nolint:errcheck // it gives none
		s.shown()
		send(observe, 1, 2)
		pass(10 * time.Second) // a wait
		send(observe, 2, 2)
		if got := s.shown(); got != "" {
			t.Errorf("in the background it draws %q", got)
		}
		s.Aside(func() error { active = true; return nil }) //nolint:errcheck // it gives none
		if got := s.shown(); !strings.Contains(got, " 50% |") {
			t.Errorf("in the foreground again it draws %q", got)
		}
		s.Release()
		if got := s.shown(); got != "\r\x1b[J" {
			t.Errorf("it leaves %q", got)
		}
		pass(time.Minute)
		if got := s.shown(); got != "" {
			t.Errorf("after that it draws %q", got)
		}
		end()
		s.Close()
	})
}

// What is stopped is told once, with what another Ctrl-C does.
func TestStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Files: 2})
		a, endA := s.File("a.bin")
		b, endB := s.File("b.bin")
		for _, observe := range []func(upload.Event){a, b} {
			observe(planned("x.bin", 4, 0))
			observe(upload.Stopping{InFlight: 3, Grace: 2 * time.Second})
		}
		endA()
		endB()
		s.Close()
		if got := s.shown(); strings.Count(got, "stopping: up to 2 s for parts in flight; Ctrl-C again to stop now\n") != 1 {
			t.Errorf("it says %q", got)
		}
	})
}

// A store that takes all bytes of a part before it refuses it is one wait, however
// many parts it refuses and however fast they went: there is no progress until
// one is stored.
func TestRefusedAfterItsBytes(t *testing.T) {
	for _, style := range []progress.Style{progress.Bar, progress.Plain, progress.JSON} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style, Width: func() int { return 120 }})
			observe, end := s.File("a.bin")
			observe(planned("a.bin", 4, 0))
			refused := &transport.Error{Op: "put", Status: 503, Retry: true}
			for try := range 8 {
				for n := range 3 {
					for range 10 { // in a second
						observe(upload.Sent{Part: part(n + 1), Bytes: int64(n+8) * mb})
						pass(100 * time.Millisecond)
					}
				}
				for n := range 3 {
					observe(upload.Sent{Part: part(n + 1), Bytes: -int64(n+8) * 10 * mb})
					observe(upload.Retrying{Op: upload.OpPart, Part: n + 1, Err: refused, Try: try + 1, Wait: 4 * time.Second})
				}
				pass(4 * time.Second)
			}
			if got := s.shown(); strings.Contains(got, "continuing") || !strings.Contains(got, "waiting") {
				t.Errorf("%s: while all is refused it says\n%s", style, got)
			}
			observe(upload.Sent{Part: part(1), Bytes: 100 * mb})
			observe(upload.Stored{Part: part(1)})
			pass(100 * time.Millisecond)
			if got := s.shown(); !strings.Contains(got, "continuing") {
				t.Errorf("%s: when a part is stored it says\n%s", style, got)
			}
			end()
			s.Close()
		})
	}
}

// That a wait is over is told though the upload ends with it.
func TestOverAtTheEnd(t *testing.T) {
	for _, style := range []progress.Style{progress.Bar, progress.Plain, progress.JSON} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style, Width: func() int { return 120 }})
			observe, end := s.File("a.bin")
			observe(planned("a.bin", 1, 0))
			observe(upload.Sent{Part: part(1), Bytes: 100 * mb})
			pass(7 * time.Second)
			observe(upload.Stored{Part: part(1)})
			observe(upload.Finishing{})
			observe(ended("a.bin", 1, 0, 7*time.Second))
			end()
			s.Close()
			over := "continuing after 7 s\n"
			if style == progress.JSON {
				over = `"event":"continuing"`
			}
			if got := s.shown(); strings.Count(got, over) != 1 || strings.Index(got, over) > strings.Index(got, "verif") {
				t.Errorf("%s: it says\n%s", style, got)
			}
		})
	}
}

// A part that an earlier run sent, and this one has confirmed, takes nothing from
// what is in flight.
func TestConfirmedBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 10, 0))
		observe(upload.Sent{Part: part(1), Bytes: 50 * mb})
		observe(upload.Stored{Part: part(2)})
		pass(time.Second)
		if got := s.shown(); !strings.Contains(got, "15%") {
			t.Errorf("with one of ten parts confirmed and half of another sent it shows %q", got)
		}
		observe(upload.Sent{Part: part(1), Bytes: 50 * mb})
		observe(upload.Stored{Part: part(1)})
		pass(time.Second)
		if got := s.shown(); !strings.Contains(got, "20%") {
			t.Errorf("with two of ten parts stored it shows %q", got)
		}
		end()
		s.Close()
	})
}

// Standard input that pauses is a wait, and that it is over is told.
func TestArrivingPauses(t *testing.T) {
	for _, style := range []progress.Style{progress.Bar, progress.Plain, progress.JSON} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: style})
			observe, end := s.File("-")
			for _, pause := range []time.Duration{8 * time.Second, time.Second} {
				observe(upload.Arriving{Done: int64(pause), Of: -1})
				pass(pause)
			}
			end()
			s.Close()
			over := "continuing after 8 s\n"
			if style == progress.JSON {
				over = `"event":"continuing"`
			}
			if got := s.shown(); strings.Count(got, over) != 1 {
				t.Errorf("%s: it says\n%s", style, got)
			}
		})
	}
}

// At any width the reason of a wait is whole: it gets shorter, and is not cut.
func TestReasonIsWhole(t *testing.T) {
	reasons := map[string]error{
		"busy (503)":       &transport.Error{Op: "put", Status: 503, Retry: true},
		"rate limit (429)": &transport.Error{Op: "put", Status: 429, Retry: true},
		"failed (500)":     &transport.Error{Op: "put", Status: 500, Retry: true},
		"stalled":          &transport.Error{Err: transport.ErrStalled, Retry: true},
		"no network":       &transport.Error{Err: &net.DNSError{Name: "store.test"}, Unsent: true, Retry: true},
		"unreachable":      &transport.Error{Err: syscall.ECONNREFUSED, Unsent: true, Retry: true},
		"disconnected":     &transport.Error{Err: syscall.ECONNRESET, Retry: true},
		"too many files":   &transport.Error{Err: syscall.EMFILE},
		"retrying":         errors.New("a long and winding explanation of what it was that failed"),
	}
	for short, err := range reasons {
		synctest.Test(t, func(t *testing.T) {
			var width atomic.Int64 // the display's goroutine asks for it
			s := show(progress.Options{Style: progress.Bar, Width: func() int { return int(width.Load()) }})
			observe, end := s.File("a.bin")
			observe(planned("a.bin", 4, 0))
			observe(upload.Sent{Part: part(1), Bytes: mb})
			observe(upload.Sent{Part: part(1), Bytes: -mb})
			observe(upload.Retrying{Op: upload.OpPart, Part: 1, Err: err, Try: 1, Most: 10, Wait: time.Hour})
			pass(40 * time.Second)
			for columns := len("0%  waiting") + len(short); columns <= 150; columns++ {
				width.Store(int64(columns))
				pass(100 * time.Millisecond)
				if got := s.shown(); strings.ContainsAny(got, "…") {
					t.Errorf("in %d columns it says %q", columns, got)
				}
			}
			end()
			s.Close()
		})
	}
}

// However many retries are in a wait, and of however many parts: the time in it
// grows, and so does the number of the attempt.
func TestWaitGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 9, 0))
		send(observe, 1, 4)
		busy := &transport.Error{Op: "put", Status: 503, Retry: true}
		for try := range 8 {
			for n := range 4 {
				observe(upload.Sent{Part: part(n + 2), Bytes: mb})
				pass(300 * time.Millisecond)
				observe(upload.Sent{Part: part(n + 2), Bytes: -mb})
				if try%(n+1) == 0 { // some are tried more often than others
					observe(upload.Retrying{Op: upload.OpPart, Part: n + 2, Err: busy, Try: try/(n+1) + 1, Most: 10, Wait: time.Duration(9-try) * time.Second})
				}
			}
			pass(time.Duration(8-try) * time.Second)
		}
		waited, tried, n := 0, 0, 0
		for _, m := range regexp.MustCompile(`waiting ([0-9]+) s: the store is busy \(503\), attempt ([0-9]+) of 10`).FindAllStringSubmatch(s.shown(), -1) {
			secs, err := strconv.Atoi(m[1])
			attempt, err2 := strconv.Atoi(m[2])
			if err != nil || err2 != nil || secs < waited || attempt < tried {
				t.Errorf("after %d s and attempt %d it says %q", waited, tried, m[0])
			}
			waited, tried, n = secs, attempt, n+1
		}
		if n < 40 || waited < 44 || tried != 9 {
			t.Errorf("it says %d times that it waits, %d s and attempt %d at last", n, waited, tried)
		}
		end()
		s.Close()
	})
}

// An attempt that was put off takes nothing from the bar: its part goes on from where
// it stood. One that failed does.
func TestPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		for _, step := range []struct {
			sent upload.Sent
			want string
		}{
			{upload.Sent{Bytes: 40 * mb}, " 10% |"},
			{upload.Sent{Bytes: -40 * mb, Later: true}, " 10% |"},
			{upload.Sent{Bytes: 20 * mb}, " 10% |"},
			{upload.Sent{Bytes: -20 * mb, Later: true}, " 10% |"},
			{upload.Sent{Bytes: 60 * mb}, " 15% |"},
			{upload.Sent{Bytes: -60 * mb}, "  0% |"},
			{upload.Sent{Bytes: 100 * mb}, " 25% |"},
		} {
			step.sent.Part = part(1)
			observe(step.sent)
			pass(time.Second)
			if got := s.shown(); got != "" && !strings.Contains(got, step.want) {
				t.Errorf("after %d bytes, put off: %t, it shows %q", step.sent.Bytes, step.sent.Later, got)
			}
		}
		observe(upload.Stored{Part: part(1)})
		pass(time.Second)
		if got := s.shown(); !strings.Contains(got, " 25% |") {
			t.Errorf("with one of four parts stored it shows %q", got)
		}
		end()
		s.Close()
	})
}

// The rate is that of sending: what was waited before and between says nothing about
// it, whatever it was waited for.
func TestRateAfterWaits(t *testing.T) {
	busy := &transport.Error{Op: "put", Status: 503, Retry: true}
	offline := &transport.Error{Err: &net.DNSError{Name: "store.test"}, Unsent: true, Retry: true}
	for name, wait := range map[string]func(observe func(upload.Event)){
		"a stall": func(func(upload.Event)) { pass(8 * time.Second) },
		"503s": func(observe func(upload.Event)) {
			for try := range 3 {
				observe(upload.Sent{Part: part(2), Bytes: mb})
				pass(100 * time.Millisecond)
				observe(upload.Sent{Part: part(2), Bytes: -mb})
				observe(upload.Retrying{Op: upload.OpPart, Part: 2, Err: busy, Try: try + 1, Most: 10, Wait: 3 * time.Second})
				pass(3 * time.Second)
			}
		},
		"an outage": func(observe func(upload.Event)) {
			observe(upload.Retrying{Op: upload.OpPart, Part: 2, Err: offline, Try: 1, Wait: time.Second})
			observe(upload.Outage{Err: offline, For: time.Minute})
			pass(30 * time.Second)
		},
		"standard input": func(observe func(upload.Event)) {
			for n := range 5 {
				observe(upload.Arriving{Done: int64(n) * mb, Of: -1})
				pass(time.Second)
			}
		},
		"hashing": func(observe func(upload.Event)) {
			for n := range 5 {
				observe(upload.Hashing{Why: upload.ReadToCompare, Done: int64(n) * mb, Of: 5 * mb})
				pass(time.Second)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
			observe, end := s.File("a.bin")
			wait(observe) // before the first byte
			observe(planned("a.bin", 4, 0))
			for n := range 2 {
				if n > 0 {
					wait(observe)
				}
				s.shown()
				for part := range 2 {
					send(observe, 1+2*n+part, 4)
				}
				rates := regexp.MustCompile(` ([0-9.]+ [kM]?B/s)  `).FindAllStringSubmatch(s.shown(), -1)
				if len(rates) < 20 {
					t.Errorf("%s: of 8 s with bytes it tells the rate %d times", name, len(rates))
				}
				for _, r := range rates {
					if r[1] != "25 MB/s" && r[1] != "26 MB/s" {
						t.Errorf("%s: of 25 MB/s it says %s", name, r[1])
					}
				}
			}
			end()
			s.Close()
		})
	}
}

// A wait that is on the screen stays there until something moves, though the next
// attempt begins soon.
func TestWaitStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		send(observe, 1, 4)
		s.shown()
		busy := &transport.Error{Op: "put", Status: 503, Retry: true}
		observe(upload.Retrying{Op: upload.OpPart, Part: 2, Err: busy, Try: 1, Wait: 3 * time.Second})
		pass(time.Second)
		if got := s.shown(); !strings.Contains(got, "waiting 1 s: the store is busy (503), attempt 2") {
			t.Errorf("of a wait of 3 s it says %q", got)
		}
		observe(upload.Retrying{Op: upload.OpPart, Part: 3, Err: busy, Try: 2, Wait: 100 * time.Millisecond})
		pass(time.Second)
		if got := s.shown(); strings.Contains(got, "/s") || !strings.Contains(got, "waiting 2 s: the store is busy (503), attempt 3") {
			t.Errorf("a second later it says %q", got)
		}
		end()
		s.Close()
	})
}

// A slow link takes bytes in lumps, which have a rate too. It is never nothing.
func TestRateOfLumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		for range 10 {
			observe(upload.Sent{Part: part(1), Bytes: 3 * mb})
			pass(3 * time.Second)
		}
		got := s.shown()
		if rates := regexp.MustCompile(` (900 kB|1\.[0-2] MB)/s `).FindAllString(got, -1); len(rates) < 20 || strings.Contains(got, " 0 B/s") {
			t.Errorf("of 1 MB/s it says %d times what is about right: %q", len(rates), got)
		}
		end()
		s.Close()
	})
}

// That one file makes progress does not make the reason forgotten why others wait.
func TestReasonOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Plain, Files: 2})
		a, endA := s.File("a.bin")
		b, endB := s.File("b.bin")
		a(upload.Requesting{Op: upload.OpCreate})
		b(upload.Requesting{Op: upload.OpCreate})
		a(upload.Retrying{Op: upload.OpCreate, Err: &transport.Error{Op: "create", Status: 503, Retry: true}, Try: 1, Wait: 10 * time.Second})
		pass(300 * time.Millisecond)
		b(ended("b.bin", 1, 0, time.Second))
		endB()
		pass(5 * time.Second)
		if got := s.shown(); !strings.Contains(got, "waiting 2 s: the provider is busy (503), attempt 2 in 8 s\n") || strings.Contains(got, "connecting") {
			t.Errorf("it says\n%s", got)
		}
		endA()
		s.Close()
	})
}

// What is refused at once only filled buffers: it is no rate.
func TestRateOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := show(progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := s.File("a.bin")
		observe(planned("a.bin", 4, 0))
		busy := &transport.Error{Op: "put", Status: 503, Retry: true}
		for n := range 90 {
			observe(upload.Sent{Part: part(1), Bytes: mb})
			observe(upload.Sent{Part: part(2), Bytes: 5 * mb})
			pass(100 * time.Millisecond)
			observe(upload.Sent{Part: part(2), Bytes: -5 * mb})
			observe(upload.Retrying{Op: upload.OpPart, Part: 2, Err: busy, Try: n + 1})
		}
		rates := regexp.MustCompile(` ([0-9]+) MB/s `).FindAllStringSubmatch(s.shown(), -1)
		for _, r := range rates {
			if n, err := strconv.Atoi(r[1]); err != nil || n < 9 || n > 15 {
				t.Errorf("of 10 MB/s it says%s", r[0])
			}
		}
		if len(rates) < 20 {
			t.Errorf("it tells the rate %d times", len(rates))
		}
		end()
		s.Close()
	})
}

// stoppable is a screen on which the display can be stopped, as Ctrl-Z does: nothing
// of the program runs then.
type stoppable struct {
	screen
	stop atomic.Int64 // for how long, from the next write on
}

func (s *stoppable) Write(p []byte) (int, error) {
	<-time.After(time.Duration(s.stop.Swap(0)))
	return s.screen.Write(p)
}

// The time in which the program was stopped says nothing about the rate.
func TestRateAfterAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(stoppable)
		d := progress.New(out, progress.Options{Style: progress.Bar, Width: func() int { return 120 }})
		observe, end := d.File("a.bin")
		observe(planned("a.bin", 4, 0))
		send(observe, 1, 4)
		out.stop.Store(int64(20 * time.Second))
		pass(20*time.Second + 50*time.Millisecond)
		out.Reset()
		send(observe, 2, 4)
		rates := regexp.MustCompile(` ([0-9.]+ [kM]?B/s)  `).FindAllStringSubmatch(out.String(), -1)
		for _, r := range rates {
			if r[1] != "25 MB/s" && r[1] != "26 MB/s" {
				t.Errorf("of 25 MB/s it says %s", r[1])
			}
		}
		if len(rates) < 20 {
			t.Errorf("of 4 s with bytes it tells the rate %d times", len(rates))
		}
		end()
		d.Close()
	})
}
