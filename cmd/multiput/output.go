package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/transport"
	"github.com/multiput/multiput/pkg/upload"
)

// output prints results on stdout: a line each, an object, or what an
// expression selects from it.
type output struct {
	w        io.Writer
	terminal bool // whether w is one
	json     bool
	jq       *gojq.Code
}

// object is the documented, versioned form of a result.
type object struct {
	Schema       int             `json:"schema"`
	File         string          `json:"file"`
	Provider     string          `json:"provider"`
	Upload       string          `json:"upload"`
	Result       string          `json:"result"`
	Size         int64           `json:"size"`
	Parts        int             `json:"parts"`
	PartsReused  int             `json:"parts_reused"`
	Concurrency  int             `json:"concurrency"`
	BytesSent    int64           `json:"bytes_sent"`
	Seconds      float64         `json:"seconds"`
	Verification string          `json:"verification"`
	Reply        json.RawMessage `json:"reply"`
}

func (a *app) output(cfg config.Config) (*output, error) {
	o := &output{w: a.stdout, terminal: a.shown, json: cfg.JSON}
	if cfg.JQ == "" {
		return o, nil
	}
	q, err := gojq.Parse(cfg.JQ)
	if err == nil {
		o.jq, err = gojq.Compile(q)
	}
	if err != nil {
		return nil, usagef("--jq: %w", err)
	}
	return o, nil
}

// print writes one result, in one write, as the user wants it. What cannot be
// written ends a batch: no other result could be written either.
func (o *output) print(ctx context.Context, file string, r upload.Report) error {
	err := o.result(ctx, file, r)
	if err != nil && !errors.As(err, new(*jqError)) {
		return &stopError{err}
	}
	return err
}

// stopError reads as what it wraps, and is an upload.ErrStop too.
type stopError struct{ err error }

func (e *stopError) Error() string   { return e.err.Error() }
func (e *stopError) Unwrap() []error { return []error{e.err, upload.ErrStop} }

func (o *output) result(ctx context.Context, file string, r upload.Report) error {
	if o.jq == nil && !o.json {
		_, err := fmt.Fprintln(o.w, o.text(r.Result.Value))
		return err
	}
	reply := r.Result.Reply
	if len(reply) == 0 {
		reply = json.RawMessage("null")
	}
	b, err := json.Marshal(object{
		Schema: 1, File: file, Provider: r.Provider, Upload: r.Upload, Result: r.Result.Value,
		Size: r.File.Size, Parts: r.Parts, PartsReused: r.PartsReused, Concurrency: r.Concurrency, BytesSent: r.BytesSent,
		Seconds: r.Elapsed.Seconds(), Verification: r.Verification, Reply: reply,
	})
	if err != nil {
		return err
	}
	if o.jq == nil {
		_, err = fmt.Fprintf(o.w, "%s\n", transport.VisibleJSON(b))
		return err
	}
	return o.selected(ctx, b)
}

// value writes what a command that uploads nothing has to tell, as JSON or what
// the expression selects from it.
func (o *output) value(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if o.jq == nil {
		_, err = fmt.Fprintf(o.w, "%s\n", transport.VisibleJSON(b))
	} else {
		err = o.selected(ctx, b)
	}
	var bad *jqError
	if errors.As(err, &bad) {
		return usagef("--jq: %v", bad.err)
	}
	return unwritten(err)
}

// outputError: what was asked for could not be written to stdout.
type outputError struct {
	err  error
	lost bool // it is needed: it is not enough that a reader has read enough
}

func (e *outputError) Error() string {
	if at, ok := errors.AsType[*fs.PathError](e.err); ok {
		return "write to stdout: " + at.Err.Error()
	}
	return "write to stdout: " + e.err.Error()
}
func (e *outputError) Unwrap() error { return e.err }

func unwritten(err error) error {
	if err == nil {
		return nil
	}
	return &outputError{err: err}
}

func (o *output) selected(ctx context.Context, b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	var out strings.Builder
	it := o.jq.RunWithContext(ctx, exact(v))
	for {
		v, more := it.Next()
		if !more {
			break
		}
		if err, failed := v.(error); failed {
			return &jqError{err}
		}
		if s, raw := v.(string); raw {
			out.WriteString(o.text(s) + "\n")
			continue
		}
		b, err := gojq.Marshal(v)
		if err != nil {
			return err
		}
		out.Write(append(transport.VisibleJSON(b), '\n'))
	}
	_, err := io.WriteString(o.w, out.String())
	return err
}

// text is a text of the provider's: to a program byte for byte, on a terminal
// with what would act on it escaped.
func (o *output) text(s string) string {
	if o.terminal {
		return transport.VisibleLines(s)
	}
	return s
}

// visible is a name or a result for a page of lines on stdout: to a program as
// it is, but that none of its line breaks may begin a line of the page.
func (a *app) visible(s string) string {
	if a.shown {
		return transport.Visible(s)
	}
	return strings.ReplaceAll(s, "\n", `\n`)
}

// jqError is an expression that failed on a result.
type jqError struct{ err error }

func (e *jqError) Error() string { return "--jq: " + e.err.Error() }
func (e *jqError) Unwrap() error { return e.err }

// exact turns JSON numbers into the types that gojq computes with, without
// rounding.
func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return n
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	}
	return v
}
