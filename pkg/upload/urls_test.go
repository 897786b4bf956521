package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// Presigned URLs are requested just in time: a window of twice the concurrency, each part
// once.
func TestURLsAreRequestedInWindows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 100_000)
		r.concurrency = 4
		r.cloud.takes = time.Second
		r.ok()
		asked := make(map[int]int)
		for _, call := range r.cloud.urls {
			if len(call) > 8 {
				t.Errorf("%d parts in one call", len(call))
			}
			for _, p := range call {
				asked[p]++
			}
		}
		if n := len(r.cloud.urls); n > 15 || len(asked) != 100 {
			t.Errorf("%d calls for %d parts: %v", n, len(asked), r.cloud.urls)
		}
		for p, n := range asked {
			if n != 1 {
				t.Errorf("part %d was asked for %d times", p, n)
			}
		}
	})
}

// All parts that wait are served by one request, however long it takes.
func TestOneRequestServesAllThatWait(t *testing.T) {
	for range 20 { // in any order
		bubble(t, func(t *testing.T) {
			r := newRig(t, 8000)
			r.concurrency = 8
			r.cloud.onPresign = func(int, []upload.Part) error {
				r.cloud.mu.Unlock()
				defer r.cloud.mu.Lock()
				pass(time.Second)
				return nil
			}
			r.ok()
			if len(r.cloud.urls) != 1 {
				t.Errorf("asked %v", r.cloud.urls)
			}
		})
	}
}

// So are parts that are all refused at the same moment: the first asks for
// itself, and the next for all others.
func TestOneRequestServesAllThatAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 8000)
		r.concurrency = 8
		r.provider = lateRefusals{r.cloud}
		r.cloud.onPresign = func(int, []upload.Part) error {
			r.cloud.mu.Unlock()
			defer r.cloud.mu.Lock()
			pass(time.Second)
			return nil
		}
		r.ok()
		if len(r.cloud.urls) > 3 {
			t.Errorf("asked %v", r.cloud.urls)
		}
	})
}

// lateRefusals refuses the first presigned of each part, after a while.
type lateRefusals struct{ *cloud }

func (l lateRefusals) Put(ctx context.Context, u upload.Upload, g upload.Presigned, p upload.Part, body io.Reader) (upload.Receipt, error) {
	if strings.HasSuffix(g.URL, fmt.Sprintf("/%d/%d", p.Number, p.Number)) {
		pass(time.Minute)
		return upload.Receipt{}, upload.ErrExpired
	}
	return l.cloud.Put(ctx, u, g, p, body)
}

// A part that has a presigned URL is sent while another waits for its own.
func TestPartWithAURLDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.concurrency = 2
		r.provider = allButThird{r.cloud}
		r.cloud.onPresign = func(int, []upload.Part) error {
			r.cloud.mu.Unlock()
			defer r.cloud.mu.Lock()
			pass(time.Minute)
			if n := len(r.cloud.counts("u1")); n != 9 {
				t.Errorf("%d parts were stored meanwhile, want 9", n)
			}
			return nil
		}
		r.ok()
		if len(r.cloud.urls) != 1 {
			t.Errorf("asked %v", r.cloud.urls)
		}
	})
}

// allButThird presigns all parts but the third at once.
type allButThird struct{ *cloud }

func (a allButThird) Create(ctx context.Context, f upload.File, w upload.Hint) (upload.Upload, []upload.Presigned, error) {
	a.cloud.signed = true
	u, gs, err := a.cloud.Create(ctx, f, w)
	return u, slices.Delete(gs, 2, 3), err
}

// Presigned URLs are renewed before they expire: no part is sent with an expired one.
func TestURLsAreRenewedEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 30_000)
		r.concurrency = 3
		r.cloud.life = 100 * time.Second
		r.cloud.takes = 95 * time.Second // ten seconds before the end is soon enough, five is not
		r.ok()
		for p, n := range r.cloud.uploads["u1"].tries {
			if n != 1 {
				t.Errorf("part %d was tried %d times", p, n)
			}
		}
		if len(r.cloud.urls) != 10 {
			t.Errorf("%d calls: %v", len(r.cloud.urls), r.cloud.urls)
		}
	})
}

// A presigned URL that the store calls expired is requested again, at once.
func TestRefusedURLIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		first := make(map[int]int)
		r.cloud.refuseURL = func(p upload.Part, serial int) bool {
			if first[p.Number] == 0 {
				first[p.Number] = serial
			}
			return first[p.Number] == serial
		}
		start := time.Now()
		r.ok()
		r.once("u1")
		for p, n := range r.cloud.uploads["u1"].tries {
			if n != 2 {
				t.Errorf("part %d was tried %d times", p, n)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it waited %s", d)
		}
	})
}

// expiredAndTemporary is what a provider may say of an expired presigned URL.
type expiredAndTemporary struct{}

