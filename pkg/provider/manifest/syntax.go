package manifest

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multiput/multiput/pkg/internal/text"
	"github.com/multiput/multiput/pkg/provider/spec"
)

// document is the one YAML document in a text.
func document(b []byte) (*yaml.Node, error) {
	if len(b) > MaxFile {
		return nil, errors.New("is too long for a manifest")
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty")
	case err != nil:
		if _, wide := text.Plain(b); wide != nil { // YAML has UTF-16 with a mark, and no more
			return nil, wide
		}
		return nil, &syntaxError{strings.TrimPrefix(err.Error(), "yaml: ")}
	case len(doc.Content) != 1:
		return nil, errors.New("is empty")
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document")
	}
	return doc.Content[0], nil
}

// syntaxError is what the reader of YAML says.
type syntaxError struct{ text string }

func (e *syntaxError) Error() string { return "is not YAML: " + e.text }

var (
	lineText  = text.Pattern(`^line (\d+): `)
	aliasText = text.Pattern(`^unknown anchor '(.+)' referenced$`)
)

// placed is the error of a document, where it is.
func placed(text []byte, err error) spec.Problem {
	var s *syntaxError
	if !errors.As(err, &s) {
		return spec.Problem{Text: err.Error()}
	}
	line, what := 0, s.text
	if m := lineText().FindStringSubmatch(s.text); m != nil {
		line, _ = strconv.Atoi(m[1])
		what = s.text[len(m[0]):]
	}
	if strings.HasPrefix(what, "did not find expected") {
		line++ // the reader counts these from 0
	}
	alias := aliasText().FindStringSubmatch(s.text)
	if line == 0 && alias == nil {
		line = syntaxLine(text, err)
	}
	if last := bytes.Count(bytes.TrimRight(text, "\r\n"), []byte("\n")) + 1; line > last {
		return spec.Problem{Line: last, Column: len(bytes.TrimRight(lineOf(text, last), "\r\n")) + 1, Text: (&syntaxError{what}).Error()}
	}
	if line > 0 {
		p := spec.Problem{Line: line, Column: syntaxColumn(text, line, err), Text: (&syntaxError{what}).Error()}
		if at := flowSend().FindIndex(lineOf(text, line)); at != nil {
			p.Column = at[1]
			p.Text += "; inside { }, a send with a ? or a { has to be in quotes: send: \"GET /x/{id}\""
		}
		return p
	}
	if alias != nil {
		p := spec.Problem{Text: "has the alias *" + alias[1] + "; a manifest has no anchors and no aliases"}
		if before, _, ok := bytes.Cut(text, []byte("*"+alias[1])); ok {
			p.Line = 1 + bytes.Count(before, []byte("\n"))
			p.Column = len(before) - bytes.LastIndexByte(before, '\n')
		}
		return p
	}
	return spec.Problem{Text: err.Error()}
}

// flowSend is a flow mapping with a send that is not in quotes and would have
// to be.
var flowSend = text.Pattern(`\{.*\bsend: *[A-Z]+ [^"'\s]*[?{]`)

// lineOf is one line of a text, counted from 1.
func lineOf(text []byte, line int) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	if line < 1 || line > len(lines) {
		return nil
	}
	return lines[line-1]
}

// syntaxLine is the line of an error of which the reader of YAML does not say it:
// the first with which the error is there.
func syntaxLine(text []byte, want error) int {
	end := 0
	for line := 1; end < len(text) && len(text) <= 64<<10; line++ {
		end += len(lineOf(text[end:], 1))
		if _, err := document(text[:end]); err != nil && err.Error() == want.Error() {
			return line
		}
	}
	return 0
}

// syntaxColumn is the column of an error in a line, which the reader of YAML
// does not say: that from which on the error is there, however much of the line
// follows.
func syntaxColumn(text []byte, line int, want error) int {
	start := 0
	for range line - 1 {
		next := bytes.IndexByte(text[start:], '\n') + 1
		if next == 0 {
			return 0
		}
		start += next
	}
	content := bytes.TrimRight(lineOf(text, line), "\r\n")
	column := 1 + len(content) - len(bytes.TrimLeft(content, " "))
	const longest = 500
	if len(content) > longest || len(text) > 64<<10 {
		return column
	}
	for end := len(content); end >= column; end-- {
		if _, err := document(text[:start+end]); err == nil || err.Error() != want.Error() {
			return end + 1
		}
	}
	return column
}
