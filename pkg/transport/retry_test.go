package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiput/multiput/pkg/transport"
)

var policy = transport.Policy{Retries: 8, Base: time.Second, Cap: 10 * time.Second, MaxAfter: time.Minute}

// passing is an error that passes, with the server's wish.
type passing struct{ after time.Duration }

func (passing) Error() string               { return "come later" }
func (passing) Temporary() bool             { return true }
func (p passing) RetryAfter() time.Duration { return p.after }

// waits runs an operation that always fails and gives what was waited.
func waits(t *testing.T, p transport.Policy, err error) (waits []time.Duration) {
	t.Helper()
	tries, told := 0, []time.Duration{}
	var last time.Time
	got := transport.Retry(t.Context(), p, func(e error, wait time.Duration) {
		if !errors.Is(e, err) {
			t.Errorf("told of %v", e)
		}
		told = append(told, wait)
	}, func(context.Context) error {
		if tries++; tries > 1 {
			waits = append(waits, time.Since(last))
		}
		last = time.Now()
		return err
	})
	if !errors.Is(got, err) || tries != p.Retries+1 {
		t.Errorf("%d tries, error %v", tries, got)
	}
	for i := range waits {
		if waits[i] != told[i] {
			t.Errorf("waited %s and told %s", waits[i], told[i])
		}
	}
	return waits
}

func TestRetryHasFullJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bounds := []time.Duration{1, 2, 4, 8, 10, 10, 10, 10}
		most := make([]time.Duration, len(bounds))
		least := make([]time.Duration, len(bounds))
		const rounds = 300
		for range rounds {
			for i, w := range waits(t, policy, passing{}) {
				if w >= bounds[i]*time.Second {
					t.Fatalf("wait %d is %s", i+1, w)
				}
				most[i] = max(most[i], w)
				if least[i] == 0 || w < least[i] {
					least[i] = w
				}
			}
		}
		for i, b := range bounds {
			// The chance that none of 300 draws is in the lowest or highest
			// fifth is below 1e-28.
			if b *= time.Second; least[i] > b/5 || most[i] < b*4/5 {
				t.Errorf("wait %d was between %s and %s, want anything up to %s", i+1, least[i], most[i], b)
			}
		}
	})
}

// What the server asked for is waited at least, and no longer than we let it
// ask, with jitter on top.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after, want := range map[time.Duration]time.Duration{
			time.Millisecond: time.Millisecond,
			20 * time.Second: 20 * time.Second,
			time.Hour:        policy.MaxAfter,
			-time.Hour:       0,
		} {
			for i, w := range waits(t, policy, passing{after}) {
				if bound := min(time.Second<<i, policy.Cap); w < want || w >= want+bound {
					t.Errorf("Retry-After %s: wait %d is %s", after, i+1, w)
				}
			}
		}
	})
}

func TestRetryPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			policy transport.Policy
			most   time.Duration // of any wait
		}{
			{transport.Policy{Retries: 3}, 4 * time.Second}, // the waits of the default
			{transport.Policy{Retries: 50, Base: time.Second}, time.Second},
			{transport.Policy{Retries: 3, Base: time.Hour, Cap: time.Second}, time.Second},
			{transport.Policy{Retries: 3, MaxAfter: time.Second}, 0},
		} {
			for _, w := range waits(t, test.policy, passing{}) {
				if w > test.most {
					t.Errorf("%+v: waited %s", test.policy, w)
				}
			}
		}
	})
}

// The zero value is the default: what keeps failing is retried for a quarter of
// an hour, whether it is answered or not. Below zero, nothing is retried.
func TestRetryDefaults(t *testing.T) {
	for name, err := range map[string]error{"answered": passing{}, "unreached": unreached()} {
		synctest.Test(t, func(t *testing.T) {
			start, tries := time.Now(), 0
			got := transport.Retry(t.Context(), transport.Policy{}, nil, func(context.Context) error { tries++; return err })
			if took := time.Since(start); !errors.Is(got, err) || tries < 30 || took < 15*time.Minute || took > 16*time.Minute {
				t.Errorf("%s: %d tries in %s: %v", name, tries, took, got)
			}
		})
	}
	tries := 0
	if err := transport.Retry(t.Context(), transport.Policy{Retries: -1}, nil, func(context.Context) error { tries++; return unreached() }); err == nil || tries != 1 {
		t.Errorf("%d tries: %v", tries, err)
	}
}

// Trouble that others were in before counts.
func TestRetryIsPartOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := transport.Policy{Since: start.Add(-10 * time.Minute)}
		if err := transport.Retry(t.Context(), p, nil, func(context.Context) error { return unreached() }); err == nil {
			t.Error("no error")
		}
		if took := time.Since(start); took < 5*time.Minute || took > 6*time.Minute {
			t.Errorf("retried for %s", took)
		}
	})
}

