package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Complete ends the upload. What its error says of the outcome:
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
func (p *speaker) Complete(ctx context.Context, u upload.Upload, rs []upload.Receipt, d upload.Digests) (upload.Result, error) {
	s, err := p.scope(u)
	if err == nil && len(u.Held) > 0 && d.CRC32C == nil {
		err = fmt.Errorf("%s: %w: the upload was taken over, and there is no CRC32C of the whole file", p.m.title, upload.ErrUnverified)
	}
	if err != nil {
		return upload.Result{}, &unsent{err}
	}
	s.parts, s.receipts, s.digests = partsValue(u.Parts), receiptsValue(u.Parts, rs), digestsValue(u.Digest, d)
	c := &p.m.complete
	st := step{what: "complete the upload", call: &c.call, created: true, slow: true, empty: true}
	a, err := p.send(ctx, st, s)
	if err != nil {
		return upload.Result{}, err
	}
	no := p.succeeded(ctx, st, a, s)
	if a.final() && c.pending != nil {
		if v, err := c.pending.one(ctx, a.value, s); err == nil && v == true {
			return upload.Result{}, p.pending(ctx, a, s)
		}
	}
	if no == nil {
		no = p.confirmed(ctx, a, s)
	}
	switch {
	case no == nil && c.ok == nil:
		// Any 2xx passes for a yes, that of an error in disguise too: only with
		// a result it is one.
		r, err := p.result(ctx, c.result, a, s)
		if err != nil {
			err = p.unusable(a, c.result.key, "%v", err)
		}
		return r, err
	case no == nil:
		return p.completed(ctx, c.result, a, s)
	case !a.final():
	case p.says(ctx, c.already, a, s):
		return p.completed(ctx, c.result, a, s)
	case !errors.Is(no, upload.ErrDenied) && p.says(ctx, p.m.failure.mismatch, a, s):
		return upload.Result{}, &failure{upload.ErrChecksum, p.refused(ctx, a, s)}
	}
	return upload.Result{}, no
}

