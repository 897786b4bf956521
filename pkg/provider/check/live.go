package check

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// open has a provider open an upload, splits the file where that is left to
// the client, and holds that the parts tile it.
func open(ctx context.Context, p upload.Provider, f upload.File, h upload.Hint) (upload.Upload, []upload.Presigned, error) {
	u, urls, err := p.Create(ctx, f, h)
	if err != nil {
		return u, urls, err
	}
	if u.Parts == nil && len(u.Existing) == 0 {
		var limits upload.Limits
		if l, ok := p.(upload.Limiter); ok {
			limits = l.Limits()
		}
		if u.Parts, err = upload.Split(f.Size, h.PartSize, limits); err != nil {
			return u, urls, err
		}
	}
	return u, urls, upload.Tile(f.Size, u.Parts, u.Existing)
}

// presignAll requests the URLs of all parts, however few come at once.
func presignAll(ctx context.Context, p upload.Provider, u upload.Upload, have []upload.Presigned, parts []upload.Part) (map[int]upload.Presigned, error) {
	got, asked := map[int]upload.Presigned{}, false
	for urls := have; ; {
		before := len(got)
		for _, g := range urls {
			got[g.Part] = g
		}
		missing := slices.DeleteFunc(slices.Clone(parts), func(p upload.Part) bool { _, ok := got[p.Number]; return ok })
		switch {
		case len(missing) == 0:
			return got, nil
		case asked && len(got) == before:
			return got, fmt.Errorf("%w: it presigned none of the parts that were asked for", upload.ErrReply)
		}
		var err error
		if urls, err = p.Presign(ctx, u, missing); err != nil {
			return got, err
		}
		asked = true
	}
}

// digests are those that the upload asks for at its end.
func digests(u upload.Upload, body []byte) (d upload.Digests) {
	h := upload.NewHash(u.Digest)
	if h == nil {
		return d
	}
	h.Write(body)
	*map[string]*[]byte{
		upload.DigestCRC32C: &d.CRC32C, upload.DigestCRC64NVME: &d.CRC64NVME, upload.DigestMD5: &d.MD5, upload.DigestSHA1: &d.SHA1, upload.DigestSHA256: &d.SHA256,
	}[u.Digest] = h.Sum(nil)
	return d
}

// Live takes one small file through every step of a real API.
type Live struct {
	Provider upload.Provider
	Retry    transport.Policy
	Aborts   bool           // whether the API has a call that aborts an upload
	Options  map[string]any // those that are set, for Record
	// Tell hears how each step went, nil being well; a step that the API does
	// not have is not told of. Nil: not reported.
	Tell func(step string, err error)
	// Record is told which step the exchanges are of that it writes down. Nil:
	// nothing is written down.
	Record *Transcript
	// Retrying, if it is set, is called before each retry of a step.
	Retrying func(step string, err error, wait time.Duration)
}

// StepError is the step that a live check ended with.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// stepper is a Provider that knows which steps it makes for an upload: small files
// may have others.
type stepper interface {
	HasStep(u upload.Upload, step string) bool
}

// has reports whether a step is made for an upload.
func (l *Live) has(u upload.Upload, step string) bool {
	s, ok := l.Provider.(stepper)
	return !ok || s.HasStep(u, step)
}

// errAbsent says of a step that the API does not have it.
var errAbsent = errors.New("there is no such step")

// Run takes the file through all steps that the API has and gives the result of
// complete. What it opened and did not complete it aborts, where that can be
// done. Its error is a *StepError.
func (l *Live) Run(ctx context.Context, f upload.File, body []byte) (r upload.Result, err error) {
	f.Size, f.Content = int64(len(body)), bytes.NewReader(body)
	u, urls, err := l.create(ctx, f, body)
	if err != nil {
		return r, err
	}
	if r, err = l.finish(ctx, u, urls, body); err != nil {
		return r, errors.Join(err, l.abort(ctx, u))
	}
	if !l.Aborts || !l.has(u, "abort") {
		return r, nil
	}
	// Abort is tried with an upload of its own.
	if u, _, err = l.create(ctx, f, body); err == nil {
		err = l.abort(ctx, u)
	}
	return r, err
}

