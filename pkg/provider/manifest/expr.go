package manifest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/upload"
)

// The bounds of one expression's run. The steps suffice for plans of 10,000
// parts many times over; the time bounds what single steps may cost.
const (
	maxSteps = 10_000_000
	maxTime  = 5 * time.Second
	maxExpr  = 16 << 10 // characters of one expression
)

// variables are what an expression sees beside its input.
var variables = []string{
	"$file", "$options", "$part_size", "$upload", "$parts", "$part", "$digests", "$header", "$status", "$base",
}

// scope holds the values of the variables; nil is null.
type scope struct {
	in   any               // what requests see as .: the part's own reply in confirm
	kept map[string]string // which request kept a field of upload, where that was in this process

	file, options, partSize, upload, parts, part, digests, header, status, base any

	plan []upload.Part // what parts is made of, where an expression wants it
}

// values are those of the variables that e may name. $parts of a long plan is made
// only where it is wanted: at the request of each of 10,000 parts it would be most
// of the memory and most of the time of an upload.
func (s *scope) values(e *expr) []any {
	if s.parts == nil && s.plan != nil && e.mentions("$parts") {
		s.parts = partsValue(s.plan, nil, nil)
	}
	return []any{s.file, s.options, s.partSize, s.upload, s.parts, s.part, s.digests, s.header, s.status, s.base}
}

// expr is a compiled jq expression.
type expr struct {
	key  string // where the manifest has it, such as create.body
	at   place
	text string
	code *gojq.Code
}

// mentions reports whether the text of the expression has these words in it. A
// nil expression has none.
func (e *expr) mentions(words string) bool { return e != nil && strings.Contains(e.text, words) }

// errRenamed: an expression uses a variable by the name that it once had.
var errRenamed = errors.New("called")

// compile makes a program of src. There is no environment, no input and no
// import in it.
func compile(src string) (*gojq.Code, error) {
	if strings.TrimSpace(src) == "" {
		return nil, errors.New("is empty: expected a jq expression")
	}
	if len(src) > maxExpr {
		return nil, fmt.Errorf("is longer than %d characters", maxExpr)
	}
	q, err := gojq.Parse(src)
	if err != nil {
		return nil, err
	}
	code, err := gojq.Compile(q, gojq.WithVariables(variables))
	if err != nil {
		name, ok := strings.CutPrefix(err.Error(), "variable not defined: ")
		if now := newVariables[name]; ok && now != "" {
			return nil, fmt.Errorf("%s is %w %s now", name, errRenamed, now)
		}
		if ok {
			return nil, fmt.Errorf("there is no variable %s; the variables are %s", name, strings.Join(variables, ", "))
		}
		return nil, err
	}
	return code, nil
}

// one is the single value that the expression yields.
func (e *expr) one(ctx context.Context, in any, s *scope) (any, error) {
	vs, err := e.run(ctx, in, s, 1)
	if err != nil {
		return nil, err
	}
	if len(vs) == 0 {
		return nil, errors.New("yields nothing")
	}
	return vs[0], nil
}

// list is the stream that the expression yields.
func (e *expr) list(ctx context.Context, in any, s *scope) ([]any, error) {
	return e.run(ctx, in, s, 0)
}

// run collects what the expression yields; more than most values, if that is
// not 0, are an error.
func (e *expr) run(ctx context.Context, in any, s *scope, most int) (vs []any, err error) {
	// To be cancelled is not for the expression to notice: what has come is
	// read, and what is to be sent finds out itself, in words of its own.
	b := &budget{Context: context.WithoutCancel(ctx), left: maxSteps, end: time.Now().Add(maxTime)}
	defer func() {
		if r := recover(); r != nil {
			vs, err = nil, fmt.Errorf("jq failed: %v", r)
		}
	}()
	iter := e.code.RunWithContext(b, in, s.values(e)...)
	for {
		v, ok := iter.Next()
		if !ok {
			return vs, nil
		}
		if err, ok := v.(error); ok {
			return nil, err
		}
		if most > 0 && len(vs) == most {
			return nil, errors.New("yields more than one value")
		}
		vs = append(vs, v)
	}
}

var (
	errEndless = fmt.Errorf("stopped after %s", maxTime)
	errSteps   = fmt.Errorf("stopped after %d steps", maxSteps)
	closed     = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
)

// budget is a context that ends after so many looks at it: gojq looks once a
// step. It bounds an expression the same way on a fast machine and a slow one,
// long before its memory hurts. It has no timer, which would cost as much as a short
// expression: every few steps it looks at the clock.
type budget struct {
	context.Context //nolint:containedctx // one run's, no longer
	left            int
	end             time.Time
	over            error // why it ended
}

// Done is called by one goroutine only, the one that runs the expression.
func (b *budget) Done() <-chan struct{} {
	const few = 16
	switch b.left--; {
	case b.left < 0:
		b.over = errSteps
	case b.left%few == 0 && time.Now().After(b.end):
		b.over = errEndless
	}
	if b.over != nil {
		return closed
	}
	return nil
}

func (b *budget) Err() error { return b.over }

// truth is v as a yes or no; anything but a boolean is an error.
func truth(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("yields %s, neither true nor false", show(v))
	}
	return b, nil
}

// object is v, an element of a list, with no fields but those known.
func object(v any, known ...string) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		if _, isList := v.([]any); isList {
			return nil, errors.New("yields a list, not its elements: [] is missing at its end")
		}
		return nil, fmt.Errorf("yields %s, not an object", show(v))
	}
	for k := range m {
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("yields an object with an unknown field %q; known are %s", k, strings.Join(known, ", "))
		}
	}
	return m, nil
}

// ownError is what an expression says itself with error(); empty: err is not
// from there.
func ownError(err error) string {
	var own gojq.ValueError
	if !errors.As(err, &own) {
		return ""
	}
	if text, ok := own.Value().(string); ok && text != "" {
		return text
	}
	return show(own.Value())
}
