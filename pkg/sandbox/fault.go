package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/multiput/multiput/pkg/internal/text"
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

func parseFault(spec string) (*fault, error) {
	f := &fault{spec: spec, part: -1, times: 1, header: http.Header{}}
	where, what, ok := strings.Cut(spec, ":")
	if !ok {
		return nil, errors.New("no ':' between where and what: it is STEP[@part=N][@after=K][@times=N|all]:KIND[=ARG]")
	}
	conditions := strings.Split(where, "@")
	f.step = conditions[0]
	if !slices.Contains(steps, f.step) {
		return nil, fmt.Errorf("no such step %q: the steps are %s", f.step, strings.Join(steps, ", "))
	}
	seen := map[string]bool{}
	for _, c := range conditions[1:] {
		key, value, _ := strings.Cut(c, "=")
		if seen[key] {
			return nil, fmt.Errorf("@%s is given twice", key)
		}
		seen[key] = true
		n, err := strconv.Atoi(value)
		if err == nil && n < 0 {
			err = strconv.ErrRange
		}
		switch key {
		case "part":
			f.part = n
			if f.step != StepPut {
				return nil, fmt.Errorf("@part is for put, not for %s", f.step)
			}
		case "after":
			f.after = n
		case "times":
			f.times = n
			switch {
			case value == "all":
				f.times, err = -1, nil
			case n == 0:
				err = strconv.ErrRange
			}
		default:
			return nil, fmt.Errorf("no such condition @%s: they are @part=N, @after=K and @times=N", key)
		}
		if err != nil {
			return nil, fmt.Errorf("@%s=%s is not a count", key, value)
		}
	}
	kind, arg, given := strings.Cut(what, "=")
	k, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("no such kind %q: the kinds are %s", kind, strings.Join(sortedKinds(), ", "))
	}
	f.kind = kind
	if !slices.Contains(k.steps, f.step) {
		return nil, fmt.Errorf("%s happens at %s, not at %s", kind, strings.Join(k.steps, ", "), f.step)
	}
	if err := k.arg(f, arg, given); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return f, nil
}

func sortedKinds() []string {
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func argNone(_ *fault, _ string, given bool) error {
	if given {
		return errors.New("it takes no argument")
	}
	return nil
}

func argBytes(f *fault, arg string, given bool) (err error) {
	f.bytes = 0
	if f.kind == kindStall {
		f.bytes = math.MaxInt64
	}
	if given {
		f.bytes, err = text.ParseSize(arg, text.Decimal)
	}
	return err
}

func argRate(f *fault, arg string, _ bool) (err error) {
	if f.bytes, err = text.ParseSize(arg, text.Decimal); err == nil && f.bytes == 0 {
		err = errors.New("a rate is bytes a second, such as 100k, and above 0")
	}
	return err
}

func argExpire(f *fault, arg string, given bool) error {
	f.how = "s3"
	if given {
		f.how = arg
	}
	if f.how != "s3" && f.how != "token" && f.how != "azure" {
		return fmt.Errorf("no such store %q: s3, token or azure", arg)
	}
	return nil
}

func argPID(f *fault, arg string, given bool) (err error) {
	if !given {
		return nil
	}
	if f.pid, err = strconv.Atoi(arg); err != nil || f.pid <= 1 {
		return fmt.Errorf("%q is not a process id", arg)
	}
	return nil
}

func argHTML(f *fault, arg string, given bool) (err error) {
	f.status = http.StatusOK
	if given {
		f.status, err = parseStatus(arg)
	}
	return err
}

func argStatus(f *fault, arg string, _ bool) (err error) {
	code, rest, more := strings.Cut(arg, ",")
	if f.status, err = parseStatus(code); err != nil {
		return err
	}
	f.message = "a fault that was asked for"
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ",")
		name, value, ok := strings.Cut(field, "=")
		switch {
		case !ok || name == "":
			return fmt.Errorf("%q is not NAME=VALUE", field)
		case name == "code":
			f.code = value
		case name == "message":
			f.message = value
		default:
			f.header.Set(name, value)
		}
	}
	return nil
}

func argRedirect(f *fault, arg string, _ bool) (err error) {
	f.status = http.StatusTemporaryRedirect
	if code, rest, ok := strings.Cut(arg, ","); ok && len(code) == 3 {
		if f.status, err = parseStatus(code); err != nil {
			return err
		}
		arg = rest
	}
	if f.status < 300 || f.status > 399 {
		return fmt.Errorf("%d is not a redirect", f.status)
	}
	u, err := url.Parse(arg)
	if err != nil || arg == "" {
		return fmt.Errorf("%q is not a URL", arg)
	}
	f.url = u.String()
	return nil
}

func argPatch(f *fault, arg string, _ bool) error {
	if err := json.Unmarshal([]byte(arg), &f.patch); err != nil {
		return fmt.Errorf("the patch is not JSON: %w", err)
	}
	if _, ok := f.patch.(map[string]any); !ok {
		return errors.New("the patch is not a JSON object")
	}
	return nil
}

func parseStatus(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 599 {
		return 0, fmt.Errorf("%q is not a status of a reply: 200 to 599", s)
	}
	return n, nil
}

// merge applies a JSON merge patch (RFC 7396).
func merge(to, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	m, ok := to.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = merge(m[k], v)
		}
	}
	return m
}
