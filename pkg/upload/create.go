package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// create opens a new upload and puts it into the journal, with a plan that
// tiles the file.
func (r *run) create(ctx context.Context) (*Record, error) {
	r.foresee(r.limits.URLLife, 0)
	up, urls, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	if end := ends(urls, up.Parts); !up.Renewable && !end.IsZero() && r.foresee(time.Until(end), r.tail(up.Parts)) {
		r.abandon(ctx, up)
		if up, urls, err = r.open(ctx); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	if !up.Expires.After(now) {
		up.Expires = time.Time{} // over before it began: a clock or the API is wrong, and says nothing
	}
	rec := Record{Target: r.target, Path: r.file.Path, State: Sending, Started: now, Updated: now, Upload: up}
	if !up.Renewable {
		rec.Presigned = urls
	}
	if err := r.entry.Begin(ctx, rec); err != nil {
		r.abandon(ctx, up)
		return nil, err
	}
	rec.Presigned = urls
	rec.Receipts = make(map[int]Receipt)
	r.learn(&rec)
	return &rec, nil
}

// open has the provider open an upload, whose plan tiles the file.
func (r *run) open(ctx context.Context) (up Upload, urls []Presigned, err error) {
	err = r.retry(ctx, "create upload", func(ctx context.Context) (err error) {
		up, urls, err = r.Provider.Create(ctx, r.file, Hint{PartSize: cmp.Or(r.PartSize, r.want)})
		if err != nil && up.ID != "" {
			r.abandon(ctx, up) // it was opened, and is of no use
		}
		return err
	})
	if err != nil {
		return Upload{}, nil, err
	}
	r.lookAtClock()
	r.report.Upload = up.ID
	up.File = r.file
	if err = r.plan(&up, urls); err != nil {
		r.abandon(ctx, up)
		return Upload{}, nil, err
	}
	return up, urls, nil
}

// maxSkew is the difference between two clocks that is not worth a word.
const maxSkew = 30 * time.Second

// lookAtClock tells of a clock that is wrong, once. The times of urls are read
// as the provider means them; what else goes wrong with such a clock (TLS, the
// times of a signature) shows as errors that do not name it.
func (r *run) lookAtClock() {
	c, ok := r.Provider.(Clock)
	if !ok {
		return
	}
	skew, ok := c.Skew()
	if !ok || skew.Abs() < maxSkew || r.skewed.Swap(true) {
		return
	}
	r.warn("%s; the provider's times are read accordingly", clocks(skew))
}

func clocks(skew time.Duration) string {
	if skew > 0 {
		return fmt.Sprintf("this machine's clock is %s ahead of the provider's", inTime(skew))
	}
	return fmt.Sprintf("this machine's clock is %s behind the provider's", inTime(-skew))
}

// plan checks the provider's plan, or makes one where it has none.
func (r *run) plan(up *Upload, urls []Presigned) (err error) {
	if up.Digest == DigestSHA1 && r.src.Once() {
		return fmt.Errorf("the provider takes the SHA-1 of the whole file at the end, for which a stream would have to be read twice: %w", ErrLimit)
	}
	ours := up.Parts == nil && len(up.Held) == 0
	if ours {
		if up.Parts, err = Split(r.file.Size, r.PartSize, r.limits); err != nil {
			return err
		}
	}
	if err := Tile(r.file.Size, up.Parts, up.Held); err != nil {
		return err
	}
	for _, p := range up.Parts {
		if p.Size > r.src.Room() {
			return fmt.Errorf("part %d has %d bytes, and only %d may wait on the disk: %w", p.Number, p.Size, r.src.Room(), ErrPartSize)
		}
	}
	if r.PartSize > 0 && len(up.Parts) > 1 && up.Parts[0].Size != r.PartSize {
		r.warn("the provider chose parts of %d bytes, not of %d", up.Parts[0].Size, r.PartSize)
	}
	r.explainPlan(*up, ours, len(urls))
	if len(up.Held) > 0 && up.Digest == "" {
		return fmt.Errorf("the provider already has parts of this file, and takes no checksum that could prove them: %w", ErrUnverified)
	}
	if up.Renewable {
		return nil
	}
	signed := make(map[int]bool, len(urls))
	for _, g := range urls {
		signed[g.Part] = true
	}
	for _, p := range up.Parts {
		if !signed[p.Number] {
			return fmt.Errorf("there is no presigned for part %d, and this provider issues no other: %w", p.Number, ErrReply)
		}
	}
	return nil
}

// abandon gives an upload up at the provider, as well as that can be done: its
// failure is no reason to fail. One that was there before this client came may
// be another's, and is left alone.
func (r *run) abandon(ctx context.Context, up Upload) {
	if up.TakenOver || len(up.Held) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace)
	defer cancel()
	r.note("giving up upload %s at the provider", up.ID)
	err := r.Provider.Abort(ctx, up)
	switch {
	case err == nil, errors.Is(err, ErrGone), errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, ErrCompleted):
		r.warn("the provider says that upload %s was completed: the file may be there twice when this one is", up.ID)
	default:
		r.warn("the provider could not be told to drop upload %s: %v", up.ID, err)
	}
}
