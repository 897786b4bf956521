package s3

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/multiput/multiput/pkg/internal/text"
)

// shapes are what values look like that are no free text. Stores other than AWS
// have other regions and storage classes.
var shapes = map[string]func() *regexp.Regexp{
	"region":                regionText,
	"storage-class":         text.Pattern(`^[A-Za-z0-9_-]+$`),
	"expected-bucket-owner": text.Pattern(`^[0-9]{12}$`),
}

// regionText is what a region looks like: it becomes a part of the signature's
// scope, and of AWS's host name.
var regionText = text.Pattern(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// pairs reads k=v,k2=v2 or a JSON object of texts.
func pairs(text string) (map[string]string, error) {
	m := map[string]string{}
	put := func(k, v string) error {
		if _, twice := m[k]; twice {
			return fmt.Errorf("%q is given twice", k)
		}
		if k == "" {
			return errors.New("a name is empty")
		}
		m[k] = v
		return nil
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return m, pairsOf(text, put)
	}
	if text == "" {
		return m, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not KEY=VALUE", pair)
		}
		if err := put(strings.TrimSpace(k), strings.TrimSpace(v)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// pairsOf reads a JSON object of texts. A name that is there twice is not lost, as
// it is in a map.
func pairsOf(text string, put func(k, v string) error) error {
	if !json.Valid([]byte(text)) {
		return fmt.Errorf("is not JSON: %w", json.Unmarshal([]byte(text), new(any)))
	}
	d := json.NewDecoder(strings.NewReader(text))
	_, err := d.Token() // the brace
	for err == nil && d.More() {
		var k, v json.Token
		if k, err = d.Token(); err != nil {
			break
		}
		if v, err = d.Token(); err != nil {
			break
		}
		value, is := v.(string)
		if !is {
			return fmt.Errorf("is not a JSON object of strings: %q is not one", k)
		}
		err = put(k.(string), value)
	}
	return err
}

// putMetadata adds the headers of an object's metadata.
func putMetadata(to http.Header, meta map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		name := http.CanonicalHeaderKey("X-Amz-Meta-" + k)
		switch {
		case !headerName(k):
			return fmt.Errorf("%q cannot be the name of a header: metadata are headers", k)
		case !sendable(meta[k]):
			return fmt.Errorf("the value of %q has a character in it that a header cannot carry: metadata are headers", k)
		case to[name] != nil:
			return fmt.Errorf("%q is given twice: upper and lower case are the same in it", k)
		}
		to.Set(name, meta[k])
	}
	return nil
}

// maxMetadata is the most bytes of metadata that AWS takes, names and values. Other
// stores take more.
const maxMetadata = 2 << 10

// metadataSize is how many bytes of metadata an object has.
func metadataSize(h http.Header) int {
	n := 0
	for k := range h {
		if name, is := strings.CutPrefix(k, "X-Amz-Meta-"); is {
			n += len(name) + len(h.Get(k))
		}
	}
	return n
}

// The most that an object has of tags, and of characters in one.
const (
	maxTags     = 10
	maxTagName  = 128
	maxTagValue = 256
)

// checkTags says what S3 does not take of tags.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("there are %d, and S3 takes at most %d", len(tags), maxTags)
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		switch {
		case utf8.RuneCountInString(k) > maxTagName:
			return fmt.Errorf("the name %.20q… is longer than %d characters", k, maxTagName)
		case utf8.RuneCountInString(v) > maxTagValue:
			return fmt.Errorf("the value of %q is longer than %d characters", k, maxTagValue)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return fmt.Errorf("%q: names that begin with aws: are reserved", k)
		case strings.ContainsFunc(k+v, notOfTags):
			return fmt.Errorf("%q has a character that tags cannot have: letters, digits, spaces and + - = . _ : / @ are allowed", k)
		}
	}
	return nil
}

// notOfTags reports whether no tag can have a character.
func notOfTags(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.Zs) && !strings.ContainsRune("+-=._:/@", r) || r == utf8.RuneError
}

// sendable reports whether a header can carry a text. S3 takes no others than
// those of ASCII.
func sendable(s string) bool {
	return strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func headerName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || r <= ' ' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}
