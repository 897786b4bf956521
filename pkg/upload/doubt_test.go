package upload_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/progress"
	"github.com/multiput/multiput/pkg/upload"
)

var (
	errActed    = errors.New("acted on")
	errGone     = fmt.Errorf("no such upload: %w", upload.ErrGone)
	errRefused  = fmt.Errorf("no such part: %w", upload.ErrRefused)
	errDenied   = fmt.Errorf("key: %w", upload.ErrDenied)
	errMismatch = fmt.Errorf("md5: %w", upload.ErrChecksum)
	errNameless = fmt.Errorf("no id: %w", upload.ErrCompleted)
)

// completes makes complete answer in turn, the last answer forever; nil is the
// cloud's own. What wraps errActed is acted on first.
func (c *cloud) completesWith(answers ...error) {
	answer := func(n int) error { return answers[min(n, len(answers))-1] }
	c.onComplete = func(n int) error {
		if err := answer(n); !errors.Is(err, errActed) {
			return err
		}
		return nil
	}
	c.loseComplete = func(n int) error {
		if err := answer(n); errors.Is(err, errActed) {
			return err
		}
		return nil
	}
}

// errLost is an answer that got lost when all was done.
var errLost = fmt.Errorf("%w: %w", errActed, silence())

// reply is what a probe is answered with.
type reply struct {
	upload.Answer
	error
}

var (
	unknown = reply{upload.Unknown, nil}
	yes     = reply{upload.Completed, nil}
	no      = reply{upload.NotCompleted, nil}
)

func fails(err error) reply { return reply{upload.Unknown, err} }

// probesWith makes the probe answer in turn, the last answer forever. Without
// any, it is the truth.
func (c *cloud) probesWith(answers ...reply) {
	if len(answers) == 0 {
		c.onProbe = nil
		return
	}
	c.onProbe = func(n int) (upload.Answer, error) {
		a := answers[min(n, len(answers))-1]
		return a.Answer, a.error
	}
}

