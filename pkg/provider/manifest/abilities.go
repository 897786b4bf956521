package manifest

import (
	"strings"

	"github.com/multiput/multiput/pkg/provider/spec"
	"github.com/multiput/multiput/pkg/upload"
)

// abilities are what the API can do.
func (m *Manifest) abilities() spec.Abilities {
	a := spec.Abilities{
		Plan: spec.PlanClient, URLs: spec.URLsOnce, Checkpoints: m.checkpoint != nil, TakesOver: m.create.resumed != nil,
		Probes: m.probe != nil, Aborts: m.abort != nil,
	}
	switch {
	case m.create.parts != nil && m.limits.TakesHint:
		a.Plan = spec.PlanWish
	case m.create.parts != nil:
		a.Plan = spec.PlanAPI
	}
	switch {
	case m.part.path != nil:
		a.URLs = spec.URLsNone
	case m.presign != nil:
		a.URLs = spec.URLsAgain
	}
	for _, d := range []string{upload.DigestCRC32C, upload.DigestMD5, upload.DigestSHA1} {
		if m.complete.mentions("$digests." + d) {
			a.Digests = append(a.Digests, d)
		}
	}
	return a
}

// mentions reports whether an expression that the request is made of has these
// words in it.
func (c *call) mentions(words string) bool {
	for _, e := range []*expr{c.query, c.body, c.fields, c.headers.made} {
		if e != nil && strings.Contains(e.text, words) {
			return true
		}
	}
	return false
}

// requests are those of the manifest, in the order of an upload's life.
func (m *Manifest) requests() []spec.Request {
	var all []spec.Request
	add := func(step string, c *call) {
		if c == nil {
			return
		}
		r := spec.Request{Step: step, Method: c.method}
		if c.path != nil {
			r.Path = c.path.String()
		}
		all = append(all, r)
	}
	add("create", &m.create.call)
	add("presign", m.presignCall())
	add("part", &m.part.call)
	add("checkpoint", m.checkpoint)
	add("complete", &m.complete.call)
	if m.probe != nil {
		add("probe", &m.probe.call)
	}
	add("abort", m.abort)
	return all
}
