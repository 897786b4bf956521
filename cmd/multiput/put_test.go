package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/handoff"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// TestOutdated checks when a sender is told to have its plan renewed: also a little
// before its URLs expire, when it looks for a key that it does not have.
func TestOutdated(t *testing.T) {
	now := time.Now()
	urls := func(left time.Duration) *handoff.Plan {
		return &handoff.Plan{Parts: []handoff.Part{{Number: 1, URL: "https://store.example/1", Expires: now.Add(left)}}}
	}
	noKey := fmt.Errorf("S3: %w: no AWS credentials", upload.ErrDenied)
	refused := fmt.Errorf("%w: %w", upload.ErrDenied, &transport.Error{Status: 403, Code: "AccessDenied"})
	for name, c := range map[string]struct {
		plan    *handoff.Plan
		keyless bool
		err     error
		want    bool
	}{
		"no key to renew them":         {urls(time.Second), true, noKey, true},
		"refused, and over by now":     {urls(-time.Second), true, refused, true},
		"refused for another reason":   {urls(time.Hour), true, refused, false},
		"refused with a key":           {urls(time.Hour), false, refused, false},
		"the store says so":            {urls(time.Hour), false, upload.ErrExpired, true},
		"parts that need the key":      {&handoff.Plan{Parts: []handoff.Part{{Number: 1}}}, true, noKey, false},
		"the network, before the end":  {urls(time.Second), true, upload.ErrReply, false},
		"the key that is there is bad": {urls(time.Second), false, noKey, false},
	} {
		if got := outdated(c.plan, c.keyless, c.err, now); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
