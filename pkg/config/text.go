package config

import (
	"bytes"
	"errors"
)

// errUTF16 is a text that Windows programs write, and that is read as UTF-8
// nowhere.
var errUTF16 = errors.New("it is UTF-16 text: save it as UTF-8")

// PlainText is a file's text without a byte order mark. UTF-16, by its mark, is
// an error.
func PlainText(b []byte) ([]byte, error) {
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) {
		return nil, errUTF16
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil
}
