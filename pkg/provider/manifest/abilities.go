package manifest

import (
	"strings"

	"github.com/multiput/multiput/pkg/upload"
)

// Abilities are what an API can do, as far as its manifest makes use of it.
type Abilities struct {
	Plan        string   // who plans the parts: one of the Plan constants
	URLs        string   // where parts go: one of the URLs constants
	Checkpoints bool     // it takes receipts before the end
	TakesOver   bool     // create can go on with an upload that the API has
	Probes      bool     // it can be asked whether an upload was completed
	Aborts      bool     // it has a call that gives an upload up
	Digests     []string // of the whole file, that complete can take
	Samples     bool     // the manifest brings documented exchanges along
}

// Who plans the parts of an upload, and where they go.
const (
	PlanAPI    = "api"    // the API says what the parts are
	PlanWish   = "wish"   // the API does, and heeds the client's wish
	PlanClient = "client" // we split the file

	URLsOnce  = "once"  // addresses that create gives, and none after
	URLsAgain = "again" // addresses that can be asked for again
	URLsNone  = "none"  // the API's own address
)

// Abilities are what the API can do.
func (m *Manifest) Abilities() Abilities {
	a := Abilities{
		Plan: PlanClient, URLs: URLsOnce, Checkpoints: m.checkpoint != nil, TakesOver: m.create.resumed != nil,
		Probes: m.probe != nil, Aborts: m.abort != nil, Samples: m.samples != nil,
	}
	switch {
	case m.create.parts != nil && m.limits.TakesHint:
		a.Plan = PlanWish
	case m.create.parts != nil:
		a.Plan = PlanAPI
	}
	switch {
	case m.part.path != nil:
		a.URLs = URLsNone
	case m.presign != nil:
		a.URLs = URLsAgain
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
