package manifest

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/multiput/multiput/pkg/internal/text"
)

// template is a path below the base, or the base: literal text and, in turn,
// fields. It has one more text than fields.
type template struct {
	texts  []string
	fields []field
}

// field is a value in a path: one of $upload, $options, $file or $part.
type field struct {
	of, name string // of is upload, options, file or part
	slashes  bool   // its slashes are the path's own
}

func (f field) String() string {
	if f.of == "upload" {
		return f.name
	}
	return f.of + "." + f.name
}

// String is the address as the manifest has it.
func (t *template) String() string {
	var b strings.Builder
	for i, text := range t.texts {
		b.WriteString(text)
		if i < len(t.fields) {
			plus := ""
			if t.fields[i].slashes {
				plus = "+"
			}
			b.WriteString("{" + plus + t.fields[i].String() + "}")
		}
	}
	return b.String()
}

var (
	sendText  = text.Pattern(`^([A-Z]{1,20})(?: (/\S*))?$`)
	wholeText = text.Pattern(`^([A-Z]{1,20}) \{(\w+)\}$`)
	fieldText = text.Pattern(`\{([^{}]*)\}`)
	fieldName = text.Pattern(`^(\+?)(?:(options|file|part)\.)?([A-Za-z_][A-Za-z0-9_]*)$`)
)

// parseSend reads "METHOD /path/{field}"; without a path the template is nil.
func parseSend(s string) (method string, t *template, err error) {
	if m := wholeText().FindStringSubmatch(s); m != nil {
		return "", nil, fmt.Errorf("a whole URL has a key of its own now: send: %s, with url: $upload.%s", m[1], m[2])
	}
	m := sendText().FindStringSubmatch(s)
	if m == nil {
		return "", nil, fmt.Errorf("%q is not a method and a path, such as POST /uploads/{id}/complete", s)
	}
	if m[2] == "" {
		return m[1], nil, nil
	}
	if strings.ContainsAny(m[2], "#\\") {
		return "", nil, fmt.Errorf("%q has a # or a \\ in its path", s)
	}
	if t, err = parseTemplate(m[2]); err != nil {
		return "", nil, err
	}
	path, _, _ := strings.Cut(m[2], "?")
	if climbs(path) {
		return "", nil, fmt.Errorf("%q has . or .. in its path", s)
	}
	return m[1], t, nil
}

func parseTemplate(s string) (*template, error) {
	t := &template{}
	rest := s
	for {
		at := fieldText().FindStringSubmatchIndex(rest)
		if at == nil {
			t.texts = append(t.texts, rest)
			break
		}
		name := rest[at[2]:at[3]]
		f := fieldName().FindStringSubmatch(name)
		if f == nil {
			return nil, fmt.Errorf("{%s} is not the name of a field of $upload, nor options.NAME, file.NAME or part.NAME", name)
		}
		if f[2] == "" {
			f[2] = "upload"
		}
		if known, fixed := pathNames[f[2]]; fixed && !slices.Contains(known, f[3]) {
			return nil, fmt.Errorf("{%s} does not exist: $%s has %s", name, f[2], strings.Join(known, ", "))
		}
		t.texts = append(t.texts, rest[:at[0]])
		t.fields = append(t.fields, field{of: f[2], name: f[3], slashes: f[1] != ""})
		rest = rest[at[1]:]
	}
	if strings.ContainsAny(strings.Join(t.texts, ""), "{}") {
		return nil, fmt.Errorf("%q has an unmatched brace", s)
	}
	return t, nil
}

// pathNames are the fields of the variables that have a fixed set of them.
var pathNames = map[string][]string{"file": {"name", "type", "size"}, "part": {"number", "index", "offset", "size"}}

// uses reports whether the template has a field of a variable.
func (t *template) uses(of string) bool {
	return t != nil && slices.ContainsFunc(t.fields, func(f field) bool { return f.of == of })
}

// value is what stands for a field.
func (f field) value(s *scope) (string, error) {
	values, _ := map[string]any{"upload": s.upload, "options": s.options, "file": s.file, "part": s.part}[f.of].(map[string]any)
	v, ok := toText(values[f.name])
	switch {
	case (!ok || v == "") && f.of == "options":
		return "", fmt.Errorf("the option %s is not set, and the path needs it", f.name)
	case !ok || v == "":
		return "", fmt.Errorf("$%s has no %s to put into the path", f.of, f.name)
	case strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("$%s.%s is %s, which would lead to another path", f.of, f.name, show(v))
	}
	return v, nil
}

// expand puts the fields in, escaped, so that each stays in its place in the
// path or in the query.
func (t *template) expand(s *scope) (string, error) {
	var b strings.Builder
	for i, text := range t.texts {
		b.WriteString(text)
		if i == len(t.fields) {
			break
		}
		f := t.fields[i]
		v, err := f.value(s)
		if err != nil {
			return "", err
		}
		if climbs(v) {
			return "", fmt.Errorf("$%s.%s is %s, which would lead to another path", f.of, f.name, show(v))
		}
		switch {
		case strings.Contains(b.String(), "?"):
			b.WriteString(url.QueryEscape(v))
		case f.slashes:
			if strings.HasSuffix(b.String(), "/") {
				v = strings.TrimLeft(v, "/")
			}
			elements := strings.Split(v, "/")
			for i := range elements {
				elements[i] = url.PathEscape(elements[i])
			}
			b.WriteString(strings.Join(elements, "/"))
		default:
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
