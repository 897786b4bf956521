package upload_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// answered is an answer with headers.
func answered(status int, header ...string) error {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return (&transport.Reply{Status: status, Header: h, At: time.Now()}).Error("", "", "")
}

// TestCompleteFails: what each answer says of the outcome.
func TestCompleteFails(t *testing.T) {
	gone := fmt.Errorf("no such upload: %w", upload.ErrGone)
	refused := fmt.Errorf("no such part: %w", upload.ErrRefused)
	denied := fmt.Errorf("key: %w", upload.ErrDenied)
	acted := errors.New("acted on")
	for name, test := range map[string]struct {
		answers    []error // of each try in turn, the last one forever; nil: the cloud's own
		tries      int
		want       error
		state      upload.State // of the first upload, after it
		startsOver bool         // it started over
	}{
		"at once":                      {[]error{nil}, 1, nil, upload.Delivered, false},
		"after trouble":                {[]error{trouble(500), silence(), trouble(429), nil}, 4, nil, upload.Delivered, false},
		"too many requests, forever":   {[]error{answered(429)}, 6, upload.ErrUnfinished, upload.Sending, false},
		"come later, forever":          {[]error{answered(503, "Retry-After", "1")}, 6, upload.ErrUnfinished, upload.Sending, false},
		"come at once, forever":        {[]error{answered(503, "Retry-After", "0")}, 6, upload.ErrUnfinished, upload.Sending, false},
		"a refusal that passes":        {[]error{&transport.Error{Status: 400, Retry: true}}, 6, upload.ErrUnfinished, upload.Sending, false},
		"a conflict that passes":       {[]error{answered(409, "Retry-After", "1")}, 6, upload.ErrUnfinished, upload.Sending, false},
		"too early, forever":           {[]error{answered(425)}, 6, upload.ErrUnfinished, upload.Sending, false},
		"unreachable, forever":         {[]error{unreachable()}, 6, upload.ErrUnfinished, upload.Sending, false},
		"a proxy's 503, forever":       {[]error{trouble(503)}, 6, upload.ErrDoubt, upload.Completing, false},
		"500, forever":                 {[]error{trouble(500)}, 6, upload.ErrDoubt, upload.Completing, false},
		"a gateway's timeout":          {[]error{trouble(504)}, 6, upload.ErrDoubt, upload.Completing, false},
		"a request timeout":            {[]error{trouble(408)}, 6, upload.ErrDoubt, upload.Completing, false},
		"silence, forever":             {[]error{silence()}, 6, upload.ErrDoubt, upload.Completing, false},
		"one silence, then busy":       {[]error{silence(), answered(429)}, 6, upload.ErrDoubt, upload.Completing, false},
		"one silence, then no network": {[]error{silence(), unreachable()}, 6, upload.ErrDoubt, upload.Completing, false},
		"nonsense":                     {[]error{upload.ErrReply}, 1, upload.ErrDoubt, upload.Completing, false},
		"an unheard-of error":          {[]error{errors.New("?")}, 1, upload.ErrDoubt, upload.Completing, false},
		"refused":                      {[]error{refused}, 1, upload.ErrRefused, upload.Sending, false},
		"refused after silence":        {[]error{silence(), refused}, 2, upload.ErrDoubt, upload.Completing, false},
		"refused after 500":            {[]error{trouble(500), refused}, 2, upload.ErrDoubt, upload.Completing, false},
		"refused after 429":            {[]error{answered(429), refused}, 2, upload.ErrRefused, upload.Sending, false},
		"denied":                       {[]error{denied}, 1, upload.ErrDenied, upload.Sending, false},
		"denied after silence":         {[]error{silence(), denied}, 2, upload.ErrDenied, upload.Completing, false},
		"not sent":                     {[]error{fmt.Errorf("jq: %w", upload.ErrUnsent)}, 1, upload.ErrUnsent, upload.Sending, false},
		"nothing to verify by":         {[]error{upload.ErrUnverified}, 1, upload.ErrUnverified, upload.Sending, false},
		"gone":                         {[]error{gone, nil}, 2, nil, "", true},
		"gone, twice":                  {[]error{gone, gone}, 2, upload.ErrGone, "", true},
		"gone after 429":               {[]error{answered(429), gone, nil}, 3, nil, "", true},
		"gone after silence":           {[]error{silence(), gone}, 2, upload.ErrDoubt, upload.Completing, false},
		"acted on, then gone":          {[]error{acted, gone}, 2, upload.ErrDoubt, upload.Completing, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				answer := func(n int) error { return test.answers[min(n, len(test.answers))-1] }
				r.cloud.onComplete = func(n int) error {
					if err := answer(n); !errors.Is(err, acted) {
						return err
					}
					return nil
				}
				r.cloud.loseComplete = func(n int) error {
					if errors.Is(answer(n), acted) {
						return silence()
					}
					return nil
				}
				rep, err := r.run(t.Context())
				if !errors.Is(err, test.want) || r.cloud.completes != test.tries {
					t.Fatalf("error %v after %d tries; want %v after %d", err, r.cloud.completes, test.want, test.tries)
				}
				for _, e := range []error{upload.ErrDoubt, upload.ErrUnfinished} {
					if errors.Is(err, e) && !errors.Is(test.want, e) {
						t.Errorf("error %v wraps %v too", err, e)
					}
				}
				if s := r.journal.state("u1"); s != test.state || (r.cloud.creates == 2) != test.startsOver || len(r.cloud.aborted) != 0 {
					t.Errorf("the journal says %q, %d uploads, aborted %v", s, r.cloud.creates, r.cloud.aborted)
				}
				if rep.PartsStored != 3 || (rep.Result.Value == "") == (err == nil) {
					t.Errorf("%+v", rep)
				}
				if err != nil && test.state == upload.Completing && !errors.Is(err, upload.ErrDenied) && !strings.Contains(err.Error(), "no clear answer") {
					t.Errorf("error %v", err)
				}
				// The next run goes on from there, without sending a part again.
				if err != nil && !test.startsOver {
					r.cloud.onComplete, r.cloud.loseComplete = nil, nil
					r.cloud.already = true
					rep := r.ok()
					r.once("u1")
					if rep.Upload != "u1" || rep.BytesSent != 0 || len(r.cloud.objects) != 1 {
						t.Errorf("the next run: %+v", rep)
					}
				}
			})
		})
	}
}

// What Retry-After asks for is waited.
func TestCompleteIsAskedToComeLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.cloud.onComplete = func(n int) error {
			if n == 1 {
				return answered(503, "Retry-After", "17")
			}
			return nil
		}
		start := time.Now()
		r.ok()
		if d := time.Since(start); d < 17*time.Second || d > 18*time.Second {
			t.Errorf("after %s", d)
		}
	})
}

// The journal lost a receipt: complete is not sent without it.
func TestCompleteWithoutAReceipt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		unanswered(r)
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrDoubt) {
			t.Fatal(err)
		}
		for _, rec := range r.journal.records {
			delete(rec.Receipts, 2)
		}
		n := r.cloud.completes
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrJournal) || r.cloud.completes != n {
			t.Errorf("error %v, %d completes", err, r.cloud.completes-n)
		}
	})
}
