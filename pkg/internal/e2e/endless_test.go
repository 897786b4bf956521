package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a server sends without end, or to be taken apart without end, ends in an
// error: soon, in bounded memory, and never in a panic.
func TestRepliesWithoutMeasure(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while, and is the same on all systems")
	}
	repeat := func(w io.Writer, s string, n int64) {
		line := strings.Repeat(s, 1<<20/len(s))
		for n > 0 {
			m, err := io.WriteString(w, line)
			if n -= int64(m); err != nil {
				return // it hung up
			}
		}
	}
	const endless = 4 << 30
	body := func(begin, s string, n int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, begin)
			repeat(w, s, n)
		}
	}
	raw := func(head, s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			c, b, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			fill(c, b, head, s, repeat)
		}
	}
	plan := func(parts string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, `{"upload_id":"u1","file_uid":"f1","integrity_algorithm":"none","total_bytes":10,"is_resume":false,"num_parts":1,"part_size":10,"parts":%s}`, parts)
		}
	}
	good := func(base func() string) string {
		return fmt.Sprintf(`[{"part_number":1,"offset":0,"length":10,"url":"%s/store/1","expires_at":"2099-01-01T00:00:00Z"}]`, base())
	}
	millionParts := func() string {
		var b strings.Builder
		b.WriteString("[")
		for n := range 1_000_000 {
			if n > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"part_number":%d}`, n)
		}
		return b.String() + "]"
	}
	one := func(fields string) http.HandlerFunc { return plan("[{" + fields + "}]") }
	for what, c := range map[string]struct {
		step string // at which it is answered
		h    http.HandlerFunc
		code int // 0: any but success; -1: any
	}{
		"a reply without end":       {"create", body(`{"upload_id":"`, "x", endless), exitFailed},
		"white space without end":   {"create", body("", " \n", endless), exitFailed},
		"a refusal without end":     {"create", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(400); body("", "no ", endless)(w, r) }, exitFailed},
		"a header without end":      {"create", raw("HTTP/1.1 200 OK\r\nX: ", "x"), 0},
		"headers without end":       {"create", raw("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"), 0},
		"informational without end": {"create", raw("", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"), 0},
		"what unpacks to more": {"create", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "\x1f\x8b\x08\x00")
		}, exitFailed},
		"nested without end": {"create", body("", "[", 60<<20), exitFailed},
		"nested objects":     {"create", body("", `{"a":`, 60<<20), exitFailed},
		"nested and closed": {"create", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("[", 9000)+strings.Repeat("]", 9000))
		}, exitFailed},
		"a number of a million digits": {"create", one(`"part_number":` + strings.Repeat("9", 1_000_000) + `,"offset":0,"length":10,"url":"https://h/"`), exitFailed},
		"a number with an exponent":    {"create", one(`"part_number":1e999999999,"offset":0,"length":10,"url":"https://h/"`), exitFailed},
		"a giant part number":          {"create", one(`"part_number":9223372036854775807,"offset":0,"length":10,"url":"https://h/"`), 0},
		"a negative part":              {"create", one(`"part_number":1,"offset":-5,"length":15,"url":"https://h/"`), exitFailed},
		"a length that wraps":          {"create", one(`"part_number":1,"offset":9223372036854775807,"length":10,"url":"https://h/"`), exitFailed},
		"a million parts":              {"create", plan(millionParts()), exitFailed},
		"a million fields":             {"create", body(`{"upload_id":"u1","x":[`, `{"a":1},`, 60<<20), exitFailed},
		"a receipt without end":        {"put", body("", "x", endless), 0},
		"an ETag of a megabyte": {"put", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"`+strings.Repeat("e", 900<<10)+`"`)
		}, 0},
		"a refused part without end": {"put", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			body("<Error><Code>", "x", endless)(w, r)
		}, 0},
		"XML in XML without end": {"put", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(403)
			body("<Error>", "<a>", endless)(w, r)
		}, 0},
		"completed without end": {"complete", body(`{"file_status":"Registered","file_uid":"`, "x", endless), exitDoubt},
		"a result of many megabytes": {"complete", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"file_status":"Registered","file_uid":"`)
			repeat(w, "x", 30<<20)
			_, _ = io.WriteString(w, `"}`)
		}, -1},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t, "archetype", 64<<10)
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				step := "create"
				switch {
				case q.Method == http.MethodPut:
					step = "put"
				case strings.HasSuffix(q.URL.Path, "/complete"):
					step = "complete"
				case !strings.HasSuffix(q.URL.Path, "/initiate"):
					step = "other"
				}
				switch {
				case step == c.step:
					c.h(w, q)
				case step == "create":
					plan(good(func() string { return server.URL }))(w, q)
				case step == "put":
					_, _ = io.Copy(io.Discard, q.Body)
					w.Header().Set("ETag", `"e"`)
				default:
					_, _ = io.WriteString(w, `{}`)
				}
			}))
			t.Cleanup(server.Close)
			file := filepath.Join(r.dir, "ten")
			if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := r.start(t, "upload", file, "-p", "archetype", "--base-url", server.URL, "--retries", "0", "--stall-timeout", "5s")
			code := p.ends(t, time.Minute)
			messages := p.messages.String()
			if code <= 0 && c.code != -1 || c.code > 0 && code != c.code || strings.Contains(messages, "goroutine ") || len(messages) > 10_000 {
				t.Errorf("exit code %d, want %d: %s", code, c.code, messages[:min(len(messages), 2000)])
			}
			t.Logf("exit code %d, %d MiB: %.300s", code, peakMemory(p.ProcessState)>>20, messages)
			if peak := peakMemory(p.ProcessState); peak > mostMemory {
				t.Errorf("it took %d MiB", peak>>20)
			}
		})
	}
}

// mostMemory is what a process may take that reads the most bytes of a reply
// that are read, 64 MiB, and takes them apart; under the race detector too.
const mostMemory = 3 << 30

// fill answers with a head and more and more of it.
func fill(c net.Conn, b *bufio.ReadWriter, head, s string, repeat func(io.Writer, string, int64)) {
	if _, err := b.WriteString(head); err == nil {
		err = b.Flush()
		if err == nil {
			repeat(c, s, 4<<30)
		}
	}
}
