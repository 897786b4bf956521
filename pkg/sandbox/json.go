package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
)

// object is a JSON object of a request, read field by field: names are
// compared exactly, types strictly, and an unknown field is an error.
// It remembers the first complaint.
type object struct {
	at     string // "" or "parts[3]."
	fields map[string]json.RawMessage
	err    *fieldError
	root   *object
}

// fieldError says which field is wrong.
type fieldError struct {
	field   string
	problem string
	missing bool
}

func (e *fieldError) Error() string {
	if e.field == "" {
		return e.problem
	}
	return e.field + " " + e.problem
}

// readJSON reads the JSON body of a request.
func (c *call) readJSON() (*object, *fieldError) {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, &fieldError{problem: fmt.Sprintf("the Content-Type is %q, not application/json", c.r.Header.Get("Content-Type"))}
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return nil, &fieldError{problem: "JSON is in UTF-8"}
	}
	b, err := io.ReadAll(io.LimitReader(c.r.Body, maxJSON+1))
	if err != nil {
		return nil, &fieldError{problem: "the body broke off"}
	}
	if len(b) > maxJSON {
		return nil, &fieldError{problem: fmt.Sprintf("the body is longer than %d MiB", maxJSON>>20)}
	}
	o := &object{}
	o.root = o
	if o.fields, err = readFields(b); err != nil {
		return nil, &fieldError{problem: "the body is not a JSON object: " + err.Error()}
	}
	return o, nil
}

// readFields reads one JSON object, each of whose names may come once.
func readFields(b []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("it is something else")
	}
	m := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a name is not a string")
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("it has %q twice", name)
		}
		m[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	return m, nil
}

func (o *object) complain(name, problem string, missing bool) {
	if o.root.err == nil {
		o.root.err = &fieldError{o.at + name, problem, missing}
	}
}

// end reports the unknown fields.
func (o *object) end() {
	for name := range o.fields {
		o.complain(name, "is not a field of this call", false)
	}
}

// done ends the object and returns the first complaint about the request.
func (o *object) done() *fieldError {
	o.end()
	return o.root.err
}

func (o *object) has(name string) bool { _, ok := o.fields[name]; return ok }

// take hands out a field once. Complaints about a missing one are made here.
func (o *object) take(name string) (json.RawMessage, bool) {
	v, ok := o.fields[name]
	if !ok {
		o.complain(name, "is missing", true)
		return nil, false
	}
	delete(o.fields, name)
	return v, true
}

func (o *object) text(name string) string {
	v, ok := o.take(name)
	if !ok {
		return ""
	}
	var s string
	if v[0] != '"' || json.Unmarshal(v, &s) != nil {
		o.complain(name, "is not a string", false)
	} else if s == "" {
		o.complain(name, "is empty", true)
	}
	return s
}

// integer reads a whole number of zero or more.
func (o *object) integer(name string) int64 {
	v, ok := o.take(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || n < 0 {
		o.complain(name, "is not a whole number of 0 or more", false)
		return 0
	}
	return n
}

// number reads a number of zero or more, whole or not.
func (o *object) number(name string) float64 {
	v, ok := o.take(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || n < 0 {
		o.complain(name, "is not a number of 0 or more", false)
		return 0
	}
	return n
}

func (o *object) boolean(name string) bool {
	v, ok := o.take(name)
	if ok && string(v) != "true" && string(v) != "false" {
		o.complain(name, "is neither true nor false", false)
	}
	return string(v) == "true"
}

func (o *object) object(name string) *object {
	in := &object{at: o.at + name + ".", root: o.root, fields: map[string]json.RawMessage{}}
	v, ok := o.take(name)
	if !ok {
		return in
	}
	m, err := readFields(v)
	if err != nil {
		o.complain(name, "is not an object", false)
		return in
	}
	in.fields = m
	return in
}

func (o *object) list(name string) []json.RawMessage {
	v, ok := o.take(name)
	if !ok {
		return nil
	}
	var list []json.RawMessage
	if v[0] != '[' || json.Unmarshal(v, &list) != nil {
		o.complain(name, "is not an array", false)
	}
	return list
}

// each reads an array of objects.
func (o *object) each(name string, read func(item *object)) {
	for i, v := range o.list(name) {
		at := fmt.Sprintf("%s[%d]", name, i)
		m, err := readFields(v)
		if err != nil {
			o.complain(at, "is not an object", false)
			return
		}
		item := &object{at: o.at + at + ".", root: o.root, fields: m}
		read(item)
		if item.done() != nil {
			return
		}
	}
}

// texts and integers read arrays of such.
func (o *object) texts(name string) []string {
	var out []string
	for i, v := range o.list(name) {
		var s string
		if v[0] != '"' || json.Unmarshal(v, &s) != nil || s == "" {
			o.complain(fmt.Sprintf("%s[%d]", name, i), "is not a string, or empty", false)
			return nil
		}
		out = append(out, s)
	}
	return out
}

func (o *object) integers(name string) []int {
	var out []int
	for i, v := range o.list(name) {
		n, err := strconv.ParseInt(string(v), 10, 32)
		if err != nil || n < 0 {
			o.complain(fmt.Sprintf("%s[%d]", name, i), "is not a whole number of 0 or more", false)
			return nil
		}
		out = append(out, int(n))
	}
	return out
}

// noBody refuses a body where the API documents none.
func (c *call) noBody() *fieldError {
	if n, _ := io.ReadFull(c.r.Body, make([]byte, 1)); n > 0 {
		return &fieldError{problem: "this call has no body"}
	}
	return nil
}
