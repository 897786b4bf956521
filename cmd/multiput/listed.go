package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/multiput/multiput/pkg/config"
	"github.com/multiput/multiput/pkg/upload"
)

// listed gives the names in a file, or in standard input: one a line, or, where
// there is a NUL among the first of them, with a NUL behind each. An error is the
// last that is given.
func (a *app) listed(from string) (iter.Seq2[string, error], error) {
	in, end := a.stdin, func() {}
	if from != stdin {
		f, err := os.Open(from)
		if err != nil {
			return nil, &upload.UnreadableError{Path: "--files-from " + from, Err: err}
		}
		in, end = f, func() { f.Close() } //nolint:errcheck // it was only read
	}
	const ahead = 64 << 10 // bytes, more than a name has
	r := bufio.NewReaderSize(in, ahead)
	begin, err := r.Peek(ahead)
	text, bad := config.PlainText(begin)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = cmp.Or(cause(err), bad); err != nil {
		end()
		return nil, fmt.Errorf("--files-from %s: %w: %w", from, upload.ErrNoInput, err)
	}
	_, _ = r.Discard(len(begin) - len(text)) // it is there
	delim := byte('\n')
	if bytes.IndexByte(text, 0) >= 0 {
		delim = 0
	}
	return func(yield func(string, error) bool) {
		defer end()
		for {
			name, err := r.ReadString(delim)
			name = strings.TrimSuffix(name, string(rune(delim)))
			if delim == '\n' {
				name = strings.TrimSuffix(name, "\r")
			}
			if name == stdin {
				name = "." + string(os.PathSeparator) + name // a file of that name
			}
			if name != "" && !yield(name, nil) {
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield("", fmt.Errorf("--files-from %s: %w: %w", from, upload.ErrNoInput, err))
				return
			}
		}
	}, nil
}
