package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// errUTF16 and errUTF32 are text that Windows programs write, and that is read as
// UTF-8 nowhere.
var (
	errUTF16 = errors.New("it is UTF-16 text: save it as UTF-8")
	errUTF32 = errors.New("it is UTF-32 text: save it as UTF-8")
)

// Plain is a file's text without a byte order mark. UTF-16 and UTF-32 are
// errors, with their marks or without.
func Plain(b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(b, []byte("\x00\x00\xfe\xff")), wider(b):
		return nil, errUTF32
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")), wide(b):
		return nil, errUTF16
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil
}

// wider reports whether a text without a mark has four bytes a character: no other
// text is made of such numbers only.
func wider(b []byte) bool {
	is := func(order binary.ByteOrder) bool {
		for i := 0; i+4 <= len(b); i += 4 {
			if r := order.Uint32(b[i:]); r == 0 || r > utf8.MaxRune {
				return false
			}
		}
		return len(b) > 0 && len(b)%4 == 0
	}
	return is(binary.LittleEndian) || is(binary.BigEndian)
}

// wide reports whether a text without a mark has two bytes a character.
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
