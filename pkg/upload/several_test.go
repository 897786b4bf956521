package upload_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// stepping completes in three requests, of which each is made once.
type stepping struct {
	*cloud
	asked []int // which request each call was
	fail  func(call, request int) error
}

func (s *stepping) CompleteStep(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Answered, error) {
	if err := s.alive(ctx); err != nil {
		return upload.Answered{}, err
	}
	var kept struct{ Step int }
	if err := json.Unmarshal(u.Data, &kept); err != nil {
		return upload.Answered{}, err
	}
	s.asked = append(s.asked, kept.Step)
	if s.fail != nil {
		if err := s.fail(len(s.asked), kept.Step); err != nil {
			return upload.Answered{More: kept.Step < 2}, err
		}
	}
	if kept.Step < 2 {
		return upload.Answered{Data: json.RawMessage(`{"step":` + strconv.Itoa(kept.Step+1) + `}`), More: true}, nil
	}
	r, err := s.Complete(ctx, u, rs, d)
	return upload.Answered{Data: json.RawMessage(`{"step":9}`), Result: r}, err
}

// TestSeveralRequests: each request of complete is durable before the next.
func TestSeveralRequests(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			done := false
			bubble(t, func(t *testing.T) {
				r := newRig(t, 2500)
				s := &stepping{cloud: r.cloud}
				r.provider, r.cloud.already = s, true
				if done = !r.killed(n, after); done {
					if !slices.Equal(s.asked, []int{0, 1, 2}) {
						t.Errorf("asked %v", s.asked)
					}
					return
				}
				if r.journal.state("u1") == upload.Delivered {
					return // it came to its end
				}
				before := slices.Clone(s.asked)
				r.ok()
				// Only a request whose answer was not durable is made again.
				for request := range 2 {
					again := 0
					for _, asked := range s.asked {
						if asked == request {
							again++
						}
					}
					if again > 2 || again == 2 && (len(before) == 0 || before[len(before)-1] != request) {
						t.Errorf("killed at write %d (after %t): asked %v, then %v", n, after, before, s.asked[len(before):])
					}
				}
				if !slices.IsSorted(s.asked) {
					t.Errorf("killed at write %d: asked %v", n, s.asked)
				}
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

// TestDoubtOfOneRequest: an unclear answer concerns its request alone, and the
// next run goes on there.
func TestDoubtOfOneRequest(t *testing.T) {
	for request := range 3 {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 2500)
			s := &stepping{cloud: r.cloud, fail: func(_, at int) error {
				if at == request {
					return silence()
				}
				return nil
			}}
			r.provider = s
			_, err := r.run(t.Context())
			if !errors.Is(err, upload.ErrDoubt) || r.journal.state("u1") != upload.Completing {
				t.Fatalf("%v in state %q", err, r.journal.state("u1"))
			}
			if final := strings.Contains(err.Error(), ": the final request got no clear answer"); final != (request == 2) {
				t.Errorf("request %d: %v", request, err)
			}
			if s.fail = nil; slices.Max(s.asked) != request {
				t.Errorf("asked %v", s.asked)
			}
			n := len(s.asked)
			r.ok()
			if want := []int{0, 1, 2}[request:]; !slices.Equal(s.asked[n:], want) {
				t.Errorf("then asked %v, want %v", s.asked[n:], want)
			}
			r.once("u1")
		})
	}
	// A clear no ends it, and what was answered before stands.
	bubble(t, func(t *testing.T) {
		r := newRig(t, 2500)
		s := &stepping{cloud: r.cloud, fail: func(_, at int) error {
			if at == 1 {
				return fmt.Errorf("no: %w", upload.ErrRefused)
			}
			return nil
		}}
		r.provider = s
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrRefused) || errors.Is(err, upload.ErrDoubt) || r.journal.state("u1") != upload.Sending {
			t.Fatalf("%v in state %q", err, r.journal.state("u1"))
		}
		s.fail = nil
		r.ok()
		if !slices.Equal(s.asked, []int{0, 1, 1, 2}) {
			t.Errorf("asked %v", s.asked)
		}
	})
}

