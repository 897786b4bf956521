package sandbox

import (
	"fmt"
	"net/http"
	"sync"
)

// Faults are what goes wrong on demand. The zero value has none. It is safe
// for concurrent use, and faults may be added while the sandbox runs.
type Faults struct {
	mu   sync.Mutex
	list []*fault
	bind func(*fault) error // whether the sandbox can do it; nil before it starts
}

// fault is one declared fault: STEP[@part=N][@after=K][@times=N|all]:KIND[=ARG]
type fault struct {
	spec  string
	step  string
	kind  string
	part  int // -1: any
	after int
	times int // -1: every time

	bytes   int64 // reset, stall: of the body that are read; slow: a second
	status  int
	header  http.Header
	code    string
	message string
	url     string
	pid     int
	patch   any
	how     string // expire: s3, token or azure

	seen, fired int
}

// The kinds of faults.
const (
	kindStatus     = "status"
	kindStatusLate = "status-late"
	kindReset      = "reset"
	kindLostReply  = "lost-reply"
	kindStall      = "stall"
	kindStallLate  = "stall-late"
	kindSlow       = "slow"
	kindExpire     = "expire"
	kindNoETag     = "no-etag"
	kindOpaqueETag = "opaque-etag"
	kindWrongETag  = "wrong-etag"
	kindCorrupt    = "corrupt"
	kindTruncate   = "truncate-store"
	kindErrorIn200 = "error-in-200"
	kindHTML       = "html"
	kindRedirect   = "redirect"
	kindBadJSON    = "bad-json"
	kindPatch      = "patch"
	kindKill       = "kill"
	kindKillLate   = "kill-late"
	kindOnce       = "once"
)

var (
	steps = []string{StepCreate, StepPresign, StepPut, StepCheckpoint, StepComplete, StepAbort, StepStatus}
	// apiSteps are the steps whose reply is JSON.
	apiSteps = []string{StepCreate, StepPresign, StepCheckpoint, StepComplete, StepAbort, StepStatus}
	putOnly  = []string{StepPut}
)

// kinds says at which steps a fault can happen, and how its argument is read.
var kinds = map[string]struct {
	steps []string
	arg   func(f *fault, arg string, given bool) error
}{
	kindStatus:     {steps, argStatus},
	kindStatusLate: {steps, argStatus},
	kindReset:      {steps, argBytes},
	kindLostReply:  {steps, argNone},
	kindStall:      {steps, argBytes},
	kindStallLate:  {steps, argNone},
	kindSlow:       {putOnly, argRate},
	kindExpire:     {putOnly, argExpire},
	kindNoETag:     {putOnly, argNone},
	kindOpaqueETag: {putOnly, argNone},
	kindWrongETag:  {putOnly, argNone},
	kindCorrupt:    {putOnly, argNone},
	kindTruncate:   {putOnly, argNone},
	kindErrorIn200: {apiSteps, argNone},
	kindHTML:       {steps, argHTML},
	kindRedirect:   {steps, argRedirect},
	kindBadJSON:    {steps, argNone},
	kindPatch:      {steps, argPatch},
	kindKill:       {steps, argPID},
	kindKillLate:   {steps, argPID},
	kindOnce:       {[]string{StepComplete}, argNone},
}

// ParseFaults reads faults, each written as
//
//	STEP[@part=N][@after=K][@times=N|all]:KIND[=ARG]
//
// docs/sandbox.md lists the steps and the kinds.
func ParseFaults(specs ...string) (*Faults, error) {
	f := &Faults{}
	return f, f.Add(specs...)
}

// Add declares more faults. It adds all of them or none.
func (fs *Faults) Add(specs ...string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var list []*fault
	for _, spec := range specs {
		f, err := parseFault(spec)
		if err == nil && fs.bind != nil {
			err = fs.bind(f)
		}
		if err != nil {
			return fmt.Errorf("fault %q: %w", spec, err)
		}
		list = append(list, f)
	}
	fs.list = append(fs.list, list...)
	return nil
}

// Clear forgets all faults.
func (fs *Faults) Clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

// Unfired returns the faults that never happened, or, of those that were to
// happen a number of times, happened less often. A test that declares a fault
// and injects nothing has tested nothing.
func (fs *Faults) Unfired() []string {
	if fs == nil {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var out []string
	for _, f := range fs.list {
		if f.fired == 0 || f.fired < f.times {
			out = append(out, f.spec)
		}
	}
	return out
}

// Fired returns how many faults happened.
func (fs *Faults) Fired() int {
	if fs == nil {
		return 0
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for _, f := range fs.list {
		n += f.fired
	}
	return n
}

// check has every fault looked at by the sandbox that will do them.
func (fs *Faults) check(can func(*fault) error) error {
	if fs == nil {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.bind = can
	for _, f := range fs.list {
		if err := can(f); err != nil {
			return fmt.Errorf("fault %q: %w", f.spec, err)
		}
	}
	return nil
}

// passive faults wait for something that the request does later.
func (f *fault) passive() bool { return f.kind == kindTruncate || f.kind == kindOnce }

func (f *fault) matches(step string, part int) bool {
	return f.step == step && (f.part < 0 || f.part == part)
}

func (f *fault) due() bool {
	return f.seen > f.after && (f.times < 0 || f.fired < f.times)
}

// take counts a request and returns the fault that it meets, if any: the first
// that is due. A request of no bytes cannot be corrupted.
func (fs *Faults) take(step string, part int, size int64) *fault {
	if fs == nil {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var hit *fault
	for _, f := range fs.list {
		if !f.matches(step, part) || f.passive() {
			continue
		}
		f.seen++
		if hit == nil && f.due() && (f.kind != kindCorrupt || size > 0) {
			hit = f
			f.fired++
		}
	}
	return hit
}

// takePassive returns the fault of this kind that is due now.
func (fs *Faults) takePassive(kind, step string, part int) *fault {
	if fs == nil {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, f := range fs.list {
		if f.kind == kind && f.matches(step, part) {
			f.seen++
			if f.due() {
				f.fired++
				return f
			}
		}
	}
	return nil
}
