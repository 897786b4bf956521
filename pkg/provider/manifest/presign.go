package manifest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multiput/multiput/pkg/provider/storeerr"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// Presign requests URLs for the given parts. Where parts go to a fixed path of
// the API nothing is sent, and the URLs have no end.
func (p *speaker) Presign(ctx context.Context, u upload.Upload, parts []upload.Part) ([]upload.Presigned, error) {
	st := p.m.stepsFor(u.File)
	switch {
	case st.part.fixed():
		urls := make([]upload.Presigned, len(parts))
		for i, part := range parts {
			urls[i].Part = part.Number
		}
		return urls, nil
	case st.presign == nil:
		return nil, fmt.Errorf("%s: %w: it issues presigned URLs only once, when the upload is created", p.m.title, upload.ErrExpired)
	}
	parts = st.presign.together(parts)
	if st.presign.max != 1 {
		return p.presign(ctx, u, st.presign, parts)
	}
	// A request for each part: side by side, as many as the engine asked for.
	var (
		g    errgroup.Group
		mu   sync.Mutex
		urls []upload.Presigned
	)
	g.SetLimit(sideBySide)
	for _, part := range parts {
		g.Go(func() error {
			got, err := p.presign(ctx, u, st.presign, []upload.Part{part})
			mu.Lock()
			defer mu.Unlock()
			urls = append(urls, got...)
			return err
		})
	}
	if err := g.Wait(); err != nil && len(urls) == 0 {
		return nil, err
	}
	return urls, nil // for a part that has none, it is asked again
}

// Signs reports whether op needs no request: parts at a path of the API have no
// presigned URLs, and small files may have no create.
func (p *speaker) Signs(op upload.Op, u upload.Upload) bool {
	st := p.m.stepsFor(u.File)
	return op == upload.OpCreate && st.create == nil || op == upload.OpPresign && st.part.fixed()
}

// sideBySide is the most requests for URLs that are made at once: as many as
// parts are sent.
const sideBySide = upload.MaxConcurrency

// presign makes one request for URLs.
func (p *speaker) presign(ctx context.Context, u upload.Upload, step *presignStep, parts []upload.Part) ([]upload.Presigned, error) {
	s, err := p.scope(u)
	if err != nil {
		return nil, err
	}
	sums, err := aheadOf(p.m.stepsFor(u.File).partDigests["presign"], u.File, parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.m.title, err)
	}
	s.parts = partsValue(parts, nil, sums)
	if step.max == 1 && len(parts) == 1 {
		s.part = partValue(u.Parts, parts[0], sums[parts[0].Number])
	}
	a, err := p.ask(ctx, call{request: &step.request, what: "request presigned URLs", created: true}, s)
	if err != nil {
		return nil, p.sendingTo(ctx, u, a, s, err)
	}
	p.remember(u.ID, &step.request, s)
	if s.parts = nil; len(sums) > 0 && step.urls.mentions("$parts") { // else it is made of s.plan, if at all
		s.parts = partsValue(u.Parts, nil, sums)
	}
	urls, err := p.readURLs(ctx, step.urls, a, s, u.Parts, parts)
	if err == nil && len(urls) == 0 {
		err = p.unusable(a, step.urls.key, "there are none")
	}
	return urls, err
}

// distinct leaves out a part that came before: an API may answer it as often as
// it is asked for it.
func distinct(parts []upload.Part) []upload.Part {
	seen := make(map[int]bool, len(parts))
	return slices.DeleteFunc(slices.Clone(parts), func(part upload.Part) bool {
		twice := seen[part.Number]
		seen[part.Number] = true
		return twice
	})
}

// together are those parts that one request may ask for, the first among them.
func (g *presignStep) together(parts []upload.Part) []upload.Part {
	parts = distinct(parts)
	if g.consecutive && len(parts) > 0 {
		byNumber := make(map[int]upload.Part, len(parts))
		for _, part := range parts {
			byNumber[part.Number] = part
		}
		first := parts[0]
		parts = nil
		for part, ok := first, true; ok; part, ok = byNumber[part.Number+1] {
			parts = append(parts, part)
		}
	}
	if g.max > 1 && len(parts) > g.max {
		parts = parts[:g.max]
	}
	return parts
}