// confirming has each part confirmed by a request of its own.
type confirming struct {
	*cloud
	confirmed map[int]int
	fail      func(part, n int) error
}

func (c *confirming) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	r, err := c.cloud.Put(ctx, u, g, p, body)
	if err == nil {
		r.ETag, r.Value = r.Value, ""
		r.Unconfirmed = json.RawMessage(`{"part":` + strconv.Itoa(p.Number) + `}`)
	}
	return r, err
}

func (c *confirming) Confirm(ctx context.Context, _ upload.Upload, p upload.Part, r upload.Receipt) (upload.Receipt, error) {
	if err := c.alive(ctx); err != nil {
		return r, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := `{"part":` + strconv.Itoa(p.Number) + `}`; string(r.Unconfirmed) != want {
		return r, fmt.Errorf("part %d is confirmed with %s", p.Number, r.Unconfirmed)
	}
	if c.confirmed == nil {
		c.confirmed = map[int]int{}
	}
	c.confirmed[p.Number]++
	if c.fail != nil {
		if err := c.fail(p.Number, c.confirmed[p.Number]); err != nil {
			return r, err
		}
	}
	r.Value, r.ETag, r.Unconfirmed = r.ETag, "", nil
	return r, nil
}

// TestConfirmation: a part counts once it is confirmed. Whenever a process dies,
// the next one confirms what is stored, and does not send it again.
func TestConfirmation(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			done := false
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3500)
				c := &confirming{cloud: r.cloud, fail: func(part, n int) error {
					if part == 2 && n == 1 {
						return trouble(503)
					}
					return nil
				}}
				r.provider, r.cloud.already = c, true
				if done = !r.killed(n, after); done {
					r.once("u1")
					if len(c.confirmed) != 4 || c.confirmed[2] != 2 {
						t.Errorf("confirmed %v", c.confirmed)
					}
					return
				}
				if rep := r.ok(); rep.PartsStored != 4 {
					t.Errorf("stored %d parts", rep.PartsStored)
				}
			})
			if done || t.Failed() {
				break
			}
		}
	}
}

// TestUnconfirmedIsNotCheckpointed: the provider is not told of a part before it
// confirmed it, by the next process either.
func TestUnconfirmedIsNotCheckpointed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3500)
		c := &confirming{cloud: r.cloud, fail: func(int, int) error { return fmt.Errorf("not now: %w", upload.ErrDenied) }}
		r.provider = struct {
			*confirming
			checkpoints
		}{c, checkpointing{r.cloud}}
		r.cloud.onCheckpoint = func(_ int, rs []upload.Receipt) error {
			for _, receipt := range rs {
				if receipt.Unconfirmed != nil {
					t.Errorf("part %d is checkpointed, and was not confirmed", receipt.Part)
				}
			}
			return nil
		}
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrDenied) || len(r.journal.of("u1").Receipts) == 0 {
			t.Fatalf("%v, the journal has %+v", err, r.journal.of("u1"))
		}
		c.fail = nil
		r.journal.restart()
		r.ok()
	})
}

// checkpoints is the one method of a Checkpointer.
type checkpoints interface{ upload.Checkpointer }

// TestConfirmationRefused: a confirmation that is refused for good ends the run.
func TestConfirmationRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3500)
		r.provider = &confirming{cloud: r.cloud, fail: func(part, _ int) error {
			if part == 3 {
				return fmt.Errorf("never: %w", upload.ErrRefused)
			}
			return nil
		}}
		rep, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrRefused) || rep.PartsStored == 4 || len(r.cloud.objects) > 0 {
			t.Errorf("%v, %d parts stored", err, rep.PartsStored)
		}
	})
}

// readying has a file that is ready some time after complete.
type readying struct {
	*cloud
	how   *upload.Readiness
	after int // how often it is not ready
	asked int
	fail  error
}

func (c *readying) Readiness(upload.Upload) *upload.Readiness { return c.how }

