package manifest

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/provider/check"
)

var (
	firstCell = regexp.MustCompile("(?m)^\\| ([*`].*?) \\|")
	code      = regexp.MustCompile("`([^`]+)`")
	knownKeys = regexp.MustCompile(`: ([a-z0-9_.\[\]A-Z]*?)\.?zzz: unknown key.* \(known: ([^)]*)\)`)
)

// keysIn are the keys that the tables of sections of the reference have.
func keysIn(t *testing.T, headings ...string) []string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, heading := range headings {
		_, rest, found := strings.Cut(string(b), "\n## "+heading+"\n")
		if !found {
			t.Fatalf("there is no section %s", heading)
		}
		section, _, _ := strings.Cut(rest, "\n## ")
		for _, cell := range firstCell.FindAllStringSubmatch(section, -1) {
			for _, m := range code.FindAllStringSubmatch(cell[1], -1) {
				keys = append(keys, m[1])
			}
		}
	}
	return keys
}

// documentedKeys are all keys that the reference has, but for those of samples.
func documentedKeys(t *testing.T) []string {
	t.Helper()
	requests := keysIn(t, "Requests")
	documented := keysIn(t, "The file", "create", "presign", "part", "complete", "ready", "probe", "Small files", "Errors")
	for _, step := range []string{"create", "presign", "part", "part.confirm", "checkpoint", "complete", "probe", "ready", "abort"} {
		for _, k := range requests {
			k = step + "." + k
			ofPart := strings.HasPrefix(k, "part.") && !strings.HasPrefix(k, "part.confirm.")
			if ofPart && (slices.Contains(documented, k) || slices.Contains([]string{"part.body", "part.text", "part.type", "part.multipart"}, k)) {
				continue // said of part itself, or not there
			}
			documented = append(documented, k)
		}
	}
	return documented
}

// knows are the keys that the parser knows in each mapping of a manifest: it is
// asked by a key that it does not know, and says which it does.
func knows(t *testing.T, err error, into map[string][]string) {
	t.Helper()
	if err == nil {
		t.Fatal("a key zzz is known")
	}
	for _, m := range knownKeys.FindAllStringSubmatch(err.Error(), -1) {
		into[m[1]] = strings.Split(m[2], ", ")
	}
}

// TestReference holds that the tables of the reference have the keys that there
// are, and no others.
func TestReference(t *testing.T) {
	known := map[string][]string{}
	_, err := Parse("x.yaml", []byte(`zzz: 1
auth: {zzz: 1}
limits: {zzz: 1, part: {zzz: 1}}
options: {NAME: {zzz: 1}}
create: {zzz: 1}
presign: {zzz: 1}
part: {zzz: 1, confirm: {zzz: 1}}
checkpoint: {zzz: 1}
complete: {zzz: 1}
probe: {zzz: 1}
abort: {zzz: 1}
ready: {zzz: 1}
small: {zzz: 1}
error: {zzz: 1}
`))
	knows(t, err, known)
	if len(known) != 16 {
		t.Fatalf("asked for %d mappings: %v", len(known), known)
	}
	documented := documentedKeys(t)
	compareKeys(t, documented, known)

	known = map[string][]string{}
	for _, step := range []string{"create", "presign", "part", "confirm", "complete", "probe", "ready"} {
		m := mustParse(t, []byte(whole+`samples:
- zzz: 1
  step: `+step+`
  given: {zzz: 1, file: {zzz: 1}, digests: {zzz: 1}}
  request: {zzz: 1, send: POST /}
  reply: {zzz: 1, status: 200}
  want: {zzz: 1}
`))
		_, err := check.Samples(t.Context(), m.Definition())
		all := map[string][]string{}
		knows(t, err, all)
		for k, v := range all {
			k = strings.TrimPrefix(strings.TrimPrefix(k, "samples[0]"), ".")
			known[k] = append(known[k], v...)
		}
	}
	compareKeys(t, keysIn(t, "Samples"), known)
}

func compareKeys(t *testing.T, documented []string, known map[string][]string) {
	t.Helper()
	var there []string
	for in, keys := range known {
		for _, k := range keys {
			there = append(there, strings.TrimPrefix(in+"."+k, "."))
		}
	}
	slices.Sort(there)
	there = slices.Compact(there)
	for _, k := range there {
		if !slices.Contains(documented, k) {
			t.Errorf("%s is a key, and the reference does not have it", k)
		}
	}
	for i, k := range documented {
		if !slices.Contains(there, k) {
			t.Errorf("the reference has %s, which is no key", k)
		}
		if slices.Contains(documented[:i], k) {
			t.Errorf("the reference has %s twice", k)
		}
	}
}
