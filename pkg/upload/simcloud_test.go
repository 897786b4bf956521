package upload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// networkFaults are what goes wrong between a process and its provider.
var networkFaults = []string{
	"reset", "lost reply", "not reached", "stall", "503", "503 with Retry-After", "500", "429", "409", "denied", "nonsense",
	"part is damaged", "URL is refused as expired", "upload is gone", "URL left out",
}

// otherFaults are those that are not of one request.
var otherFaults = []string{"signal", "kills", "clock jumps", "stdout is broken", "time passes"}

// simCloud is a cloud behind a network.
type simCloud struct{ *simulation }

// simProbe, simCheckpoint and simSteps are what not every provider can.
type (
	simProbe      struct{ s *simulation }
	simCheckpoint struct{ s *simulation }
	simSteps      struct{ s *simulation }
)

// newProvider is the simulated one, of the kind that was drawn.
func (s *simulation) newProvider() upload.Provider {
	c, p, k, e := simCloud{s}, simProbe{s}, simCheckpoint{s}, simSteps{s}
	switch {
	case s.kind.probes && s.kind.checkpoints && s.kind.steps:
		return struct {
			simCloud
			simProbe
			simCheckpoint
			simSteps
		}{c, p, k, e}
	case s.kind.probes && s.kind.checkpoints:
		return struct {
			simCloud
			simProbe
			simCheckpoint
		}{c, p, k}
	case s.kind.probes && s.kind.steps:
		return struct {
			simCloud
			simProbe
			simSteps
		}{c, p, e}
	case s.kind.checkpoints && s.kind.steps:
		return struct {
			simCloud
			simCheckpoint
			simSteps
		}{c, k, e}
	case s.kind.probes:
		return struct {
			simCloud
			simProbe
		}{c, p}
	case s.kind.checkpoints:
		return struct {
			simCloud
			simCheckpoint
		}{c, k}
	case s.kind.steps:
		return struct {
			simCloud
			simSteps
		}{c, e}
	}
	return c
}

// exchange is one request: it takes its time, and may go wrong. do is what the
// provider does; act says whether it does it when its caller has gone.
func (s *simulation) exchange(ctx context.Context, what string, part int, do func(d *rand.Rand) error) error {
	l := s.life
	if l.killed.Load() {
		return errKilled
	}
	if ctx.Err() != nil {
		return &transport.Error{Op: what, Err: context.Cause(ctx), Unsent: true}
	}
	s.mu.Lock()
	call := fmt.Sprint(what, " ", part)
	s.calls[call]++
	n := s.calls[call]
	s.mu.Unlock()
	d := s.draw(call, l.n, n)
	s.event(l)
	if l.killed.Load() {
		return errKilled
	}
	fault := ""
	if !s.calm && d.IntN(1000) < s.kind.errorRate {
		fault = networkFaults[d.IntN(11)]
	}
	slow := time.Duration(1+d.IntN(300)) * time.Millisecond
	if d.IntN(20) == 0 {
		slow = time.Duration(d.IntN(15_000)) * time.Millisecond
	}
	if fault != "" {
		s.count(fault)
		s.say("%s: %s", call, fault)
	} else {
		s.say("%s", call)
	}
	if fault == "not reached" {
		return unreachable()
	}
	if !sleep(ctx, slow) {
		if d.IntN(2) == 0 { // it was on its way
			s.say("%s: acted on, and its caller has gone", call)
			_ = do(d)
		}
		return &transport.Error{Op: what, Err: context.Cause(ctx)}
	}
	switch fault {
	case "reset":
		return silence()
	case "stall":
		sleep(ctx, 30*time.Second)
		return &transport.Error{Op: what, Err: transport.ErrStalled, Retry: true}
	case "503":
		return answered(503)
	case "503 with Retry-After":
		return answered(503, "Retry-After", fmt.Sprint(1+d.IntN(30)))
	case "500":
		return answered(500)
	case "429":
		return answered(429, "Retry-After", "2")
	case "409":
		return answered(409, "Retry-After", "1")
	case "denied":
		return fmt.Errorf("the key: %w", upload.ErrDenied)
	}
	err := do(d)
	if sleep(ctx, time.Duration(d.IntN(200))*time.Millisecond); ctx.Err() != nil {
		return &transport.Error{Op: what, Err: context.Cause(ctx)}
	}
	s.event(l)
	switch {
	case l.killed.Load():
		return errKilled
	case err == nil && fault == "lost reply":
		return silence()
	case err == nil && fault == "nonsense":
		return fmt.Errorf("no JSON: %w", upload.ErrReply)
	}
	if err != nil {
		s.say("%s: %v", call, err)
	}
	return err
}