func (c *readying) Ready(ctx context.Context, u upload.Upload, r upload.Result) (bool, upload.Result, error) {
	if err := c.alive(ctx); err != nil {
		return false, r, err
	}
	c.asked++
	switch {
	case c.fail != nil:
		return false, r, c.fail
	case c.asked <= c.after:
		return false, r, fmt.Errorf("busy transcoding: %w", upload.ErrNotReady)
	}
	return true, r, nil
}

// TestReady: where it is required, the upload is done only when the file is
// ready, and complete is not sent again for that.
func TestReady(t *testing.T) {
	required := &upload.Readiness{Every: 2 * time.Second, Timeout: time.Minute, Required: true}
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			done := false
			bubble(t, func(t *testing.T) {
				r := newRig(t, 2500)
				c := &readying{cloud: r.cloud, how: required, after: 3}
				r.provider, r.cloud.already = c, true
				began := time.Now()
				if done = !r.killed(n, after); done {
					if took := time.Since(began); c.asked != 4 || took < 6*time.Second {
						t.Errorf("asked %d times in %s", c.asked, took)
					}
					return
				}
				waiting, completes := r.journal.state("u1") == upload.Waiting, r.cloud.completes
				r.ok()
				if waiting && r.cloud.completes != completes {
					t.Errorf("killed at write %d while waiting: complete was sent again", n)
				}
			})
			if done || t.Failed() {
				break
			}
		}
	}
	for name, c := range map[string]struct {
		fail  error
		after int
		want  error
	}{
		"never":  {after: 1000, want: upload.ErrUnfinished},
		"failed": {fail: fmt.Errorf("virus: %w", upload.ErrRefused), want: upload.ErrRefused},
		"busy":   {fail: trouble(503), want: upload.ErrUnfinished},
		"denied": {fail: fmt.Errorf("key: %w", upload.ErrDenied), want: upload.ErrDenied},
	} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 2500)
			p := &readying{cloud: r.cloud, how: required, after: c.after, fail: c.fail}
			r.provider = p
			_, err := r.run(t.Context())
			if !errors.Is(err, c.want) || r.journal.state("u1") != upload.Waiting || len(r.delivered) > 0 {
				t.Errorf("%s: %v in state %q", name, err, r.journal.state("u1"))
			}
			if name == "never" && (p.asked < 30 || p.asked > 31) {
				t.Errorf("asked %d times in a minute", p.asked)
			}
			if last := map[string]string{"never": ": busy transcoding", "busy": ": test:  answered with status 503"}[name]; last != "" && !strings.Contains(err.Error(), "was not ready within 1m0s"+last) {
				t.Errorf("%s: says %v", name, err)
			}
			p.fail, p.after = nil, 0
			r.ok()
			if r.cloud.completes != 1 {
				t.Errorf("%s: complete was sent %d times", name, r.cloud.completes)
			}
		})
	}
	// Where it is not required, only who asks for it waits.
	for _, wait := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 2500)
			c := &readying{cloud: r.cloud, how: &upload.Readiness{Every: time.Second, Timeout: time.Minute}, after: 2}
			r.provider = c
			u := r.uploader()
			u.Wait = wait
			if _, err := u.Upload(t.Context(), upload.File{Path: r.path}); err != nil || (c.asked == 3) != wait {
				t.Errorf("wait %t: asked %d times, %v", wait, c.asked, err)
			}
		})
	}
}

// wholes takes files in one request, which completes the upload.
type wholes struct {
	*cloud
	bodies  [][]byte
	answer  func(n int) error // after it is stored
	refuse  func(n int) error // before
	n       int
	journal *memory
	t       *testing.T
}

func (c *wholes) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, urls, err := c.cloud.Create(ctx, f, w)
	u.Whole, u.Parts = true, []upload.Part{{Number: 1, Size: f.Size}}
	return u, urls, err
}

