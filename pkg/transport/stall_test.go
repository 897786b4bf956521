package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/multiput/multiput/pkg/transport"
)

const (
	shortStall = 200 * time.Millisecond
	mib        = 1 << 20
)

func stalled(t *testing.T, err error) {
	t.Helper()
	if e := failed(t, err); !errors.Is(err, transport.ErrStalled) || !e.Retry || e.Unsent {
		t.Errorf("%+v, want temporary and ErrStalled", e)
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	url := sockets(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	start := time.Now()
	_, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), put(url, zeros(mib), mib))
	stalled(t, err)
	if d := time.Since(start); d < shortStall {
		t.Errorf("timed out after %s", d)
	}
}

func TestServerThatStopsReading(t *testing.T) {
	url := sockets(t, func(c *net.TCPConn) { _, _ = io.CopyN(io.Discard, c, mib) })
	_, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), put(url, zeros(64*mib), 64*mib))
	stalled(t, err)
}

// The kernel does not take megabytes that the server has not: what was read of a body
// is about what was sent.
func TestKernelTakesLittle(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("NOT TESTED: the bytes that wait in the kernel are bounded on Linux and macOS only")
	}
	const read = 8 * mib
	url := sockets(t, func(c *net.TCPConn) {
		_ = c.SetReadBuffer(64 << 10)
		_, _ = io.CopyN(io.Discard, c, read) // which is enough for large buffers
	})
	body := &io.LimitedReader{R: zero{}, N: 64 * mib}
	_, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), put(url, body, 64*mib))
	stalled(t, err)
	if taken := 64*mib - body.N; taken-read > 3*mib/2 {
		t.Errorf("of a server that takes no more, %d bytes wait", taken-read)
	}
}

func TestServerThatStopsInItsAnswer(t *testing.T) {
	url := sockets(t, func(c *net.TCPConn) {
		if _, err := head(bufio.NewReader(c)); err == nil {
			_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
		}
	})
	_, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
	stalled(t, err)
}

// A part that moves, however slowly, is left alone. Here it takes many times
// the stall timeout, and the kernel takes all of it at once.
func TestSlowIsNotStalled(t *testing.T) {
	const size, step = 4 * mib, 64 << 10
	url := sockets(t, func(c *net.TCPConn) {
		_ = c.SetReadBuffer(step)
		r := bufio.NewReaderSize(c, 16)
		if _, err := head(r); err != nil {
			return
		}
		tick := time.NewTicker(shortStall / 10)
		defer tick.Stop()
		for range size / step {
			<-tick.C
			if _, err := io.CopyN(io.Discard, r, step); err != nil {
				return
			}
		}
		answer(c, 200, "")
	})
	start := time.Now()
	reply, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), put(url, zeros(size), size))
	if err != nil || reply.Status != 200 {
		t.Errorf("%+v, %v", reply, err)
	}
	if d := time.Since(start); d < 3*shortStall {
		t.Errorf("it took %s, which proves nothing", d)
	}
}

// An answer may trickle in too.
func TestSlowAnswerIsNotStalled(t *testing.T) {
	const steps = 40
	url := sockets(t, func(c *net.TCPConn) {
		if _, err := head(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", steps)
		tick := time.NewTicker(shortStall / 10)
		defer tick.Stop()
		for range steps {
			<-tick.C
			_, _ = c.Write([]byte("."))
		}
	})
	reply, err := (&transport.Client{Stall: shortStall}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
	if err != nil || len(reply.Body) != steps {
		t.Errorf("%+v, %v", reply, err)
	}
}

// But not forever.
func TestAnswerThatDripsForEver(t *testing.T) {
	const stall = 50 * time.Millisecond
	url := sockets(t, func(c *net.TCPConn) {
		if _, err := head(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
		tick := time.NewTicker(stall / 10)
		defer tick.Stop()
		for range tick.C {
			if _, err := c.Write([]byte(".")); err != nil {
				return
			}
		}
	})
	for _, bulk := range []bool{false, true} {
		_, err := (&transport.Client{Stall: stall}).Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url, Bulk: bulk})
		stalled(t, err)
	}
}

// The rate limit's waits are ours, not the server's.
func TestRateLimitIsNotStalled(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	const stall, burst = 100 * time.Millisecond, 1000
	c := &transport.Client{Stall: stall, Limit: rate.NewLimiter(rate.Every(stall*3/burst), burst)} // three stalls for each read
	start := time.Now()
	reply, err := c.Do(t.Context(), put(url, zeros(3*burst), 3*burst))
	if err != nil || string(reply.Body) != "3000" {
		t.Fatalf("%+v, %v", reply, err)
	}
	if d := time.Since(start); d < 5*stall {
		t.Errorf("%s for three bursts: the limit was not kept", d)
	}
	// The limit is for file bytes alone.
	q := put(url, zeros(3*burst), 3*burst)
	q.Bulk = false
	start = time.Now()
	if _, err := c.Do(t.Context(), q); err != nil || time.Since(start) > 5*stall {
		t.Errorf("a call to the API was held back for %s (%v)", time.Since(start), err)
	}
}

func TestRateLimitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reading := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(reading)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	go func() {
		<-reading
		cancel()
	}()
	c := &transport.Client{Limit: rate.NewLimiter(rate.Every(time.Hour), 10)}
	_, err := c.Do(ctx, put(url, zeros(20), 20))
	if e := failed(t, err); e.Retry || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, want the context's and no further try", e)
	}
}

// A slow request is given five times as long, the others are not: the slow one
// is answered only when a usual one, asked later, timed out.
func TestSlowRequest(t *testing.T) {
	const answerAfter = "the other timed out"
	release := make(chan struct{})
	arrived := make(chan struct{}, 2)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
			_, _ = io.WriteString(w, answerAfter)
		case <-r.Context().Done():
		}
	})
	c := &transport.Client{Stall: shortStall}
	slow := make(chan error, 1)
	go func() {
		reply, err := c.Do(t.Context(), transport.Request{Op: "complete", Method: "GET", URL: url, Slow: true})
		if err == nil && string(reply.Body) != answerAfter {
			err = fmt.Errorf("reply %q", reply.Body)
		}
		slow <- err
	}()
	<-arrived
	_, err := c.Do(t.Context(), transport.Request{Op: "ask", Method: "GET", URL: url})
	stalled(t, err)
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the slow one: %v", err)
	}
}

// A wait for no bytes returns at once.
func TestCancel(t *testing.T) {
	why := errors.New("the reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	url := sockets(t, func(c *net.TCPConn) {
		_, _ = io.CopyN(io.Discard, c, 1000)
		cancel(why)
		_, _ = io.Copy(io.Discard, c)
	})
	_, err := (&transport.Client{}).Do(ctx, put(url, zeros(1000), 1000))
	if e := failed(t, err); e.Retry || !errors.Is(err, why) {
		t.Errorf("%+v, want the cause of the context and no further try", e)
	}
	_, err = (&transport.Client{}).Do(ctx, put(url, strings.NewReader("x"), 1))
	if e := failed(t, err); e.Retry || !e.Unsent {
		t.Errorf("cancelled before: %+v, want unsent", e)
	}
}