// step makes one call, as often as the policy has it; given is what a sample of it has.
func (l *Live) step(ctx context.Context, name string, given map[string]any, call func(context.Context) error) error {
	l.Record.begin(name, given)
	retrying := func(err error, wait time.Duration) {
		l.Record.again()
		if l.Retrying != nil {
			l.Retrying(name, err, wait)
		}
	}
	policy := l.Retry
	policy.Fresh = true // its address may be wrong
	err := transport.Retry(ctx, policy, retrying, call)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if l.Tell != nil {
		l.Tell(name, err)
	}
	if err != nil {
		return &StepError{name, err}
	}
	return nil
}

// fileGiven is a file as a sample has it.
func (l *Live) fileGiven(f upload.File) map[string]any {
	given := map[string]any{"file": map[string]any{"name": f.Name, "type": f.Type, "size": f.Size}}
	if len(l.Options) > 0 {
		given["options"] = l.Options
	}
	return given
}

func (l *Live) create(ctx context.Context, f upload.File, body []byte) (u upload.Upload, urls []upload.Presigned, err error) {
	given := l.fileGiven(f)
	if l.Record.wantsBytes() {
		given["bytes"] = string(body)
	}
	var begun upload.Upload
	err = l.step(ctx, "create", given, func(ctx context.Context) (err error) {
		u, urls, err = open(ctx, l.Provider, f, upload.Hint{Begun: begun})
		l.Record.keeps(u)
		if begun = (upload.Upload{}); err != nil && u.Begun {
			begun = u
			l.Record.continues()
		}
		return err
	})
	if err != nil && u.ID != "" && !u.TakenOver {
		err = errors.Join(err, l.abort(ctx, u))
	}
	return u, urls, err
}

// finish sends the parts and ends the upload.
func (l *Live) finish(ctx context.Context, u upload.Upload, have []upload.Presigned, body []byte) (r upload.Result, err error) {
	urls, err := l.presign(ctx, u, have)
	if err != nil {
		return r, err
	}
	rs := make([]upload.Receipt, len(u.Parts))
	for i, part := range u.Parts {
		if rs[i], err = l.send(ctx, u, part, urls[part.Number], body[part.Offset:][:part.Size]); err != nil {
			return r, err
		}
	}
	if u.Whole {
		if rs[0].Result == nil {
			return r, &StepError{"part", fmt.Errorf("%w: it gave no result", upload.ErrReply)}
		}
		l.keep(&u, rs[0].Data)
		return l.ready(ctx, u, *rs[0].Result)
	}
	if rs, err = l.checkpoint(ctx, u, rs); err != nil {
		return r, err
	}
	if r, err = l.complete(ctx, &u, rs, digests(u, body)); err != nil {
		return r, err
	}
	if r, err = l.ready(ctx, u, r); err != nil {
		return r, err
	}
	return r, l.probe(ctx, u)
}

// keep makes the data of an answer, if it has any, those of the upload.
func (l *Live) keep(u *upload.Upload, data []byte) {
	if data != nil {
		u.Data = data
		l.Record.keeps(*u)
	}
}

func (l *Live) presign(ctx context.Context, u upload.Upload, have []upload.Presigned) (urls map[int]upload.Presigned, err error) {
	if u.Renewable {
		have = nil // those of create are not needed to show that presign works
	}
	err = l.step(ctx, "presign", nil, func(ctx context.Context) (err error) {
		urls, err = presignAll(ctx, l.Provider, u, have, u.Parts)
		if err == nil && (!u.Renewable || urls[u.Parts[0].Number].URL == "") {
			return errAbsent // nothing was requested
		}
		return err
	})
	return urls, err
}

// send sends one part, and has it confirmed if its answer leaves that open.
func (l *Live) send(ctx context.Context, u upload.Upload, part upload.Part, to upload.Presigned, content []byte) (r upload.Receipt, err error) {
	given := map[string]any{}
	if !l.has(u, "create") {
		given = l.fileGiven(u.File)
	}
	given["part"], given["bytes"] = part.Number, string(content)
	if to.URL != "" {
		given["url"] = to.URL
	}
	err = l.step(ctx, "part", given, func(ctx context.Context) (err error) {
		r, err = l.Provider.Put(ctx, u, to, part, bytes.NewReader(content))
		return err
	})
	if err != nil || r.Unconfirmed == nil {
		return r, err
	}
	err = l.step(ctx, "confirm", nil, func(ctx context.Context) (err error) {
		r, err = l.Provider.(upload.Confirmer).Confirm(ctx, u, part, r)
		return err
	})
	return r, err
}