// readURLs reads urls out of an answer. They are for parts of the plan, if
// there is one. An address alone is that of the next of the parts asked for;
// without any, the numbers count from 1.
func (p *speaker) readURLs(ctx context.Context, e *expr, a *answer, s *scope, plan, asked []upload.Part) ([]upload.Presigned, error) {
	list, err := e.list(ctx, a.value, s)
	if err != nil {
		return nil, p.misread(a, e, err)
	}
	planned := func(number int) bool {
		return slices.ContainsFunc(plan, func(p upload.Part) bool { return p.Number == number })
	}
	if len(list) > 1 {
		numbers := make(map[int]bool, len(plan))
		for _, part := range plan {
			numbers[part.Number] = true
		}
		planned = func(number int) bool { return numbers[number] }
	}
	seen := make(map[int]bool, len(list))
	gs := make([]upload.Presigned, 0, len(list))
	for i, v := range list {
		if address, alone := v.(string); alone {
			number := i + 1
			if i < len(asked) {
				number = asked[i].Number
			} else if asked != nil {
				return nil, p.unusable(a, e.key, "there are more URLs than the %d parts that they are for", len(asked))
			}
			v = map[string]any{"number": number, "url": address}
		}
		m, err := object(v, "number", "url", "expires", "expires_in", "headers")
		if err != nil {
			return nil, p.unusable(a, e.key, "%v", err)
		}
		number, err := partNumber(m["number"])
		switch {
		case err != nil:
			return nil, p.unusable(a, e.key, "%v", err)
		case seen[number]:
			return nil, p.unusable(a, e.key, "part %d is listed twice", number)
		case len(plan) > 0 && !planned(number):
			return nil, p.unusable(a, e.key, "part %d is not in the plan", number)
		}
		seen[number] = true
		g, err := p.readURL(a, number, m)
		if err != nil {
			return nil, p.unusable(a, e.key, "part %d: %v", number, err)
		}
		gs = append(gs, g)
	}
	return gs, nil
}

// readURL reads one presigned URL. It expires at the earliest of the times in the
// manifest, in the reply and in the URL itself.
func (p *speaker) readURL(a *answer, number int, m map[string]any) (upload.Presigned, error) {
	g := upload.Presigned{Part: number}
	var ok bool
	if g.URL, ok = m["url"].(string); !ok || g.URL == "" {
		return g, errors.New("there is no URL")
	}
	if strings.Contains(g.URL, hiddenText) {
		return g, errors.New("the URL contains the API key")
	}
	var err error
	if g.URL, err = p.resolve(g.URL); err != nil {
		return g, err
	}
	if g.Header, err = readHeaders(m["headers"]); err != nil {
		return g, err
	}
	end, err := toTime(m["expires"])
	if err != nil {
		return g, fmt.Errorf("expires %s %w", show(m["expires"]), err)
	}
	life := p.m.limits.URLLife
	if v := m["expires_in"]; v != nil {
		const most = 366 * 24 * 3600
		s, ok := toInt64(v)
		if !ok || s <= 0 || s > most {
			return g, fmt.Errorf("expires_in is %s, which is not a plausible number of seconds", show(v))
		}
		life = time.Duration(s) * time.Second
	}
	ends := []time.Time{a.local(end), a.local(storeerr.URLExpiry(g.URL))}
	if life > 0 {
		// By the wall: a machine that sleeps does not make a presigned URL live longer.
		ends = append(ends, a.At.Round(0).Add(life))
	}
	for _, end := range ends {
		if !end.IsZero() && (g.Expires.IsZero() || end.Before(g.Expires)) {
			g.Expires = end
		}
	}
	return g, nil
}

// local is a moment of the server's clock on this machine's.
func (a *answer) local(t time.Time) time.Time {
	if skew, ok := a.Skew(); ok && !t.IsZero() && skew.Abs() > transport.MaxSkew {
		return t.Add(skew)
	}
	return t
}

// Skew is how far this machine's clock is ahead of the API's, by the Date of
// its last reply.
func (p *speaker) Skew() (time.Duration, bool) { return p.clock.Skew() }

// readHeaders reads the headers of a presigned URL: an object, or a list of objects
// with name and value.
func readHeaders(v any) (map[string]string, error) {
	pairs := map[string]any{}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		pairs = v
	case []any:
		for _, e := range v {
			m, err := object(e, "name", "value")
			if err != nil {
				return nil, fmt.Errorf("headers: %w", err)
			}
			name, ok := m["name"].(string)
			if !ok {
				return nil, fmt.Errorf("headers: the name is %s", show(m["name"]))
			}
			pairs[name] = m["value"]
		}
	default:
		return nil, fmt.Errorf("headers is %s, neither an object nor a list", show(v))
	}
	h := make(map[string]string, len(pairs))
	for name, v := range pairs {
		key := http.CanonicalHeaderKey(name)
		text, ok := toText(v)
		if !ok || !headerText().MatchString(name) || !valueText().MatchString(text) {
			return nil, fmt.Errorf("headers: %s cannot be sent", show(name))
		}
		if slices.Contains(unsettable, key) {
			continue // net/http sets it, to what the URL was signed for
		}
		h[key] = text
	}
	return h, nil
}

// covers reports parts without a presigned URL, if no new ones are issued.
func (p *speaker) covers(a *answer, f upload.File, gs []upload.Presigned, parts []upload.Part) error {
	have := make(map[int]bool, len(gs))
	for _, g := range gs {
		have[g.Part] = true
	}
	missing, first := 0, math.MaxInt
	for _, part := range parts {
		if !have[part.Number] {
			missing++
			first = min(first, part.Number)
		}
	}
	if missing > 0 {
		return p.unusable(a, p.m.stepsFor(f).create.urls.key, "%d parts have no URL, the first is part %d", missing, first)
	}
	return nil
}
