package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// moved finds an unfinished upload of this file under the path it had before:
// another runner checks out elsewhere. Only one whose every stored part is in
// this file is believed.
func (r *run) moved(ctx context.Context) (*Record, error) {
	if r.Restart {
		return nil, nil
	}
	candidates, err := r.Journal.Moved(ctx, r.target, r.file.Size)
	if err != nil {
		return nil, err
	}
	for _, c := range candidates {
		if !r.mayBeMoved(c) {
			continue
		}
		differ, err := r.differing(ctx, c)
		if err != nil {
			return nil, err
		}
		if len(differ) > 0 {
			continue
		}
		c.Path, c.Upload.File = r.file.Path, r.file
		if err := r.entry.Adopt(ctx, c); errors.Is(err, ErrBusy) {
			continue
		} else if err != nil {
			return nil, err
		}
		return r.entry.Load(ctx)
	}
	return nil, nil
}

// mayBeMoved reports whether a record that Moved lists is worth a comparison.
func (r *run) mayBeMoved(c Record) bool {
	if c.Path == r.file.Path || c.State == Corrupt || len(c.Receipts) == 0 || c.State != Sending && len(c.Upload.Held) > 0 {
		return false
	}
	_, err := os.Lstat(c.Path)
	return errors.Is(err, os.ErrNotExist)
}

// resume decides what of a record still holds for the file as it is now. A nil
// record means a new upload.
func (r *run) resume(ctx context.Context, rec *Record) (*Record, error) {
	if rec.State == Delivered || rec.State == Corrupt {
		return nil, nil
	}
	if r.earlier == 0 {
		r.earlier = rateOf(rec)
	}
	fresh := func(why string) (*Record, error) {
		if rec.State != Done {
			r.warn("%s: starting over", why)
			r.abandon(ctx, rec.Upload)
		}
		return nil, nil
	}
	was := rec.Upload.File
	switch {
	case r.Restart:
		return fresh("restarting as asked")
	case was.Size != r.file.Size:
		return fresh(fmt.Sprintf("the file had %d bytes and has %d", was.Size, r.file.Size))
	case !was.ModTime.Equal(r.file.ModTime) || was.ID != r.file.ID:
		differ, err := r.differing(ctx, *rec)
		if err != nil {
			return nil, err
		}
		if rec.State != Sending && (len(differ) > 0 || len(rec.Upload.Held) > 0) {
			return fresh("the file changed since its last part was stored")
		}
		if _, ok := r.Provider.(Checkpointer); ok && len(differ) > 0 {
			// Of the receipts that do not say so, the last run may have died
			// between the provider's knowing and ours.
			return fresh("the file changed in a part that the provider remembers, and no longer lets us replace")
		}
		if err := r.entry.Refresh(ctx, r.file, differ...); err != nil {
			return nil, err
		}
		for _, n := range differ {
			delete(rec.Receipts, n)
		}
		if len(differ) > 0 {
			r.warn("the file changed: %d of its stored parts are sent again", len(differ))
		}
		rec.Upload.File = r.file
	}
	// This machine's clock alone gives nothing up, as clocks jump: the provider
	// has to say so too.
	r.overdue = rec.State == Sending && !rec.Upload.Expires.IsZero() && time.Now().After(rec.Upload.Expires)
	if rec.State == Done {
		return rec, nil
	}
	// Checked before anything is sent, whoever wrote the record.
	if err := Tile(r.file.Size, rec.Upload.Parts, rec.Upload.Held); err != nil {
		return fresh(err.Error())
	}
	return rec, nil
}

// differing are the numbers of the stored parts that the file no longer holds.
func (r *run) differing(ctx context.Context, rec Record) ([]int, error) {
	var (
		mu     sync.Mutex
		differ []int
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range rec.Upload.Parts {
		receipt, ok := rec.Receipts[p.Number]
		if !ok {
			continue
		}
		g.Go(func() error {
			d, err := r.src.Hash(p.Offset, p.Size, receipt.MD5 != nil, ctx.Err)
			if err != nil {
				return err
			}
			if d.CRC32C != receipt.CRC32C || !bytes.Equal(d.MD5, receipt.MD5) {
				mu.Lock()
				defer mu.Unlock()
				differ = append(differ, p.Number)
			}
			return nil
		})
	}
	err := g.Wait()
	slices.Sort(differ)
	return differ, err
}
