package manifest

import (
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// abilities are what the API can do.
func (m *Manifest) abilities() spec.Abilities {
	a := spec.Abilities{
		Plan: spec.PlanClient, URLs: spec.URLsOnce, Checkpoints: m.checkpoint != nil, TakesOver: m.create.resumed != nil,
		Probes: m.probe != nil, Aborts: m.abort != nil, Waits: m.ready != nil,
	}
	switch {
	case m.limits.Plans && m.limits.TakesHint:
		a.Plan = spec.PlanWish
	case m.limits.Plans:
		a.Plan = spec.PlanAPI
	}
	switch {
	case m.part.fixed():
		a.URLs = spec.URLsNone
	case m.presign != nil:
		a.URLs = spec.URLsAgain
	}
	for _, d := range digestNames {
		for _, r := range m.complete.requests {
			if slices.ContainsFunc(r.exprs(), func(e *expr) bool { return e.mentions("$digests." + d) }) && !slices.Contains(a.Digests, d) {
				a.Digests = append(a.Digests, d)
			}
		}
	}
	return a
}

// Requests are those for a file: small ones may have others.
func (p *speaker) Requests(size int64, _ int) []spec.Request {
	return p.m.shownRequests(p.m.stepsFor(upload.File{Size: size}))
}

// shownRequests are those of an upload, in its order.
func (m *Manifest) shownRequests(s *steps) (all []spec.Request) {
	s.requests(func(step string, r *request) {
		shown := spec.Request{Step: step, Method: r.method}
		switch {
		case r.path != nil:
			shown.Path = r.path.String()
		case r.url != nil:
			to, given, own := m.destinations(r.url)
			if given {
				to = append(to, "a URL that the API gives")
			}
			if own {
				to = append(to, "a URL of the API")
			}
			slices.Sort(to)
			shown.To = strings.Join(slices.Compact(to), " or ")
		}
		all = append(all, shown)
	})
	return all
}

// createMentions reports whether a request of create mentions a variable.
func (m *Manifest) createMentions(name string) bool {
	return m.create != nil && m.create.mentions(name)
}

func (c *createStep) mentions(name string) bool {
	return slices.ContainsFunc(c.requests, func(r *request) bool {
		return slices.ContainsFunc(append(r.exprs(), r.keep, r.ok), func(e *expr) bool { return e.mentions(name) })
	})
}

// plans reports whether create is told the parts that multiput plans, or gives
// URLs for them.
func (m *Manifest) plans(s *steps) bool {
	c := s.create
	return c != nil && c.parts == nil && c.partSize == nil && (c.mentions("$parts") || c.urls.mentions("$parts"))
}

// readsAhead reports whether the file is read before it is sent.
func (m *Manifest) readsAhead() bool {
	any := false
	for _, s := range m.ways() {
		s.requests(func(_ string, r *request) { any = any || len(r.digests) > 0 })
	}
	return any
}
