package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// template is the address of a request below the base: literal text and, in
// turn, fields of $upload. It has one more text than fields.
type template struct {
	texts, fields []string
}

// String is the path as the manifest has it.
func (t *template) String() string {
	var b strings.Builder
	for i, text := range t.texts {
		b.WriteString(text)
		if i < len(t.fields) {
			b.WriteString("{" + t.fields[i] + "}")
		}
	}
	return b.String()
}

var (
	sendText  = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE)(?: (/\S*))?$`)
	fieldText = regexp.MustCompile(`\{([^{}]*)\}`)
	fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// parseSend reads "METHOD /path/{field}"; without a path the template is nil.
func parseSend(s string) (method string, t *template, err error) {
	m := sendText.FindStringSubmatch(s)
	if m == nil {
		return "", nil, fmt.Errorf("%q is not a method and a path, such as POST /uploads/{id}/complete", s)
	}
	if m[2] == "" {
		return m[1], nil, nil
	}
	if strings.ContainsAny(m[2], "#\\") {
		return "", nil, fmt.Errorf("%q has a # or a \\ in its path", s)
	}
	t = &template{}
	rest := m[2]
	for {
		at := fieldText.FindStringSubmatchIndex(rest)
		if at == nil {
			t.texts = append(t.texts, rest)
			break
		}
		name := rest[at[2]:at[3]]
		if !fieldName.MatchString(name) {
			return "", nil, fmt.Errorf("{%s} is not the name of a field of $upload", name)
		}
		t.texts, t.fields = append(t.texts, rest[:at[0]]), append(t.fields, name)
		rest = rest[at[1]:]
	}
	if strings.ContainsAny(strings.Join(t.texts, ""), "{}") {
		return "", nil, fmt.Errorf("%q has a brace without its other half", s)
	}
	path, _, _ := strings.Cut(m[2], "?")
	if climbs(path) {
		return "", nil, fmt.Errorf("%q has . or .. in its path", s)
	}
	return m[1], t, nil
}

// expand puts the fields of $upload in, escaped, so that each stays in its
// place in the path or in the query.
func (t *template) expand(up map[string]any) (string, error) {
	var b strings.Builder
	for i, text := range t.texts {
		b.WriteString(text)
		if i == len(t.fields) {
			break
		}
		v, ok := toText(up[t.fields[i]])
		if !ok || v == "" {
			return "", fmt.Errorf("$upload has no %s to put into the path", t.fields[i])
		}
		if climbs(v) || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("$upload.%s is %s, which would lead to another path", t.fields[i], show(v))
		}
		if strings.Contains(b.String(), "?") {
			b.WriteString(url.QueryEscape(v))
		} else {
			b.WriteString(url.PathEscape(v))
		}
	}
	path, _, _ := strings.Cut(b.String(), "?")
	if climbs(path) {
		return "", errors.New("the path would have . or .. in it")
	}
	return b.String(), nil
}

// climbs reports whether a path has an element that stands for another one.
func climbs(path string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }), func(s string) bool {
		s = strings.ReplaceAll(strings.ToLower(s), "%2e", ".")
		return s == "." || s == ".."
	})
}
