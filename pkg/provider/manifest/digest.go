package manifest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/upload"
)

// digestNames are the names of digests.
var digestNames = slices.Sorted(maps.Keys(upload.Digests{}.ByName()))

// digestFields are the fields in which expressions see digests.
var digestFields = slices.Sorted(maps.Keys(digestFieldsOf(nil)))

// digestFieldsOf are the fields of digests: those that are not known are null.
func digestFieldsOf(sums map[string][]byte) map[string]any {
	m := map[string]any{}
	for _, name := range digestNames {
		sum := sums[name]
		crc := strings.HasPrefix(name, "crc")
		if m[name] = nil; !crc {
			m[name+"_base64"] = nil
		}
		switch {
		case sum == nil:
		case crc:
			m[name] = base64.StdEncoding.EncodeToString(sum)
		default:
			m[name], m[name+"_base64"] = hex.EncodeToString(sum), base64.StdEncoding.EncodeToString(sum)
		}
	}
	return m
}

// sum computes digests of what write writes.
func sum(names []string, write func(io.Writer) error) (map[string][]byte, error) {
	all := map[string]hash.Hash{}
	var to []io.Writer
	for _, name := range names {
		all[name] = upload.NewHash(name)
		to = append(to, all[name])
	}
	if err := write(io.MultiWriter(to...)); err != nil {
		return nil, err
	}
	sums := map[string][]byte{}
	for name, h := range all {
		sums[name] = h.Sum(nil)
	}
	return sums, nil
}

// askedOfFile are the digests of the file that create asks for.
func (s *steps) askedOfFile() (names []string) {
	s.requests(func(step string, r *request) {
		if step == "create" {
			names = append(names, r.digests...)
		}
	})
	return names
}

// askedOfParts are the digests of parts that presign and part ask for.
func (s *steps) askedOfParts() (names []string) {
	s.requests(func(step string, r *request) {
		if step == "presign" || step == "part" {
			names = append(names, r.digests...)
		}
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// findDigests notes which digests of parts each step has to know ahead: presign
// and part what they ask for, and all steps what of that their expressions
// mention. What steps after part mention is computed when the part is sent.
func (s *steps) findDigests() {
	s.partDigests = map[string][]string{}
	add := func(step, name string) {
		if !slices.Contains(s.partDigests[step], name) {
			s.partDigests[step] = append(s.partDigests[step], name)
		}
	}
	s.requests(func(step string, r *request) {
		for _, name := range s.askedOfParts() {
			if (step == "presign" || step == "part") && slices.Contains(r.digests, name) ||
				slices.ContainsFunc(s.exprsOf(step, r), func(e *expr) bool { return e.asksFor(name) }) {
				add(step, name)
				if slices.Contains(afterPart, step) {
					add("part", name)
					add(later, name)
				}
			}
		}
	})
}

// later is the key of the digests that steps after part mention.
const later = "later"

var afterPart = []string{"confirm", "checkpoint", "complete"}

// fieldOfOther is a field of a variable that is not of parts.
var fieldOfOther = text.Pattern(`\$(digests|upload|file|options|header)\b\s*\.\s*"?\w+`)

// asksFor reports whether an expression may read a digest of a part.
func (e *expr) asksFor(name string) bool {
	return e.mentions("$part") && regexp.MustCompile(`\b`+name+`(_base64)?\b`).MatchString(fieldOfOther().ReplaceAllString(e.text, ""))
}

// known are the fields of these digests.
func known(names []string, sums map[string][]byte) map[string]any {
	all := digestFieldsOf(sums)
	maps.DeleteFunc(all, func(k string, _ any) bool { return !slices.Contains(names, strings.TrimSuffix(k, "_base64")) })
	return all
}

// aheadOf computes digests of parts before they are sent, by their numbers.
func aheadOf(names []string, f upload.File, parts []upload.Part) (map[int]map[string][]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	sums := make(map[int]map[string][]byte, len(parts))
	for _, part := range parts {
		sum, err := ahead(names, f, part.Offset, part.Size)
		if err != nil {
			return nil, &unsent{err}
		}
		sums[part.Number] = sum
	}
	return sums, nil
}

// ahead computes digests of a range of the file before it is sent.
func ahead(names []string, f upload.File, offset, size int64) (map[string][]byte, error) {
	if f.Content == nil {
		return nil, fmt.Errorf("the API wants the %s ahead of the bytes, and they cannot be read before they are sent", strings.Join(names, " and the "))
	}
	return sum(names, func(w io.Writer) error {
		_, err := io.Copy(w, io.NewSectionReader(f.Content, offset, size))
		return err
	})
}

// claim is a digest that a request carries of its own body.
type claim struct{ name, base64 string }

// claims are the digests that a request carries of its body: a store that took
// it has compared them.
func claims(h http.Header) (all []claim) {
	add := func(name, value string) {
		if name = strings.ToLower(name); slices.Contains(digestNames, name) && value != "" {
			all = append(all, claim{name, value})
		}
	}
	add(upload.DigestMD5, h.Get("Content-Md5"))
	for _, name := range digestNames {
		add(name, h.Get("X-Amz-Checksum-"+name))
	}
	for part := range strings.SplitSeq(h.Get("Digest"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		name = strings.ReplaceAll(strings.ToLower(name), "-", "")
		if name == "sha" {
			name = upload.DigestSHA1
		}
		add(name, value)
	}
	return all
}

// proved reports whether a request that was taken carried a digest of its
// bytes: all that it carried have to be theirs.
func proved(cs []claim, sums map[string][]byte) bool {
	for _, c := range cs {
		if sum, ok := sums[c.name]; !ok || base64.StdEncoding.EncodeToString(sum) != c.base64 && hex.EncodeToString(sum) != c.base64 {
			return false
		}
	}
	return len(cs) > 0
}
