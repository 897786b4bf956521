package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/upload"
)

// One of a thing is written in the singular.
func TestSingular(t *testing.T) {
	f := &file{name: "f"}
	report := upload.Report{Parts: 1, Concurrency: 2, BytesSent: 5, Elapsed: time.Second, Verification: "md5"}
	stored := upload.Report{Parts: 1, PartsReused: 1, Concurrency: 2, Verification: "md5"}
	for want, got := range map[string]string{
		"concurrency: 1 part at once instead of 2": Text(upload.Concurrency{Is: 1, Was: 2, Why: upload.WhyEnough}),
		"the provider already has 1 range of":      Text(upload.PlanMade{Parts: 1, Existing: 1}),
		"; 1 presigned URL came with it":           Text(upload.PlanMade{Parts: 1, URLs: 1}),
		", 1 part, verified":                       f.summary(false, report),
		", 1 part, stored before, verified":        f.summary(false, stored),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