func TestRetryStopsAtOnce(t *testing.T) {
	boom := errors.New("boom")
	for name, err := range map[string]error{"success": nil, "for good": boom, "wrapped": fmt.Errorf("x: %w", boom), "not temporary": &transport.Error{Err: boom}} {
		tries := 0
		got := transport.Retry(t.Context(), policy, nil, func(context.Context) error { tries++; return err })
		if tries != 1 || !errors.Is(got, err) {
			t.Errorf("%s: %d tries, %v", name, tries, got)
		}
	}
}

// few is an error for which three tries are enough.
type few struct{ passing }

func (few) MostTries() int { return 3 }

// TestRetryOfLimitedErrors holds that an error may be worth fewer tries than the
// policy has, and that other failures do not count against it.
func TestRetryOfLimitedErrors(t *testing.T) {
	for _, p := range []transport.Policy{{}, {Retries: 20}, {RetryFor: time.Hour}, {Retries: 1}} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			err := transport.Retry(t.Context(), p, nil, func(context.Context) error {
				if tries++; tries%2 == 1 && p.Retries != 1 {
					return passing{}
				}
				return few{}
			})
			want := 6
			if p.Retries == 1 {
				want = 2
			}
			if !errors.Is(err, few{}) || tries != want {
				t.Errorf("%+v: %d tries, want %d: %v", p, tries, want, err)
			}
		})
	}
}

func TestRetrySucceedsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		err := transport.Retry(t.Context(), policy, nil, func(context.Context) error {
			if tries++; tries < 4 {
				return fmt.Errorf("wrapped: %w", passing{})
			}
			return nil
		})
		if err != nil || tries != 4 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		tries, start := 0, time.Now()
		err := transport.Retry(ctx, policy, func(error, time.Duration) { cancel() }, func(context.Context) error {
			tries++
			return passing{after: time.Minute}
		})
		if tries != 1 || !errors.As(err, new(passing)) || time.Since(start) != 0 {
			t.Errorf("cancelled in the wait: %d tries, %v, after %s", tries, err, time.Since(start))
		}
		why := errors.New("the reason")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(why)
		err = transport.Retry(ctx, policy, nil, func(context.Context) error { tries++; return nil })
		if tries != 1 || !errors.Is(err, why) {
			t.Errorf("cancelled before: %d tries, %v", tries, err)
		}
	})
}

func TestWhatIsTriedAgain(t *testing.T) {
	tests := []struct {
		status int
		header map[string]string
		retry  bool
		after  time.Duration
	}{
		{status: 400}, {status: 401}, {status: 403}, {status: 404}, {status: 409}, {status: 411}, {status: 413},
		{status: 501}, {status: 505},
		{status: 408, retry: true}, {status: 429, retry: true}, {status: 500, retry: true}, {status: 502, retry: true}, {status: 503, retry: true}, {status: 504, retry: true}, {status: 529, retry: true},
		{status: 409, header: map[string]string{"X-Should-Retry": "true"}, retry: true},
		{status: 409, header: map[string]string{"Retry-After": "3"}, retry: true, after: 3 * time.Second},
		{status: 409, header: map[string]string{"Retry-After": "0"}, retry: true},
		{status: 409, header: map[string]string{"Retry-After-Ms": "40"}, retry: true, after: 40 * time.Millisecond},
		{status: 409, header: map[string]string{"Retry-After": "3", "X-Should-Retry": "false"}, after: 3 * time.Second},
		{status: 412, header: map[string]string{"Retry-After": "3"}, after: 3 * time.Second},
		{status: 425, retry: true},
		{status: 503, header: map[string]string{"X-Should-Retry": "false"}},
		{status: 503, header: map[string]string{"X-Should-Retry": "maybe"}, retry: true},
		{status: 503, header: map[string]string{"Retry-After": "7"}, retry: true, after: 7 * time.Second},
		{status: 503, header: map[string]string{"Retry-After": " 1.5 "}, retry: true, after: 1500 * time.Millisecond},
		{status: 503, header: map[string]string{"Retry-After": "-7"}, retry: true},
		{status: 503, header: map[string]string{"Retry-After": "1e300"}, retry: true, after: 24 * time.Hour},
		{status: 503, header: map[string]string{"Retry-After": "NaN"}, retry: true},
		{status: 503, header: map[string]string{"Retry-After": "soon"}, retry: true},
		{status: 503, header: map[string]string{"Retry-After-Ms": "250", "Retry-After": "7"}, retry: true, after: 250 * time.Millisecond},
		{status: 503, header: map[string]string{"Retry-After-Ms": "x", "Retry-After": "7"}, retry: true, after: 7 * time.Second},
		// A date is the server's, and so is the clock it is read by.
		{status: 503, header: map[string]string{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:00 GMT"}, retry: true, after: 37 * time.Second},
		{status: 503, header: map[string]string{"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, retry: true},
	}
	c := &transport.Client{}
	for _, test := range tests {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for k, v := range test.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(test.status)
		})
		reply, err := c.Do(t.Context(), put(url, strings.NewReader("x"), 1))
		if err != nil {
			t.Fatal(err)
		}
		e := reply.Error("", "", "")
		if e.Status != test.status || e.Temporary() != test.retry || e.RetryAfter() != test.after {
			t.Errorf("%d %v: temporary %t, after %s; want %t, %s", test.status, test.header, e.Temporary(), e.RetryAfter(), test.retry, test.after)
		}
	}
}

func TestErrorText(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Request-Id", "R1")
		w.WriteHeader(http.StatusConflict)
	})
	reply, err := (&transport.Client{}).Do(t.Context(), transport.Request{Op: "S3: complete the upload", Method: "POST", URL: url + "/o"})
	if err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]error{
		"S3: complete the upload: no such part (status 409, code InvalidPart, request id R1)":                  reply.Error("InvalidPart", "no such\npart", ""),
		"S3: complete the upload: InvalidPart: no such part (status 409, request id R2)":                       reply.Error("InvalidPart", "InvalidPart: no such part", "R2"),
		"S3: complete the upload: " + url + "/o answered with status 409 Conflict (no message, request id R1)": reply.Error("", "", ""),
		"op: https://h/: no answer": &transport.Error{Op: "op", URL: "https://h/"},
	} {
		if e.Error() != want {
			t.Errorf("%s\nwant %s", e, want)
		}
	}
}

