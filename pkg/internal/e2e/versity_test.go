package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/internal/realstore"
	"github.com/multiput/multiput/pkg/internal/s3store"
	"github.com/multiput/multiput/pkg/sandbox"
)

// TestHalfAPartIsStored: a part's connection closes cleanly half way, and
// versitygw answers that it is stored. Its ETag is that of the half that came,
// and by that multiput knows better.
func TestHalfAPartIsStored(t *testing.T) {
	t.Parallel()
	for _, part := range []int{1, 2} { // before anything is known of the store's ETags, and after
		t.Run(fmt.Sprintf("part %d", part), func(t *testing.T) {
			t.Parallel()
			server := realstore.VersityGW(t)
			relay := newRelay(t, server.Endpoint, part, false)
			r := onReal(t, server, &sandbox.Server{API: "archetype", PartSize: realPart, StoreURL: relay.url})
			file := r.file(t, 2*realPart+1000)
			p := r.launch(t, nil, "multiput", "upload", file, "-p", "archetype", "-j", "1", "-v")
			code := p.wait(t)
			half, claimed, _ := relay.did()
			if claimed == "" || claimed != half {
				t.Fatalf("the store said %q of a part whose half is %q: is this bug fixed?\n%s", claimed, half, p.stderr.String())
			}
			if code != 0 {
				t.Fatalf("exit code %d\n%s", code, p.stderr.String())
			}
			p.says(t, fmt.Sprintf("(re-sending part %d:|part %d arrived damaged)", part, part), 1)
			r.cmpObject(t, file)
		})
	}
}

// relay carries requests to a store and its answers back, one a connection,
// and has bad habits.
type relay struct {
	url  string
	to   string
	part int // of the first PUT of this part half is passed on, and then that way is closed cleanly
	// breaks has the connection reset instead of a 403, as versitygw does it in
	// the eyes of many a client.
	breaks bool

	mu            sync.Mutex
	half, claimed string // ETags: of what was passed on, and what the store answered
	broken        int
}

func newRelay(t *testing.T, origin string, part int, breaks bool) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &relay{url: "http://" + l.Addr().String(), to: strings.TrimPrefix(origin, "http://"), part: part, breaks: breaks}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			conns.Go(func() {
				defer c.Close()
				if err := h.carry(c.(*net.TCPConn)); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return h
}

// did tells what it did so far.
func (h *relay) did() (half, claimed string, broken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.half, h.claimed, h.broken
}

// carry takes one request to the store and its answer back.
func (h *relay) carry(client *net.TCPConn) error {
	req, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil {
		return nil // a connection that was not used
	}
	store, err := net.Dial("tcp", h.to)
	if err != nil {
		return err
	}
	defer store.Close()
	// With nothing but what is signed.
	fmt.Fprintf(store, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", req.Method, req.RequestURI, req.Host, req.ContentLength)
	h.mu.Lock()
	mine := h.half == "" && req.URL.Query().Get("partNumber") == fmt.Sprint(h.part)
	if mine {
		h.half = "on its way"
	}
	h.mu.Unlock()
	sum := md5.New()
	if mine {
		if _, err := io.CopyN(io.MultiWriter(store, sum), req.Body, req.ContentLength/2); err != nil {
			return err
		}
		if err := store.(*net.TCPConn).CloseWrite(); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return err
		}
	} else {
		_, _ = io.Copy(store, req.Body) // a store that refuses need not take it
	}
	var answer bytes.Buffer
	_, _ = io.Copy(&answer, store) // nor say anything
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer.Bytes())), req)
	if err == nil {
		resp.Body.Close()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case mine:
		h.half = fmt.Sprintf(`"%x"`, sum.Sum(nil))
		if err == nil && resp.StatusCode == http.StatusOK {
			h.claimed = resp.Header.Get("ETag")
		}
	case h.breaks && (err != nil || resp.StatusCode == http.StatusForbidden):
		h.broken++
		return client.SetLinger(0)
	}
	_, _ = io.Copy(client, &answer) // it may have left
	return nil
}

// shortLived signs for a second what it says is good for an hour, as a store
// whose clock is wrong, and only so often.
type shortLived struct {
	*s3store.Store
	mu    sync.Mutex
	times int
}

