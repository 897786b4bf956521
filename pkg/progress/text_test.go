package progress

import (
	"errors"
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

// What the program says of a warning goes behind it in every style, in an annotation
// too, and behind no other.
func TestHintBehindAWarning(t *testing.T) {
	hint := func(w upload.Warning) string {
		if _, is := w.(upload.PartSizeIgnored); is {
			return "do this"
		}
		return ""
	}
	for want, w := range map[string]upload.Warning{
		"3 parts are stored with a part size of 8 bytes, which the upload keeps instead of 4; do this": upload.PartSizeIgnored{Asked: 4, Has: 8, Stored: 3},
		"could not abort upload u0 at the provider: odd":                                               upload.AbortFailed{Upload: "u0", Err: errors.New("odd")},
	} {
		for _, style := range []Style{Bar, Plain, JSON, Warnings} {
			var out strings.Builder
			d := New(&out, Options{Style: style, Hint: hint})
			observe, end := d.File("a.bin")
			observe(w)
			end()
			d.Close()
			if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, want+";") {
				t.Errorf("%s: %q, want %q", style, got, want)
			}
		}
		j, out, _ := inJob("")
		j.Title, j.Hint = "", hint
		j.Observe("a.bin", false, func(upload.Event) {})(w)
		if got := out.String(); got != "::warning file=a.bin::"+want+"\n" {
			t.Errorf("an annotation is %q", got)
		}
	}
}
