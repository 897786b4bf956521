package config

import (
	"bytes"
	"errors"
)

// errUTF16 is a text that Windows programs write, and that is read as UTF-8
// nowhere.
var errUTF16 = errors.New("it is UTF-16 text: save it as UTF-8")

// PlainText is a file's text without a byte order mark. UTF-16 is an error, with
// its mark or without.
func PlainText(b []byte) ([]byte, error) {
	if bytes.HasPrefix(b, []byte("\xff\xfe")) || bytes.HasPrefix(b, []byte("\xfe\xff")) || wide(b) {
		return nil, errUTF16
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil
}

// wide reports whether a text without a mark has two or four bytes a character.
// What else has NULs is a list of names with one behind each: there they are at
// most every second byte, and on even and odd places, but where every name has
// an odd length.
func wide(b []byte) bool {
	var nuls [2]int // on even places, and on odd ones
	for i, c := range b {
		if c == 0 {
			nuls[i%2]++
		}
	}
	all := nuls[0] + nuls[1]
	switch {
	case all*5 > len(b)*3 && bytes.Contains(b, []byte{0, 0, 0}): // four bytes
		return true
	case all == 0 || nuls[0] > 0 && nuls[1] > 0:
		return false
	}
	// A name of one letter has as many NULs, but then no text of paths is made of them.
	if all*5 > len(b)*2 && bytes.ContainsAny(b, "\n./\\") {
		return true
	}
	for i := 0; i+1 < len(b); i += 2 {
		if pair := string(b[i : i+2]); pair == "\n\x00" || pair == "\x00\n" {
			return true
		}
	}
	return false
}