// checkpoint reports the receipts, where the API takes them before complete.
func (l *Live) checkpoint(ctx context.Context, u upload.Upload, rs []upload.Receipt) ([]upload.Receipt, error) {
	c, ok := l.Provider.(upload.Checkpointer)
	if !ok || !l.has(u, "checkpoint") {
		return rs, nil
	}
	err := l.step(ctx, "checkpoint", receiptsGiven(rs, nil), func(ctx context.Context) error { return c.Checkpoint(ctx, u, rs) })
	return checkpointed(rs), err
}

// complete sends the requests of complete, each a step of its own.
func (l *Live) complete(ctx context.Context, u *upload.Upload, rs []upload.Receipt, d upload.Digests) (r upload.Result, err error) {
	for a := (upload.Answered{More: true}); a.More; {
		if err = l.step(ctx, "complete", receiptsGiven(rs, wholeDigests(d)), func(ctx context.Context) (err error) {
			if s, ok := l.Provider.(upload.Stepper); ok {
				a, err = s.CompleteStep(ctx, *u, rs, d)
			} else {
				a.More = false
				a.Result, err = l.Provider.Complete(ctx, *u, rs, d)
			}
			return err
		}); err != nil {
			return r, err
		}
		r = a.Result
		l.keep(u, a.Data)
	}
	return r, nil
}

// probe asks whether the upload was completed, where the API can say so.
func (l *Live) probe(ctx context.Context, u upload.Upload) error {
	c, ok := l.Provider.(upload.Prober)
	if !ok || !l.has(u, "probe") {
		return nil
	}
	return l.step(ctx, "probe", nil, func(ctx context.Context) error {
		answer, _, err := c.Probe(ctx, u)
		if err == nil && answer == upload.NotCompleted {
			err = fmt.Errorf("%w: it says that the upload was not completed, and it was", upload.ErrReply)
		}
		return err
	})
}

// receiptsGiven are receipts and digests as a sample has them.
func receiptsGiven(rs []upload.Receipt, digests map[string]any) map[string]any {
	values := make([]any, len(rs))
	for i, r := range rs {
		values[i] = r.Value
	}
	given := map[string]any{"receipts": values}
	if len(digests) > 0 {
		given["digests"] = digests
	}
	return given
}

func wholeDigests(d upload.Digests) map[string]any {
	all := map[string]any{}
	for name, sum := range d.ByName() {
		if sum != nil {
			all[name] = hex.EncodeToString(sum)
		}
	}
	return all
}

// ready waits until the file is ready, where the API can say so.
func (l *Live) ready(ctx context.Context, u upload.Upload, r upload.Result) (upload.Result, error) {
	w, ok := l.Provider.(upload.Readier)
	if !ok || w.Readiness(u) == nil {
		return r, nil
	}
	how := w.Readiness(u)
	ctx, cancel := context.WithTimeout(ctx, how.Timeout)
	defer cancel()
	err := l.step(ctx, "ready", nil, func(ctx context.Context) error {
		for {
			done, result, err := w.Ready(ctx, u, r)
			switch {
			case done:
				r = result
				return nil
			case err == nil:
				err = upload.ErrNotReady
			case !errors.Is(err, upload.ErrNotReady):
				return err
			}
			if l.Retrying != nil {
				l.Retrying("ready", err, how.Every)
			}
			select {
			case <-time.After(how.Every):
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
		}
	})
	return r, err
}

// abort aborts an upload, where the API has a call for that.
func (l *Live) abort(ctx context.Context, u upload.Upload) error {
	if !l.Aborts || !l.has(u, "abort") {
		return nil
	}
	return l.step(context.WithoutCancel(ctx), "abort", nil, func(ctx context.Context) error { return l.Provider.Abort(ctx, u) })
}