// TestAskedHowItEnded: complete was not clearly answered, and the provider can
// be asked.
func TestAskedHowItEnded(t *testing.T) {
	nonsense := upload.ErrReply
	for name, test := range map[string]struct {
		complete          []error
		probe             []reply // none: the truth
		completes, probes int
		want              error
		state             upload.State // of the first upload, after it
		startsOver        bool
	}{
		"a clear yes":                         {[]error{nil}, nil, 1, 0, nil, upload.Delivered, false},
		"gone, as it was completed before":    {[]error{fmt.Errorf("%w: %w", errActed, errGone)}, nil, 1, 1, nil, upload.Delivered, false},
		"a clear no":                          {[]error{errRefused}, nil, 1, 0, upload.ErrRefused, upload.Sending, false},
		"lost":                                {[]error{errLost}, nil, 1, 1, nil, upload.Delivered, false},
		"lost, and gone":                      {[]error{errLost, errGone}, nil, 1, 1, nil, upload.Delivered, false},
		"lost, gone, and it cannot be told":   {[]error{errLost, errGone}, []reply{unknown}, 2, 2, upload.ErrDoubt, upload.Completing, false},
		"lost, gone, and then it can be told": {[]error{errLost, errGone}, []reply{unknown, yes}, 2, 2, nil, upload.Delivered, false},
		"never came":                          {[]error{silence(), nil}, nil, 2, 1, nil, upload.Delivered, false},
		"never comes":                         {[]error{silence()}, nil, 6, 6, upload.ErrUnfinished, upload.Completing, false},
		"never comes, which cannot be told":   {[]error{silence()}, []reply{unknown}, 6, 6, upload.ErrDoubt, upload.Completing, false},
		"then busy":                           {[]error{silence(), answered(429)}, nil, 6, 6, upload.ErrUnfinished, upload.Completing, false},
		"then refused":                        {[]error{silence(), errRefused}, nil, 2, 2, upload.ErrRefused, upload.Sending, false},
		"then refused, which cannot be told":  {[]error{silence(), errRefused}, []reply{unknown}, 2, 2, upload.ErrDoubt, upload.Completing, false},
		"then refused, and it was a yes":      {[]error{silence(), errRefused}, []reply{no, no}, 2, 2, upload.ErrRefused, upload.Sending, false},
		"then gone":                           {[]error{silence(), errGone, nil}, nil, 3, 2, nil, "", true},
		"an error in a 200":                   {[]error{nonsense}, []reply{unknown}, 1, 1, upload.ErrDoubt, upload.Completing, false},
		"an error in a 200, and no":           {[]error{nonsense}, nil, 1, 1, upload.ErrUnfinished, upload.Completing, false},
		"an error in a 200, and yes":          {[]error{fmt.Errorf("%w: %w", errActed, nonsense)}, nil, 1, 1, nil, upload.Delivered, false},
		"the probe fails":                     {[]error{nonsense}, []reply{fails(trouble(500))}, 1, 6, upload.ErrDoubt, upload.Completing, false},
		"the probe fails for good":            {[]error{nonsense}, []reply{fails(upload.ErrReply)}, 1, 1, upload.ErrDoubt, upload.Completing, false},
		"the probe fails once":                {[]error{fmt.Errorf("%w: %w", errActed, nonsense)}, []reply{fails(trouble(500)), yes}, 1, 2, nil, upload.Delivered, false},
		"the probe is no way":                 {[]error{trouble(500), nil}, []reply{fails(trouble(500))}, 2, 1, nil, upload.Delivered, false},
		"the probe is to come later":          {[]error{silence()}, []reply{fails(answered(429))}, 1, 6, upload.ErrDoubt, upload.Completing, false},
		"no network any more":                 {[]error{silence()}, []reply{fails(unreachable())}, 1, 6, upload.ErrDoubt, upload.Completing, false},
		"not authorized to probe":             {[]error{silence()}, []reply{fails(errDenied)}, 1, 1, upload.ErrDenied, upload.Completing, false},
		"not authorized to probe at last":     {[]error{nonsense}, []reply{fails(errDenied)}, 1, 1, upload.ErrDenied, upload.Completing, false},
		"not authorized to complete":          {[]error{silence(), errDenied}, []reply{unknown}, 2, 1, upload.ErrDenied, upload.Completing, false},
		"nameless, and the probe has it":      {[]error{fmt.Errorf("%w: %w", errActed, errNameless)}, nil, 1, 1, nil, upload.Delivered, false},
		"nameless, and the probe has not":     {[]error{errNameless}, []reply{unknown}, 1, 1, upload.ErrDoubt, upload.Completing, false},
		"nameless, and the probe says no":     {[]error{errNameless}, []reply{no}, 1, 1, upload.ErrDoubt, upload.Completing, false},
		"nameless to the probe":               {[]error{errLost}, []reply{{upload.Completed, errNameless}}, 1, 2, upload.ErrDoubt, upload.Completing, false},
		"another checksum":                    {[]error{errMismatch}, nil, 1, 0, upload.ErrChecksum, upload.Corrupt, false},
		"another checksum after silence":      {[]error{silence(), errMismatch}, []reply{unknown}, 2, 1, upload.ErrChecksum, upload.Corrupt, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.askable()
				r.cloud.completesWith(test.complete...)
				r.cloud.probesWith(test.probe...)
				rep, err := r.run(t.Context())
				if !errors.Is(err, test.want) || r.cloud.completes != test.completes || r.cloud.probes != test.probes {
					t.Fatalf("error %v after %d completes and %d probes; want %v after %d and %d",
						err, r.cloud.completes, r.cloud.probes, test.want, test.completes, test.probes)
				}
				for _, e := range []error{upload.ErrDoubt, upload.ErrUnfinished} {
					if errors.Is(err, e) && !errors.Is(test.want, e) {
						t.Errorf("error %v wraps %v too", err, e)
					}
				}
				if s := r.journal.state("u1"); s != test.state || (r.cloud.creates == 2) != test.startsOver {
					t.Errorf("the journal says %q, %d uploads", s, r.cloud.creates)
				}
				if says := strings.Contains(name, "nameless"); err != nil && strings.Contains(err.Error(), "says that it was completed") != says {
					t.Errorf("error %v", err)
				}
				if err == nil {
					r.check(rep)
				}
				r.once("u1")
			})
		})
	}
}