// pending is an answer that says that the API is still at it: the same request
// is to be made again.
func (p *speaker) pending(ctx context.Context, a *answer, s *scope) error {
	code, message, id := p.told(ctx, a, s)
	if message == "" {
		message = "it is not done yet"
	}
	e := p.clean(a.Error(code, message, id))
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

// confirmed reports whether an answer to complete that is a success by its
// status is one by what it says; its error says what else it is.
func (p *speaker) confirmed(ctx context.Context, a *answer, s *scope) error {
	ok := p.m.complete.ok
	if ok == nil {
		return nil
	}
	v, err := ok.one(ctx, a.value, s)
	if err != nil {
		return p.unusable(a, ok.key, "%v", err)
	}
	// Anything but a clear yes is none: null is what a missing field is.
	if v == true {
		return nil
	}
	if p.gone(ctx, a, s) {
		return p.refusal(ctx, a, s, refusal{api: true, created: true})
	}
	// A store may say yes early and find out later that it fails
	// ("internal error, please try again"): neither a yes nor a no.
	if _, message, _ := p.told(ctx, a, s); message != "" {
		return p.unusable(a, ok.key, "the status %d says yes, and the answer an error: %s", a.Status, message)
	}
	return p.unusable(a, ok.key, "the answer is not the one that confirms the upload: %s", p.quote(a))
}

// completed is the end of an upload that an answer says was completed.
func (p *speaker) completed(ctx context.Context, e *expr, a *answer, s *scope) (upload.Result, error) {
	r, err := p.result(ctx, e, a, s)
	if err != nil {
		err = &nameless{op: a.op, reason: p.hidden.Replace(transport.Clean(e.key + ": " + err.Error()))}
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
	v, err := e.one(ctx, a.value, s)
	if err != nil {
		return upload.Result{}, err
	}
	value, ok := toText(v)
	if !ok || value == "" || strings.ContainsFunc(value, unicode.IsControl) {
		return upload.Result{}, fmt.Errorf("yields %s, not a line of text", show(v))
	}
	reply, err := p.reply(a)
	if err != nil {
		return upload.Result{}, err
	}
	return upload.Result{Value: p.hidden.Replace(value), Reply: reply}, nil
}

// reply is the answer as JSON, verbatim where there is no secret in it.
func (p *speaker) reply(a *answer) (json.RawMessage, error) {
	if !a.isJSON { // it is empty
		return json.RawMessage("null"), nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, a.Body); err != nil {
		return nil, err
	}
	if clean, err := marshal(a.value); err != nil || bytes.Contains(clean, []byte(hiddenText)) {
		return clean, err
	}
	return b.Bytes(), nil
}

// quote is the answer as an error message has it.
func (p *speaker) quote(a *answer) string {
	const enough = 300
	b, err := marshal(a.value)
	if err != nil {
		return "no JSON"
	}
	if r := []rune(string(b)); len(r) > enough {
		return string(r[:enough]) + "…"
	}
	return string(b)
}

// Abort gives the upload up. Where the API has no call for that, the error
// wraps errors.ErrUnsupported and nothing is sent.
func (p *speaker) Abort(ctx context.Context, u upload.Upload) error {
	if p.m.abort == nil {
		return fmt.Errorf("%s: abort the upload: the API has no call for it: %w", p.m.title, errors.ErrUnsupported)
	}
	s, err := p.scope(u)
	if err != nil {
		return err
	}
	st := step{what: "abort the upload", call: p.m.abort, created: true, empty: true}
	a, err := p.send(ctx, st, s)
	if err != nil {
		return err
	}
	err = p.succeeded(ctx, st, a, s)
	switch {
	case errors.Is(err, upload.ErrGone):
		return nil
	case err != nil && a.final() && p.says(ctx, p.m.complete.already, a, s):
		return &failure{upload.ErrCompleted, p.refused(ctx, a, s)}
	}
	return err
}

// probing is a speaker whose API can be asked how an upload ended.
type probing struct{ *speaker }

// Probe asks whether the upload was completed. An answer from which that cannot
// be told is none of the API's to correct, and no error.
func (p *probing) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	s, err := p.scope(u)
	if err != nil {
		return upload.Unknown, upload.Result{}, &unsent{err}
	}
	c := p.m.probe
	st := step{what: "ask whether the upload was completed", call: &c.call}
	a, err := p.send(ctx, st, s)
	if err != nil {
		return upload.Unknown, upload.Result{}, err
	}
	if !a.final() || a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden {
		return upload.Unknown, upload.Result{}, p.succeeded(ctx, st, a, s)
	}
	if !a.isJSON {
		return upload.Unknown, upload.Result{}, nil
	}
	switch done, err := c.done.one(ctx, a.value, s); {
	case err == nil && done == true:
		e := c.result
		if e == nil {
			e = p.m.complete.result
		}
		r, err := p.completed(ctx, e, a, s)
		return upload.Completed, r, err
	case err == nil && done == false:
		return upload.NotCompleted, upload.Result{}, nil
	}
	return upload.Unknown, upload.Result{}, nil
}

// checkpointingProbing is a speaker whose API can do both.
type checkpointingProbing struct{ checkpointing }

// Probe asks whether the upload was completed.
func (p *checkpointingProbing) Probe(ctx context.Context, u upload.Upload) (upload.Answer, upload.Result, error) {
	return (&probing{p.speaker}).Probe(ctx, u)
}

// checkpointing is a speaker whose API takes checkpoints.
type checkpointing struct{ *speaker }

// Checkpoint hands receipts to the API.
func (p *checkpointing) Checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) error {
	s, err := p.scope(u)
	if err != nil {
		return err
	}
	s.receipts = receiptsValue(u.Parts, rs)
	_, err = p.ask(ctx, step{what: "checkpoint parts", call: p.m.checkpoint, created: true, empty: true}, s)
	return err
}