func (expiredAndTemporary) Error() string             { return "expired" }
func (expiredAndTemporary) Unwrap() error             { return upload.ErrExpired }
func (expiredAndTemporary) Temporary() bool           { return true }
func (expiredAndTemporary) RetryAfter() time.Duration { return 0 }

// A URL that is refused as soon as it is issued is not requested forever, and
// the stored parts are kept: a clock may be wrong.
func TestNewURLsThatAreRefused(t *testing.T) {
	for name, refusal := range map[string]error{"plain": fmt.Errorf("x: %w", upload.ErrExpired), "temporary": expiredAndTemporary{}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.concurrency = 1
				r.cloud.onPut = func(_ int, p upload.Part) error {
					if p.Number == 4 {
						return refusal
					}
					return nil
				}
				start := time.Now()
				rep, err := r.run(t.Context())
				if !errors.Is(err, upload.ErrUnfinished) || !errors.Is(err, upload.ErrExpired) {
					t.Errorf("error %v", err)
				}
				if n := r.cloud.uploads["u1"].tries[4]; n != 4 || len(r.cloud.urls) > 8 || time.Since(start) != 0 {
					t.Errorf("%d tries, %d calls, in %s", n, len(r.cloud.urls), time.Since(start))
				}
				if rep.PartsStored != 3 || r.cloud.creates != 1 || len(r.cloud.aborted) != 0 {
					t.Errorf("%+v, %d uploads", rep, r.cloud.creates)
				}
				r.cloud.onPut = nil
				r.ok()
				r.once("u1")
			})
		})
	}
}

// By our clock every presigned is over when it comes; by the store's it is not.
// Then the store's counts, and nothing is asked for twice.
func TestSkewedClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 20_000)
		r.provider = past{r.cloud}
		r.ok()
		r.once("u1")
		if n := len(r.cloud.urls); n > 6 {
			t.Errorf("%d calls: %v", n, r.cloud.urls)
		}
	})
}

// past says that its urls ended an hour ago.
type past struct{ *cloud }

func (p past) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	gs, err := p.cloud.Presign(ctx, u, parts)
	for i := range gs {
		gs[i].Expires = time.Now().Add(-time.Hour)
	}
	return gs, err
}

func TestURLsIssuedOnceAreKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.renewable = false
		r.cloud.life = time.Hour
		r.half(5)
		if n := len(r.journal.of("u1").Presigned); n != 10 {
			t.Errorf("%d urls in the journal", n)
		}
		r.ok()
		r.once("u1")
		if len(r.cloud.urls) != 0 || r.cloud.creates != 1 {
			t.Errorf("requested URLs: %v; %d uploads", r.cloud.urls, r.cloud.creates)
		}
		if rec := r.journal.of("u1"); len(rec.Presigned) != 0 {
			t.Errorf("%d urls are left in the journal", len(rec.Presigned))
		}
	})
}

// What is issued again is not written down: it is a bearer token.
func TestURLsThatCanBeRenewedAreNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.signed = true
		r.half(5)
		if n := len(r.journal.of("u1").Presigned); n != 0 {
			t.Errorf("%d urls in the journal", n)
		}
	})
}

// If no presigned URL can be had, a new upload is created, once.
func TestURLsIssuedOnceExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.renewable = false
		r.cloud.life = time.Hour
		r.half(5)
		pass(2 * time.Hour)
		rep := r.ok()
		if rep.Upload != "u2" || rep.PartsReused != 0 || !slices.Equal(r.cloud.aborted, []string{"u1"}) {
			t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
		}
	})
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.renewable = false
		r.cloud.life = 10 * time.Second
		r.cloud.takes = 9 * time.Second // the second part of each sender starts, the third does not
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrTooSlow) || errors.Is(err, upload.ErrUnfinished) || r.cloud.creates != 1 || len(r.cloud.aborted) != 1 {
			t.Errorf("error %v, %d uploads, aborted %v", err, r.cloud.creates, r.cloud.aborted)
		}
	})
}

// The clock of the store says when a presigned URL that cannot be renewed expires.
func TestURLsIssuedOnceAreTriedToTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.renewable = false
		r.half(5)
		for _, rec := range r.journal.records {
			for i := range rec.Presigned {
				rec.Presigned[i].Expires = time.Now().Add(-time.Hour)
			}
		}
		r.ok()
		r.once("u1")
	})
}

func TestCancelledWhileWaitingForURLs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.provider = silentURLs{r.cloud}
		why := errors.New("ctrl-c")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			synctest.Wait() // all wait now: one for the answer, the others for it
			cancel(why)
		}()
		start := time.Now()
		rep, err := r.run(ctx)
		if !errors.Is(err, why) || rep.PartsStored != 0 || time.Since(start) != 0 {
			t.Errorf("%+v, %v, after %s", rep, err, time.Since(start))
		}
	})
}

// silentURLs answers only when its caller has gone.
type silentURLs struct{ *cloud }

