package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/multiput/multiput/pkg/internal/exact"
	"github.com/multiput/multiput/pkg/upload"
)

// CompleteStep sends the next request of complete. What its error says of the
// outcome of that request:
//
//   - an error that wraps upload.ErrRefused, ErrDenied, ErrGone or ErrChecksum
//     is a clear no of the provider;
//   - one that wraps upload.ErrUnsent was found before anything was sent;
//   - one that wraps upload.ErrCompleted is a clear yes that does not say to
//     what the upload came;
//   - one that wraps upload.ErrUnfinished says that the provider is at it, and
//     wants to be asked again;
//   - any other leaves the outcome open: no answer came, or one of 5xx, 408 or
//     429, or one that cannot be read, or one that says neither yes nor no
//     (which wraps upload.ErrReply).
func (p *speaker) CompleteStep(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Answered, error) {
	s, err := p.scope(u, rs...)
	var kept data
	if err == nil {
		err = json.Unmarshal(u.Data, &kept)
	}
	if err == nil && len(u.Existing) > 0 && d.CRC32C == nil {
		err = fmt.Errorf("%s: %w: the upload was taken over, and there is no CRC32C of the whole file", p.m.title, upload.ErrUnverified)
	}
	step := p.m.stepsFor(u.File).complete
	if err == nil && (step == nil || kept.Completed >= len(step.requests)) {
		err = fmt.Errorf("%s: complete has no request %d: was the manifest changed?", p.m.title, kept.Completed+1)
	}
	if err != nil {
		return upload.Answered{}, &unsent{err}
	}
	s.parts = partsValue(reported(u.Parts, rs), rs, nil)
	sums, _ := s.digests.(map[string]any)
	for k, v := range digestFieldsOf(asked(u.Digest, d)) {
		if v != nil {
			sums[k] = v
		}
	}
	r := step.requests[kept.Completed]
	last := kept.Completed == len(step.requests)-1
	a, err := p.completeRequest(ctx, r, s)
	if err != nil && (!last || a == nil) {
		return upload.Answered{More: !last}, err
	}
	done := upload.Answered{More: !last}
	if last {
		if done.Result, err = p.ended(ctx, step, r, a, s, err); err != nil {
			return upload.Answered{}, err
		}
	}
	if st := p.m.stepsFor(u.File); !last || r.keep != nil || st.ready != nil {
		done.Data, err = p.recordMore(u, s, kept.Completed+1)
	}
	return done, err
}

// recordMore is what is kept of an upload with what a request kept after create.
func (p *speaker) recordMore(u upload.Upload, s *scope, completed int) (json.RawMessage, error) {
	v, err := exact.Decode(u.Data)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: what is kept of the upload cannot be read: %w", p.m.title, err)
	}
	m["upload"], m["completed"] = s.upload, completed
	return marshal(m)
}

// asked has the digests that the upload asked for, and no other.
func asked(name string, d upload.Digests) map[string][]byte {
	return map[string][]byte{name: d.ByName()[name]}
}

// Complete sends all requests of complete, one after the other.
func (p *speaker) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Result, error) {
	for {
		a, err := p.CompleteStep(ctx, u, rs, d)
		if !a.More || err != nil {
			return a.Result, err
		}
		u.Data = a.Data
	}
}

// completeRequest sends one request of complete. Without an answer, its error
// says why; with one, what is not a success about it.
func (p *speaker) completeRequest(ctx context.Context, r *request, s *scope) (*answer, error) {
	c := call{request: r, what: "complete the upload", created: true, slow: true}
	a, err := p.send(ctx, c, s)
	if err != nil {
		return nil, err
	}
	no := p.succeeded(ctx, c, a, s)
	switch {
	case a.final() && p.says(ctx, r.pending, a, s):
		return a, p.pending(ctx, a, s)
	case no == nil || !a.final():
		return a, no
	case p.says(ctx, r.already, a, s):
		if err := p.keep(ctx, r, a, s); err != nil {
			return a, &nameless{op: a.op, reason: p.shown(s, err.Error())}
		}
		return a, nil
	case !errors.Is(no, upload.ErrDenied) && p.says(ctx, p.m.failure.mismatch, a, s):
		return a, &failure{upload.ErrChecksum, p.refused(ctx, a, s)}
	}
	return a, no
}

