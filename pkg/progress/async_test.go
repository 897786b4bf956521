package progress

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// What is written comes out, in order, by the time it is flushed.
func TestAsyncWrites(t *testing.T) {
	var b bytes.Buffer
	messages := NewAsync(&b)
	var want strings.Builder
	for range 1000 {
		if _, err := messages.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
		want.WriteString("a line\n")
	}
	messages.Flush()
	if b.String() != want.String() {
		t.Errorf("%d bytes came out of %d", b.Len(), want.Len())
	}
	messages.Close()
}

// A reader that has stopped blocks no writer, and what it does not take is
// bounded.
func TestAsyncDoesNotBlock(t *testing.T) {
	r, w := io.Pipe() // no reader
	defer r.Close()
	messages := NewAsync(w)
	line := bytes.Repeat([]byte("x"), 1000)
	for range 3 * maxBuffered / len(line) {
		if n, err := messages.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(messages.said) > maxBuffered {
		t.Errorf("%d bytes wait", len(messages.said))
	}
	messages.Close() // it ends, a moment later
}
