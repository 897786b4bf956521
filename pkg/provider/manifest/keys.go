package manifest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// shownText reads text of one line that can be shown.
func (n node) shownText() string {
	s := n.text()
	if transport.Clean(s) != s {
		n.fail("has characters that cannot be shown, or more of them than fit")
	}
	return s
}

// plainText reads text of one line that can be sent.
func (n node) plainText() string {
	s := n.text()
	if !valueText().MatchString(s) {
		n.fail("has a character that is not plain ASCII")
	}
	return s
}

func (n node) send() (string, *template) {
	s := n.text()
	if s == "" {
		return "", nil
	}
	method, path, err := parseSend(s)
	if err != nil {
		n.fail("%v", err)
	}
	return method, path
}

func (n node) digest() string {
	s := n.text()
	if !slices.Contains(digestNames, s) {
		n.fail("is %q%s; the digests are %s", s, text.DidYouMean(s, digestNames), strings.Join(digestNames, ", "))
		return upload.DigestMD5
	}
	return s
}

func (n node) count() int {
	i := n.integer()
	if i <= 0 {
		n.fail("expected at least 1, found %d", i)
	}
	return i
}

func (n node) base() *template {
	s := n.text()
	if s == "" {
		return nil
	}
	t, err := parseTemplate(s)
	if err == nil {
		// With a value in the place of each option, it has to be a URL: what an
		// option makes of it is looked at when it is set.
		var b strings.Builder
		for i, text := range t.texts {
			b.WriteString(text)
			if i == len(t.fields) {
				break
			}
			if f := t.fields[i]; f.of != "options" || f.slashes {
				err = fmt.Errorf("has {%s}; only {options.NAME} can stand in it", f)
			}
			b.WriteString(map[bool]string{true: "80", false: "127.0.0.1"}[strings.HasSuffix(text, ":")]) // a port, or part of a host or path
		}
		if _, bad := parseBase(b.String()); err == nil && bad != nil {
			err = bad
		}
	}
	if err != nil {
		n.fail("%v", err)
		return nil
	}
	t.texts[len(t.texts)-1] = strings.TrimRight(t.texts[len(t.texts)-1], "/")
	return t
}

func (a *auth) keys() map[string]func(node) {
	return map[string]func(node){
		"header": func(v node) { a.header = v.headerName() },
		"field":  func(v node) { a.field = v.plainText() },
		"value":  func(v node) { a.value = v.plainText() },
		"env": func(v node) {
			if a.env = v.text(); !envText().MatchString(a.env) {
				v.fail("is %q, which is not a name of an environment variable (A-Z, 0-9 and _)", a.env)
			}
		},
	}
}

func (a *auth) check(n node) {
	switch {
	case a.header == "" && a.field == "":
		n.infer(place{n.Line, n.Column}, "has no header")
	case a.header != "" && a.field != "":
		n.infer(place{n.Line, n.Column}, "has a header and a field, which exclude each other")
	}
	if strings.Count(a.value, "{secret}") != 1 {
		n.infer(place{n.Line, n.Column}, `has no value with {secret} in it, such as "Bearer {secret}"`)
	}
}

// unsettable are the headers that are not a manifest's, nor a reply's, to set.
var unsettable = []string{
	"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

func (n node) headerName() string {
	s := n.text()
	switch {
	case s == "":
	case !headerText().MatchString(s):
		n.fail("%q is not a name of a header", s)
	case slices.Contains(unsettable, http.CanonicalHeaderKey(s)):
		n.fail("the header %s cannot be set", s)
	}
	return s
}

// anyHeaders reads constant headers, or the expression that makes them.
func (n node) anyHeaders() headers {
	if n.Kind == yaml.ScalarNode {
		return headers{made: n.expr()}
	}
	return headers{fixed: n.headers()}
}

func (n node) headers() map[string]string {
	h := map[string]string{}
	n.each(func(name string, at node) {
		if !headerText().MatchString(name) || slices.Contains(unsettable, http.CanonicalHeaderKey(name)) {
			at.fail("is not a header that can be set")
			return
		}
		h[http.CanonicalHeaderKey(name)] = at.plainText()
	})
	return h
}