// event counts what happens on the network, and kills the process where that is
// drawn.
func (s *simulation) event(l *life) {
	s.mu.Lock()
	l.events++
	now := l.events == l.killAt
	s.mu.Unlock()
	if now {
		s.disk.Lock()
		defer s.disk.Unlock()
		s.kill("at a request")
	}
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// free is a context for what the cloud does.
func free(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// jump sets one of the clocks.
func (s *simulation) jump(d *rand.Rand) {
	s.count("clock jumps")
	s.mu.Lock()
	s.skew += time.Duration(d.IntN(14400)-7200) * time.Second
	skew := s.skew
	s.mu.Unlock()
	s.say("the provider's clock is %s ahead", skew)
}

// Skew is what a Clock has.
func (c simCloud) Skew() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return -c.skew, c.skew != 0
}

func (c simCloud) Limits() upload.Limits { return c.cloud.Limits() }

// told is a moment of the provider's as its clock has it.
func (s *simulation) told(at time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.IsZero() {
		return at
	}
	return at.Add(s.skew)
}

func (s *simulation) toldURLs(urls []upload.Presigned) []upload.Presigned {
	for i := range urls {
		urls[i].Expires = s.told(urls[i].Expires)
	}
	return urls
}

func (c simCloud) Create(ctx context.Context, f upload.File, h upload.Hint) (up upload.Upload, urls []upload.Presigned, err error) {
	err = c.exchange(ctx, "create", 0, func(*rand.Rand) (err error) {
		to := c.cloud
		to.mu.Lock()
		to.life, to.expires = c.kind.urlLife, time.Time{}
		if c.kind.uploadLife > 0 {
			to.expires = time.Now().Add(c.kind.uploadLife)
		}
		if c.calm {
			to.life, to.expires = 0, time.Time{}
		}
		to.mu.Unlock()
		up, urls, err = to.Create(free(ctx), f, h)
		up.Expires, urls = c.told(up.Expires), c.toldURLs(urls)
		if up.Whole = c.kind.whole; c.kind.steps {
			up.Data = json.RawMessage(`{"step":0}`)
		}
		return err
	})
	if err != nil {
		return upload.Upload{}, nil, err
	}
	return up, urls, nil
}

func (c simCloud) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) (urls []upload.Presigned, err error) {
	err = c.exchange(ctx, "presign", parts[0].Number, func(d *rand.Rand) (err error) {
		to := c.cloud
		urls, err = to.Presign(free(ctx), u, parts)
		urls = c.toldURLs(urls)
		if len(urls) > 1 && !c.calm && d.IntN(1000) < c.kind.errorRate/4 {
			c.count("URL left out")
			urls = urls[1:]
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return urls, nil
}

func (c simCloud) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (r upload.Receipt, err error) {
	l := c.life
	if !l.killed.Load() {
		c.count("parts sent")
		if r, ok := c.journal.stored(u.ID, p.Number); ok {
			c.wrong("part %d of %s is sent, and its receipt %q is durable", p.Number, u.ID, r.Value)
		}
		want := upload.Sending
		if u.Whole {
			want = upload.Completing
		}
		if is := c.journal.state(u.ID); is != want {
			c.wrong("part %d of %s is sent in state %q", p.Number, u.ID, is)
		}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return upload.Receipt{}, err
	}
	err = c.exchange(ctx, "put", p.Number, func(d *rand.Rand) (err error) {
		bad := func(of int) bool { return !c.calm && d.IntN(1000*of) < c.kind.errorRate }
		if bad(4) && !u.Whole {
			c.count("URL is refused as expired")
			return fmt.Errorf("too old: %w", upload.ErrExpired)
		}
		if bad(40) && c.lose(u.ID) {
			c.count("upload is gone")
		}
		// The first part stays whole: one ETag at least is an MD5.
		if c.kind.damages && len(data) > 0 && bad(4) && (c.cloud.digest != "" || p.Number != u.Parts[0].Number) {
			c.count("part is damaged")
			c.say("put %d: damaged", p.Number)
			data[len(data)/2] ^= 1
		}
		to := c.cloud
		r, err = to.Put(free(ctx), u, g, p, strings.NewReader(string(data)))
		if err != nil || !u.Whole {
			if c.kind.confirms && p.Number%2 == 0 {
				r.Unconfirmed = json.RawMessage(`{"part":true}`)
			}
			return err
		}
		result, err := c.end(ctx, u, []upload.Receipt{r}, upload.Digests{})
		r.Result = &result
		return err
	})
	return r, err
}

// lose makes the provider forget an upload that was not completed.
func (s *simulation) lose(id string) bool {
	s.cloud.mu.Lock()
	defer s.cloud.mu.Unlock()
	up := s.cloud.uploads[id]
	if up == nil || up.done || up.gone {
		return false
	}
	up.gone = true
	return true
}

// end completes an upload at the cloud.
func (s *simulation) end(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (result upload.Result, err error) {
	s.cloud.mu.Lock()
	before := len(s.cloud.objects)
	s.cloud.mu.Unlock()
	result, err = s.cloud.Complete(free(ctx), u, rs, d)
	s.cloud.mu.Lock()
	made := s.cloud.objects[before:]
	s.cloud.mu.Unlock()
	for _, object := range made {
		s.object(u.ID, object)
	}
	if err != nil && strings.Contains(err.Error(), "of the whole is another") {
		return result, fmt.Errorf("the digest is another: %w", upload.ErrChecksum)
	}
	return result, err
}

func (c simCloud) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (result upload.Result, err error) {
	c.completing(u.ID)
	err = c.exchange(ctx, "complete", 0, func(*rand.Rand) (err error) {
		for _, r := range rs {
			if r.Unconfirmed != nil || c.kind.confirms && r.Part%2 == 0 && !c.isConfirmed(u.ID, r.Part) {
				c.wrong("part %d of %s was not confirmed", r.Part, u.ID)
			}
		}
		result, err = c.end(ctx, u, rs, d)
		return err
	})
	return result, err
}

func (s *simulation) completing(id string) {
	if is := s.journal.state(id); is != upload.Completing && !s.life.killed.Load() {
		s.wrong("complete of %s is sent in state %q", id, is)
	}
}

func (e simSteps) CompleteStep(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (json.RawMessage, upload.Result, error) {
	var kept struct{ Step int }
	if err := json.Unmarshal(u.Data, &kept); err != nil {
		return nil, upload.Result{}, err
	}
	if kept.Step == 0 {
		e.s.completing(u.ID)
		return json.RawMessage(`{"step":1}`), upload.Result{}, e.s.exchange(ctx, "complete step", 0, func(*rand.Rand) error { return nil })
	}
	r, err := simCloud{e.s}.Complete(ctx, u, rs, d)
	return nil, r, err
}

func (c simCloud) Confirm(ctx context.Context, u upload.Upload, p upload.Part, r upload.Receipt) (upload.Receipt, error) {
	err := c.exchange(ctx, "confirm", p.Number, func(*rand.Rand) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.renewed[fmt.Sprint(u.ID, " ", p.Number)] = true
		return nil
	})
	r.Unconfirmed = nil
	return r, err
}

func (s *simulation) isConfirmed(id string, part int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed[fmt.Sprint(id, " ", part)]
}

func (c simCloud) Readiness(upload.Upload) *upload.Readiness {
	if !c.kind.readies {
		return nil
	}
	return &upload.Readiness{Every: 10 * time.Second, Timeout: 5 * time.Minute, Required: c.kind.asked > 0}
}

func (c simCloud) Ready(ctx context.Context, _ upload.Upload, r upload.Result) (done bool, _ upload.Result, err error) {
	err = c.exchange(ctx, "ready", 0, func(*rand.Rand) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kind.asked--
		done = c.kind.asked <= 0
		return nil
	})
	return done && err == nil, r, err
}

func (p simProbe) Probe(ctx context.Context, u upload.Upload) (answer upload.Answer, r upload.Result, err error) {
	err = p.s.exchange(ctx, "probe", 0, func(*rand.Rand) (err error) {
		to := p.s.cloud
		answer, r, err = askable{to}.Probe(free(ctx), u)
		return err
	})
	if err != nil {
		return upload.Unknown, upload.Result{}, err
	}
	return answer, r, nil
}

func (k simCheckpoint) Checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) error {
	return k.s.exchange(ctx, "checkpoint", rs[0].Part, func(*rand.Rand) (err error) {
		to := k.s.cloud
		err = checkpointing{to}.Checkpoint(free(ctx), u, rs)
		return err
	})
}

func (c simCloud) Abort(ctx context.Context, u upload.Upload) error {
	return c.exchange(ctx, "abort", 0, func(*rand.Rand) (err error) {
		c.mu.Lock()
		done := c.complete[u.ID]
		c.mu.Unlock()
		if done {
			return fmt.Errorf("too late: %w", upload.ErrCompleted)
		}
		to := c.cloud
		err = to.Abort(free(ctx), u)
		return err
	})
}