// unreached is an exchange that reached no server.
func unreached() error {
	return &transport.Error{Op: "x", Err: errors.New("no route to host"), Retry: true, Unsent: true}
}

// While no server can be reached, attempts do not count; when the limit is at its
// end, so is the operation.
func TestRetryIsPatientWithoutANetwork(t *testing.T) {
	p := policy
	p.Retries, p.RetryFor = 2, 10*time.Minute
	synctest.Test(t, func(t *testing.T) {
		start, tries := time.Now(), 0
		err := transport.Retry(t.Context(), p, nil, func(context.Context) error {
			if tries++; time.Since(start) < 9*time.Minute {
				return unreached()
			}
			return nil
		})
		if err != nil || tries < 10 {
			t.Errorf("%d tries: %v", tries, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := transport.Retry(t.Context(), p, nil, func(context.Context) error { return unreached() })
		if took := time.Since(start); !transport.Unreached(err) || took != p.RetryFor {
			t.Errorf("after %s: %v", took, err)
		}
	})
	// What is answered counts, whatever came between.
	synctest.Test(t, func(t *testing.T) {
		tries, answers := 0, 0
		err := transport.Retry(t.Context(), p, nil, func(context.Context) error {
			if tries++; tries%3 > 0 {
				return unreached()
			}
			answers++
			return passing{}
		})
		if answers != p.Retries+1 || !errors.As(err, new(passing)) {
			t.Errorf("%d answers: %v", answers, err)
		}
	})
}

// Operations that share a budget end when it is spent, and what succeeds earns
// some of it back.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := policy
		p.Budget = &transport.Budget{Most: 10}
		tries := 0
		fail := func(context.Context) error { tries++; return passing{} }
		for range 4 {
			if err := transport.Retry(t.Context(), p, nil, fail); !errors.As(err, new(passing)) {
				t.Fatal(err)
			}
		}
		// 1+8, 1+2, and then only the first of each.
		if tries != 14 {
			t.Errorf("%d tries", tries)
		}
		for range 2 {
			if err := transport.Retry(t.Context(), p, nil, func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		tries = 0
		if err := transport.Retry(t.Context(), p, nil, fail); !errors.As(err, new(passing)) || tries != 7 {
			t.Errorf("%d tries after two successes: %v", tries, err)
		}
	})
}

// TestRetryOfWhatWasNeverReached: an outage is waited out only once the server
// answered.
func TestRetryOfWhatWasNeverReached(t *testing.T) {
	unreached := &transport.Error{Op: "x", Err: errors.New("no route to host"), Retry: true, Unsent: true}
	for _, c := range []struct {
		policy   transport.Policy
		answered int // of the tries, the one with an answer
		tries    int
	}{
		{transport.Policy{Fresh: true}, 0, 11},
		{transport.Policy{Fresh: true, Retries: 3, RetryFor: time.Hour}, 0, 4},
		{transport.Policy{Fresh: true, RetryFor: time.Nanosecond}, 0, 2},
		{transport.Policy{Fresh: true, Retries: -1}, 0, 1},
		{transport.Policy{Fresh: true}, 2, 30}, // as many as 15 minutes have, at 30 s each at most
	} {
		synctest.Test(t, func(t *testing.T) {
			tries := 0
			err := transport.Retry(t.Context(), c.policy, nil, func(context.Context) error {
				if tries++; tries == c.answered {
					return &transport.Error{Op: "x", Status: 503, Retry: true}
				}
				return unreached
			})
			if !errors.Is(err, unreached) || tries != c.tries && (c.answered == 0 || tries < c.tries) {
				t.Errorf("%+v: %d tries, want %d: %v", c.policy, tries, c.tries, err)
			}
		})
	}
}