// TestAskedByTheNextRun: a run that finds an upload in doubt asks before it
// sends anything.
func TestAskedByTheNextRun(t *testing.T) {
	for name, test := range map[string]struct {
		acted             bool    // on the complete of the first run
		complete          []error // of the second run
		probe             []reply
		completes, probes int // of the second run
		want              error
	}{
		"it was completed":     {true, []error{errGone}, nil, 0, 1, nil},
		"it was not":           {false, []error{nil}, nil, 1, 1, nil},
		"it cannot be told":    {true, []error{errGone}, []reply{unknown}, 1, 2, upload.ErrDoubt},
		"complete may be sent": {false, []error{nil}, []reply{unknown}, 1, 1, nil},
		"not, and refused":     {false, []error{errRefused}, nil, 1, 2, upload.ErrRefused},
		"no answer at all":     {false, []error{silence()}, []reply{fails(trouble(503))}, 6, 7, upload.ErrDoubt},
		"not authorized":       {true, []error{errGone}, []reply{fails(errDenied)}, 0, 1, upload.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.askable()
				die := func(int) error { r.journal.killed.Store(true); return errKilled }
				if test.acted {
					r.cloud.loseComplete = die
				} else {
					r.cloud.onComplete = die
				}
				if _, err := r.run(t.Context()); err == nil {
					t.Fatal("it was killed")
				}
				for range 2 { // again and again, it stays what it is
					r.journal.restart()
					if test.want == upload.ErrRefused && r.journal.state("u1") == upload.Sending {
						break // that was final
					}
					r.cloud.completes, r.cloud.probes = 0, 0
					r.cloud.completesWith(test.complete...)
					r.cloud.probesWith(test.probe...)
					rep, err := r.run(t.Context())
					if !errors.Is(err, test.want) || r.cloud.completes != test.completes || r.cloud.probes != test.probes {
						t.Fatalf("error %v after %d completes and %d probes; want %v after %d and %d",
							err, r.cloud.completes, r.cloud.probes, test.want, test.completes, test.probes)
					}
					if err == nil {
						r.check(rep)
						break
					}
					if s := r.journal.state("u1"); (s == upload.Completing) == errors.Is(err, upload.ErrRefused) {
						t.Errorf("the journal says %q after %v", s, err)
					}
				}
				r.once("u1")
				if r.cloud.creates != 1 || len(r.cloud.objects) > 1 {
					t.Errorf("%d uploads, %d objects", r.cloud.creates, len(r.cloud.objects))
				}
			})
		})
	}
}

// A provider that cannot be asked, and says that it was completed before
// without saying as what: that is what is told.
func TestCompletedBeforeAndNameless(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.cloud.completesWith(errLost, errNameless)
		for n := range 2 {
			_, err := r.run(t.Context())
			if !errors.Is(err, upload.ErrDoubt) || !errors.Is(err, upload.ErrCompleted) || !strings.Contains(err.Error(), "says that it was completed") {
				t.Errorf("error %v", err)
			}
			if r.cloud.completes != 2+n || r.journal.state("u1") != upload.Completing {
				t.Errorf("%d completes, the journal says %q", r.cloud.completes, r.journal.state("u1"))
			}
		}
	})
}