func (c *wholes) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	if err := c.alive(ctx); err != nil {
		return upload.Receipt{}, err
	}
	if s := c.journal.state(u.ID); s != upload.Completing {
		c.t.Errorf("the file is sent in state %q", s)
	}
	c.n++
	if err := ask(c.refuse, c.n); err != nil {
		return upload.Receipt{}, err
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return upload.Receipt{}, err
	}
	c.bodies = append(c.bodies, b)
	if err := ask(c.answer, c.n); err != nil {
		return upload.Receipt{}, err
	}
	return upload.Receipt{Part: 1, Value: "r", ETag: plainETag(1, b), Result: &upload.Result{Value: "object-" + u.ID, Reply: json.RawMessage(`{}`)}}, nil
}

func newWholes(t *testing.T) (*rig, *wholes) {
	r := newRig(t, 900)
	c := &wholes{cloud: r.cloud, journal: r.journal, t: t}
	r.provider = c
	return r, c
}

// TestWhole: the request that carries a whole file is what complete is to
// others: durable before it, and never repeated in doubt.
func TestWhole(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r, c := newWholes(t)
		c.refuse = func(n int) error {
			if n == 1 {
				return trouble(429)
			}
			return nil
		}
		rep, err := r.run(t.Context())
		if err != nil || rep.Result.Value != "object-u1" || rep.Verification != upload.VerifiedETag || rep.PartsStored != 1 ||
			len(c.bodies) != 1 || !bytes.Equal(c.bodies[0], r.content) || rep.BytesSent != 900 {
			t.Errorf("%+v, %v, %d bodies", rep, err, len(c.bodies))
		}
		if r.journal.state("u1") != upload.Delivered {
			t.Errorf("in state %q", r.journal.state("u1"))
		}
	})
	bubble(t, func(t *testing.T) { // no answer
		r, c := newWholes(t)
		c.answer = func(int) error { return silence() }
		for range 2 {
			if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrDoubt) || r.journal.state("u1") != upload.Completing || len(c.bodies) != 1 {
				t.Errorf("%v in state %q, sent %d times", err, r.journal.state("u1"), len(c.bodies))
			}
		}
		c.answer, r.restart = nil, true
		if rep, err := r.run(t.Context()); err != nil || rep.Upload != "u2" || len(c.bodies) != 2 {
			t.Errorf("restarted: %+v, %v", rep, err)
		}
	})
	bubble(t, func(t *testing.T) { // a clear no
		r, c := newWholes(t)
		c.refuse = func(int) error { return fmt.Errorf("no: %w", upload.ErrRefused) }
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrRefused) || errors.Is(err, upload.ErrDoubt) || r.journal.state("u1") != upload.Sending {
			t.Errorf("%v in state %q", err, r.journal.state("u1"))
		}
		c.refuse = nil
		if _, err := r.run(t.Context()); err != nil || len(c.bodies) != 1 {
			t.Errorf("then: %v", err)
		}
	})
	bubble(t, func(t *testing.T) { // a change before it is sent
		r, c := newWholes(t)
		r.observe = func(e upload.Event) {
			if e, ok := e.(upload.Requesting); ok && e.Op == upload.OpPresign {
				r.write([]byte(strings.Repeat("x", 900)), 1)
			}
		}
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrChanged) || len(c.bodies) > 0 {
			t.Errorf("%v, sent %d times", err, len(c.bodies))
		}
	})
	for _, after := range []bool{false, true} { // killed at every write
		for n := 1; ; n++ {
			done := false
			bubble(t, func(t *testing.T) {
				r, c := newWholes(t)
				if done = !r.killed(n, after); done {
					return
				}
				sent, state := len(c.bodies), r.journal.state("u1")
				rep, err := r.run(t.Context())
				switch {
				case state == upload.Completing && !errors.Is(err, upload.ErrDoubt):
					t.Errorf("killed at write %d (after %t), sent %d times: %v", n, after, sent, err)
				case state != upload.Completing && (err != nil || state == upload.Sending && (sent > 0 || len(c.bodies) != 1)):
					t.Errorf("killed at write %d (after %t) in state %q: %+v, %v", n, after, state, rep, err)
				}
			})
			if done || t.Failed() {
				break
			}
		}
	}
}