// ended is the end of an upload, by the answer to the last request.
func (p *speaker) ended(ctx context.Context, step *completeStep, r *request, a *answer, s *scope, no error) (upload.Result, error) {
	if no != nil {
		return upload.Result{}, no
	}
	if r.ok == nil && !p.says(ctx, r.already, a, s) {
		// Any 2xx passes for a yes, that of an error in disguise too: only with
		// a result it is one.
		result, err := p.result(ctx, step.result, a, s)
		if err != nil {
			err = p.misread(a, step.result, err)
		}
		return result, err
	}
	return p.completed(ctx, step.result, a, s)
}

// pending is an answer that says that the API is still at it: the same request
// is to be made again.
func (p *speaker) pending(ctx context.Context, a *answer, s *scope) error {
	code, message, id := p.told(ctx, a, s)
	if message == "" {
		message = "it is not done yet"
	}
	e := p.clean(s, a.Error(code, message, id))
	e.Retry = true
	return &failure{upload.ErrUnfinished, e}
}

// final reports whether an answer was given for good, whatever it says: it is
// no redirect, and no trouble that passes.
func (a *answer) final() bool {
	switch {
	case a.Status >= 300 && a.Status < 400, a.Status >= 500:
		return false
	}
	return a.Status != http.StatusRequestTimeout && a.Status != http.StatusTooManyRequests
}

// completed is the end of an upload that an answer says was completed.
func (p *speaker) completed(ctx context.Context, e *expr, a *answer, s *scope) (upload.Result, error) {
	r, err := p.result(ctx, e, a, s)
	if err != nil {
		key := ""
		if e != nil {
			key = e.key + ": "
		}
		err = &nameless{op: a.op, reason: p.shown(s, key+err.Error())}
	}
	return r, err
}

// nameless is an answer that says that an upload was completed, and not to what
// it came. It wraps upload.ErrCompleted.
type nameless struct{ op, reason string }

func (e *nameless) Error() string { return e.op + ": " + upload.ErrCompleted.Error() + ": " + e.reason }
func (e *nameless) Unwrap() error { return upload.ErrCompleted }

// result reads what an upload came to.
func (p *speaker) result(ctx context.Context, e *expr, a *answer, s *scope) (upload.Result, error) {
	if e == nil {
		return upload.Result{}, errors.New("the manifest has no result for this")
	}
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return upload.Result{}, err
	}
	value, ok := toText(v)
	if !ok || value == "" || strings.ContainsAny(value, "\n\x00") {
		return upload.Result{}, fmt.Errorf("yields %s, not a line of text", show(v))
	}
	value = p.hidden.Replace(value)
	reply, err := p.reply(a, value)
	if err != nil {
		return upload.Result{}, err
	}
	return upload.Result{Value: value, Reply: reply}, nil
}

// maxShown is the most bytes of an answer that are shown and stored with a result.
const maxShown = 1 << 20

// reply is the answer as JSON, verbatim where there is no secret in it. What was
// kept of it may be a token too, if it is not the upload's id or part of the result.
func (p *speaker) reply(a *answer, result string) (json.RawMessage, error) {
	if a.size > maxShown {
		return json.RawMessage("null"), nil
	}
	up, _ := a.scope.upload.(map[string]any)
	id, _ := toText(up["id"])
	var kept []string
	for name := range a.scope.kept {
		for _, text := range textsIn(up[name]) {
			if text != id && !strings.Contains(result, text) {
				kept = append(kept, text)
			}
		}
	}
	pairs := hideAll(kept)
	value := a.value
	if len(pairs) > 0 {
		copied, err := plain(value) // $upload may share parts of it
		if err != nil {
			return nil, err
		}
		value = scrub(copied, newHider(pairs))
	}
	if !a.isJSON { // null where it is empty
		return marshal(value)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, a.Body); err != nil {
		return nil, err
	}
	if clean, err := marshal(value); err != nil || bytes.Contains(clean, []byte(hiddenText)) {
		return clean, err
	}
	return b.Bytes(), nil
}

// quote is the answer as an error message has it.
func (p *speaker) quote(a *answer) string {
	const enough = 300
	b, err := marshal(a.value)
	if err != nil {
		return a.kind
	}
	if r := []rune(string(b)); len(r) > enough {
		return string(r[:enough]) + "…"
	}
	return string(b)
}