func (s *shortLived) Presign(ctx context.Context, base string, r sandbox.Ref, part int, life time.Duration) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.times--; s.times < 0 {
		return s.Store.Presign(ctx, base, r, part, life)
	}
	u, _, err := s.Store.Presign(ctx, base, r, part, time.Second)
	return u, time.Now().Add(life), err
}

// badlySigned breaks every signature.
type badlySigned struct{ *s3store.Store }

func (s *badlySigned) Presign(ctx context.Context, base string, r sandbox.Ref, part int, life time.Duration) (string, time.Time, error) {
	u, at, err := s.Store.Presign(ctx, base, r, part, life)
	return regexp.MustCompile(`X-Amz-Signature=........`).ReplaceAllString(u, "X-Amz-Signature=deadbeef"), at, err
}

// What multiput tells of its PUTs: all of them, those that were refused, and
// those that were given no answer.
var (
	tries    = regexp.MustCompile(`(?m)^#\d+ > PUT http`)
	refusals = regexp.MustCompile(`(?m)^#\d+ < PUT 403 `)
	unheard  = regexp.MustCompile(`(?m)^#\d+ ! PUT `)
)

// TestRefusedPutsAtVersity: versitygw answers a PUT whose URL has expired, or
// whose signature is wrong, with a 403 or by breaking the connection, as it
// happens. Neither is retried forever, and where there are new URLs, the upload
// gets through.
func TestRefusedPutsAtVersity(t *testing.T) {
	t.Parallel()
	const n = 4 // parts
	for _, c := range []struct {
		name, api string
		store     func(*s3store.Store) sandbox.Store
		life      time.Duration
		late      bool // create is answered when its URLs have expired
		args      []string
		codes     []int
		puts      int // at most
		says      string
	}{
		{
			name: "expired, issued again", api: "archetype",
			store: func(s *s3store.Store) sandbox.Store { return &shortLived{Store: s, times: n} },
			late:  true, codes: []int{0}, puts: 3 * n, says: "verified by crc32c",
		},
		{
			name: "expired, not issued again", api: "fileai", life: time.Second, late: true,
			codes: []int{exitFailed, exitAgain}, puts: 3 * n, says: "expired",
		},
		{
			name: "expired, not issued again", api: "upscayl", life: time.Second, late: true,
			codes: []int{exitFailed, exitAgain}, puts: 3 * n, says: "expired",
		},
		{
			name: "badly signed", api: "archetype",
			store: func(s *s3store.Store) sandbox.Store { return &badlySigned{s} },
			args:  []string{"--retries", "3"}, codes: []int{exitFailed, exitAgain}, puts: 2 * 4, says: "multiput: ",
		},
	} {
		for _, breaks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s, broken %t", c.api, c.name, breaks), func(t *testing.T) {
				t.Parallel()
				server := realstore.VersityGW(t)
				h := newRelay(t, server.Endpoint, 0, breaks)
				own := bucket(t, server)
				s := &sandbox.Server{API: c.api, PartSize: realPart, StoreURL: h.url, URLLife: c.life, Store: own}
				if c.store != nil {
					s.Store = c.store(own)
				}
				r := rigFor(t, s)
				r.store = own
				file := r.file(t, (n-1)*realPart+1000)
				command := append([]string{"upload", file, "-p", c.api, "-j", "2", "-vv"}, c.args...)
				expire := func(q sandbox.Request, after bool) {
					if after && q.Step == sandbox.StepCreate {
						<-time.After(1100 * time.Millisecond) // the store has no other clock
					}
				}
				if c.late {
					r.onEvent.Store(&expire)
				}
				p := r.launch(t, nil, "multiput", command...)
				code := p.wait(t)
				said := p.stderr.String()
				count := len(tries.FindAllString(said, -1))
				refused, broken := len(refusals.FindAllString(said, -1)), len(unheard.FindAllString(said, -1))
				t.Logf("exit code %d, %d PUTs: %d answered with 403, %d with a broken connection", code, count, refused, broken)
				if !slices.Contains(c.codes, code) || count > c.puts || refused+broken == 0 || !regexp.MustCompile(c.says).MatchString(said) {
					t.Errorf("it said:\n%s", said)
				}
				if _, _, n := h.did(); breaks == (n == 0) || breaks && refused > 0 {
					t.Errorf("%d refusals were made broken connections", n)
				}
				if code == 0 {
					r.cmpObject(t, file)
				}
			})
		}
	}
}