func (s silentURLs) Presign(ctx context.Context, _ upload.Upload, _ []upload.Part) ([]upload.Presigned, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// One layer of retries: presign is tried as often as any other request,
// not as often as that for each try of a part.
func TestPresignFails(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		calls int
		want  error
	}{
		"passing":  {trouble(503), 6, upload.ErrUnfinished},
		"for good": {upload.ErrRefused, 1, upload.ErrRefused},
		"denied":   {upload.ErrDenied, 1, upload.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.cloud.onPresign = func(int, []upload.Part) error { return test.err }
				_, err := r.run(t.Context())
				if !errors.Is(err, test.want) || len(r.cloud.urls) != test.calls {
					t.Errorf("error %v after %d calls", err, len(r.cloud.urls))
				}
				r.cloud.onPresign = nil
				r.ok()
				if r.cloud.creates != 1 {
					t.Errorf("%d uploads", r.cloud.creates)
				}
			})
		})
	}
	t.Run("a while", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.cloud.onPresign = func(n int, _ []upload.Part) error {
				if n < 4 {
					return trouble(503)
				}
				return nil
			}
			r.ok()
			if n := len(told[upload.Retrying](r)); n != 3 {
				t.Errorf("told of %d retries", n)
			}
		})
	})
	t.Run("gone", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := newRig(t, 10_000)
			r.cloud.onPresign = func(n int, _ []upload.Part) error {
				if n == 1 {
					return fmt.Errorf("no such upload: %w", upload.ErrGone)
				}
				return nil
			}
			if rep := r.ok(); rep.Upload != "u2" || len(r.cloud.aborted) != 0 {
				t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
			}
		})
	})
}

// A provider may presigned fewer parts than it was asked for, in any order.
func TestPartialPresign(t *testing.T) {
	for name, test := range map[string]struct {
		keep func(gs []upload.Presigned) []upload.Presigned
		want error
	}{
		"reversed":        {func(gs []upload.Presigned) []upload.Presigned { slices.Reverse(gs); return gs }, nil},
		"the first alone": {func(gs []upload.Presigned) []upload.Presigned { return gs[:1] }, nil},
		"the last alone":  {func(gs []upload.Presigned) []upload.Presigned { return gs[len(gs)-1:] }, nil},
		"others":          {func(gs []upload.Presigned) []upload.Presigned { gs[0].Part = 99; return gs[:1] }, upload.ErrReply},
		"none":            {func(gs []upload.Presigned) []upload.Presigned { return nil }, upload.ErrReply},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				r.provider = partial{r.cloud, test.keep}
				rep, err := r.run(t.Context())
				if !errors.Is(err, test.want) {
					t.Fatalf("error %v, want %v", err, test.want)
				}
				if err == nil {
					r.check(rep)
					r.once("u1")
				} else if len(r.cloud.urls) > 6 {
					t.Errorf("%d calls", len(r.cloud.urls))
				}
			})
		})
	}
}

type partial struct {
	*cloud
	keep func([]upload.Presigned) []upload.Presigned
}

func (p partial) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	gs, err := p.cloud.Presign(ctx, u, parts)
	return p.keep(gs), err
}

// Presigned that came with one that has ended are not tried one after the other.
func TestABatchThatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 64_000)
		r.cloud.signed, r.concurrency = true, 8
		tries := 0
		r.cloud.takes = time.Second
		r.cloud.refuseURL = func(_ upload.Part, serial int) bool {
			if serial <= 64 { // those of create
				tries++
				return true
			}
			return false
		}
		r.ok()
		if tries > 8 || len(r.cloud.urls) > 64/8+2 {
			t.Errorf("%d dead urls were tried, and %d requests made for new ones", tries, len(r.cloud.urls))
		}
	})
}

// An answer without a receipt is no matter of time.
func TestNoReceiptEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 10_000)
		r.cloud.onPut = func(int, upload.Part) error { return noReceipt{} }
		_, err := r.run(t.Context())
		if !errors.Is(err, upload.ErrReply) || errors.Is(err, upload.ErrUnfinished) {
			t.Errorf("error %v", err)
		}
	})
}

// noReceipt is what a provider says of an answer without one.
type noReceipt struct{ expiredAndTemporary }

func (noReceipt) Unwrap() error { return upload.ErrReply }

// TestURLsOneByOne: where each URL has a request of its own, the first part does not
// wait for more of them than parts are sent, and later ones are requested while
// parts are sent.
func TestURLsOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 40_000)
		r.partSize, r.concurrency = 1000, 0
		r.cloud.signed, r.cloud.takes, r.cloud.limits.URLsAtOnce = false, time.Second, 1
		r.cloud.onPresign = func(int, []upload.Part) error {
			r.cloud.mu.Unlock()
			defer r.cloud.mu.Lock()
			pass(time.Second)
			return nil
		}
		start := time.Now()
		r.ok()
		if first := len(r.cloud.urls[0]); first > 4 {
			t.Errorf("the first parts waited for %d URLs", first)
		}
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("requests for URLs hold parts up: it took %s", took)
		}
	})
}