// TestWholeFileMismatch: the provider refused the checksum of the whole. What it has is
// aborted, and the next run starts over without asking about it.
func TestWholeFileMismatch(t *testing.T) {
	for name, abort := range map[string]error{"aborted": nil, "no abort": errors.ErrUnsupported, "abort fails": trouble(500)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.askable()
				r.cloud.completesWith(errMismatch, nil)
				r.cloud.onAbort = func(int) error { return abort }
				_, err := r.run(t.Context())
				if !errors.Is(err, upload.ErrChecksum) || !slices.Equal(r.cloud.aborted, []string{"u1"}) {
					t.Fatalf("error %v, aborted %v", err, r.cloud.aborted)
				}
				r.cloud.spyComplete = func(id string) {
					if id != "u2" {
						t.Errorf("complete of %s is sent", id)
					}
				}
				want := 1
				if name == "abort fails" {
					want = 2 // the next run retries it
				}
				if rep := r.ok(); rep.Upload != "u2" || rep.PartsReused != 0 || r.cloud.completes != 2 || len(r.cloud.aborted) != want {
					t.Errorf("%+v, %d completes, aborted %v", rep, r.cloud.completes, r.cloud.aborted)
				}
			})
		})
	}
}

// A process that dies while it gives a corrupt upload up loses nothing that was
// not lost: the next one gets the same answer, or starts over.
func TestKilledWhileCorrupt(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after %t", after), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.concurrency = 1 // a write for each receipt
				r.cloud.onComplete = func(int) error {
					if r.cloud.ids == 1 {
						return errMismatch
					}
					return nil
				}
				if !r.killed(6, after) { // begin, three receipts, completing, corrupt
					t.Fatal("it was not killed")
				}
				if s := r.journal.state("u1"); (s == upload.Corrupt) != after {
					t.Fatalf("the journal says %q", s)
				}
				if !after {
					if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrChecksum) {
						t.Fatalf("error %v", err)
					}
				}
				if rep := r.ok(); rep.Upload != "u2" || !slices.Equal(r.cloud.aborted, []string{"u1"}) {
					t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
				}
			})
		})
	}
}

// A corrupt upload is none that a moved file is found by.
func TestWholeFileMismatchAndMoved(t *testing.T) {
	skipOnWindows(t)
	bubble(t, func(t *testing.T) {
		r := newRig(t, 3000)
		r.cloud.completesWith(errMismatch, nil)
		if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrChecksum) {
			t.Fatal(err)
		}
		to := filepath.Join(t.TempDir(), "file.bin")
		if err := os.Rename(r.path, to); err != nil {
			t.Fatal(err)
		}
		r.path = to
		if rep := r.ok(); rep.Upload != "u2" || rep.PartsReused != 0 {
			t.Errorf("%+v", rep)
		}
	})
}

// TestRestartInDoubt: an upload in doubt is aborted, and if the provider says
// that it was completed, so does a warning.
func TestRestartInDoubt(t *testing.T) {
	for name, test := range map[string]struct {
		abort error
		says  string
	}{
		"it was completed": {fmt.Errorf("409: %w", upload.ErrCompleted), "u1 was completed"},
		"dropped":          {nil, ""},
		"no abort":         {errors.ErrUnsupported, ""},
		"refused":          {errRefused, "could not abort"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.cloud.completesWith(errLost, errGone)
				if _, err := r.run(t.Context()); !errors.Is(err, upload.ErrDoubt) {
					t.Fatal(err)
				}
				r.cloud.completesWith(nil)
				r.cloud.onAbort = func(int) error { return test.abort }
				r.restart = true
				if rep := r.ok(); rep.Upload != "u2" || !slices.Equal(r.cloud.aborted, []string{"u1"}) {
					t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
				}
				var all string
				for _, w := range told[upload.Warning](r) {
					all += progress.Text(w) + "\n"
				}
				if !strings.Contains(all, test.says) || test.says == "" && strings.Contains(all, "u1") {
					t.Errorf("warned %q", all)
				}
			})
		})
	}
}

