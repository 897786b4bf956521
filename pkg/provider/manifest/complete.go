package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

// Complete ends the upload. What its error says of the outcome:
//
//   - an error that wraps upload.ErrRefused, ErrDenied or ErrGone is a clear
//     no of the provider;
//   - one that wraps upload.ErrUnsent was found before anything was sent;
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
	a, err := p.ask(ctx, step{what: "complete the upload", call: &c.call, created: true, slow: true}, s)
	if err != nil {
		return upload.Result{}, err
	}
	if c.ok != nil {
		v, err := c.ok.one(ctx, a.value, s)
		if err != nil {
			return upload.Result{}, p.unusable(a, c.ok.key, "%v", err)
		}
		// Anything but a clear yes is none: null is what a missing field is.
		if v != true {
			if p.gone(ctx, a, s) {
				return upload.Result{}, p.refusal(ctx, a, s, refusal{api: true, created: true})
			}
			// A store may say yes early and find out later that it fails
			// ("internal error, please try again"): neither a yes nor a no.
			if _, message, _ := p.told(ctx, a, s); message != "" {
				return upload.Result{}, p.unusable(a, c.ok.key, "the status %d says yes, and the answer an error: %s", a.Status, message)
			}
			return upload.Result{}, p.unusable(a, c.ok.key, "the answer is not the one that confirms the upload: %s", p.quote(a))
		}
	}
	v, err := c.result.one(ctx, a.value, s)
	if err != nil {
		return upload.Result{}, p.unusable(a, c.result.key, "%v", err)
	}
	value, ok := toText(v)
	if !ok || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return upload.Result{}, p.unusable(a, c.result.key, "yields %s, not a line of text", show(v))
	}
	reply, err := p.reply(a)
	if err != nil {
		return upload.Result{}, p.unusable(a, "", "%v", err)
	}
	return upload.Result{Value: p.hidden.Replace(value), Reply: reply}, nil
}

// reply is the answer as JSON, verbatim where there is no secret in it.
func (p *speaker) reply(a *answer) (json.RawMessage, error) {
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
	_, err = p.ask(ctx, step{what: "abort the upload", call: p.m.abort, created: true, empty: true}, s)
	if errors.Is(err, upload.ErrGone) {
		return nil
	}
	return err
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