// After Ctrl-C nothing new is begun: no question after an answer that got lost,
// and no complete after a question.
func TestInterruptedInDoubt(t *testing.T) {
	for at, probes := range map[string]int{"complete": 0, "probe": 1} {
		t.Run(at, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 3000)
				r.askable()
				ctx, cancel := context.WithCancelCause(t.Context())
				stop := func(here string) {
					if here == at {
						cancel(errCtrlC)
					}
				}
				r.cloud.onComplete = func(int) error { stop("complete"); return silence() }
				r.cloud.onProbe = func(int) (upload.Answer, error) { stop("probe"); return upload.Unknown, nil }
				_, err := r.run(ctx)
				if !errors.Is(err, errCtrlC) || !errors.Is(err, upload.ErrDoubt) || r.cloud.completes != 1 || r.cloud.probes != probes {
					t.Errorf("error %v, %d completes, %d probes", err, r.cloud.completes, r.cloud.probes)
				}
				if s := r.journal.state("u1"); s != upload.Completing {
					t.Errorf("the journal says %q", s)
				}
				// The next run is told to stop before it asks: the doubt is as it was.
				ctx, cancel = context.WithCancelCause(t.Context())
				r.observe = func(e upload.Event) {
					if u, ok := e.(upload.Unclear); ok && u.Is && u.Report.Upload == "u1" {
						cancel(errCtrlC)
					}
				}
				if _, err := r.run(ctx); !errors.Is(err, errCtrlC) || !errors.Is(err, upload.ErrDoubt) || r.cloud.completes != 1 || r.cloud.probes != probes {
					t.Errorf("the next run: error %v, %d completes, %d probes", err, r.cloud.completes, r.cloud.probes)
				}
			})
		})
	}
}

// An older copy of the journal came back, and the upload was completed meanwhile: its
// result is found out, or the file is uploaded again, once.
func TestCompletedByAnotherRun(t *testing.T) {
	completed := func(result string) error {
		return &upload.CompletedError{Result: upload.Result{Value: result}, Err: fmt.Errorf("409: %w", upload.ErrRefused)}
	}
	for name, test := range map[string]struct {
		says   error // to a request for URLs
		probe  []reply
		asks   bool
		change func(r *rig)
		is     bool // its result is delivered
	}{
		"the answer has the result":  {says: completed("object-u1"), is: true},
		"the status has the result":  {says: completed(""), asks: true, is: true},
		"gone, the status has it":    {says: errGone, asks: true, is: true},
		"gone, the status says no":   {says: errGone, asks: true, probe: []reply{no}},
		"the status is not known":    {says: completed(""), asks: true, probe: []reply{unknown}},
		"the status fails":           {says: completed(""), asks: true, probe: []reply{fails(upload.ErrReply)}},
		"there is no status":         {says: completed("")},
		"the file was touched":       {says: completed("object-u1"), change: func(r *rig) { r.write(r.content, 1) }},
		"the file changed":           {says: completed("object-u1"), change: func(r *rig) { r.write(flipped(r.content, 9999), 1) }},
		"verification is required":   {says: completed("object-u1"), change: func(r *rig) { r.checksum = upload.ChecksumRequire }},
		"touched, the status has it": {says: errGone, asks: true, change: func(r *rig) { r.write(r.content, 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, 10_000)
				if test.asks {
					r.askable()
				}
				r.half(5)
				cu := r.cloud.uploads["u1"]
				cu.done, cu.result = true, upload.Result{Value: "object-u1"}
				r.cloud.spyProbe = nil
				r.cloud.probesWith(test.probe...)
				r.cloud.onPresign = func(int, []upload.Part) error {
					if r.cloud.ids == 1 {
						return test.says
					}
					return nil
				}
				if test.change != nil {
					test.change(r)
				}
				if test.is {
					rep, err := r.run(t.Context())
					if err != nil || rep.Result.Value != "object-u1" || rep.Verification != upload.Unverified || r.cloud.creates != 1 {
						t.Errorf("%+v, %v, %d uploads", rep, err, r.cloud.creates)
					}
				} else if rep := r.ok(); rep.Upload != "u2" || len(r.cloud.aborted) > 0 {
					t.Errorf("%+v, aborted %v", rep, r.cloud.aborted)
				}
				if n := len(r.delivered); n != 1 || r.journal.state("u2") == upload.Sending {
					t.Errorf("%d results", n)
				}
				if told := len(told[upload.CompletedElsewhere](r)) + len(told[upload.StartingOver](r)); told != 1 {
					t.Errorf("told %d times", told)
				}
			})
		})
	}
}
