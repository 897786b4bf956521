package text_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/multiput/multiput/pkg/internal/text"
)

// Text of two or four bytes a character is named, also without a mark: read as a
// list with NULs it would be one of single letters, and "." is a directory.
func TestWideText(t *testing.T) {
	for _, s := range []string{
		"a.bin\n", "./a.bin\r\n./b.bin\r\n", "sk-0123.abc", `C:\a`, "資料/写真アルバム\n", "k: v\n", "ab/ü.txt\nñ\n", "資料", "😁.bin\n",
	} {
		for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
			var two, four []byte
			for _, u := range utf16.Encode([]rune(s)) {
				two = order.AppendUint16(two, u)
			}
			for _, r := range s {
				four = order.AppendUint32(four, uint32(r))
			}
			for _, mark := range []rune{0, '\ufeff'} {
				if mark != 0 {
					two, four = append(order.AppendUint16(nil, uint16(mark)), two...), append(order.AppendUint32(nil, uint32(mark)), four...)
				}
				if _, err := text.Plain(two); (err == nil || !strings.Contains(err.Error(), "UTF-16")) && (mark != 0 || ascii(s)) {
					t.Errorf("%q in UTF-16, %s endian: %v", s, name, err)
				}
				if _, err := text.Plain(four); err == nil || !strings.Contains(err.Error(), "UTF-32") {
					t.Errorf("%q in UTF-32, %s endian: %v", s, name, err)
				}
			}
		}
	}
}

// ascii reports whether a text has a character of one byte: without a mark,
// two bytes a character are told by its NULs.
func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x80 }) >= 0
}

// A list of names with a NUL behind each is plain text, whatever the names.
func TestListWithNULsIsPlain(t *testing.T) {
	for _, s := range []string{
		"", "a", "a\n", "a\x00", "a\x00b\x00c\x00", "a\x00.\x00bc\x00", "./a\x00./b\x00", "a.bin\x00b\nc.bin\x00",
		"a\x00bb\x00\n\x00", "dir/\x00x\x00", "資料/写真\x00ü\x00", "\x00a\x00",
	} {
		if got, err := text.Plain([]byte(s)); err != nil || string(got) != s {
			t.Errorf("%q is read as %q, %v", s, got, err)
		}
	}
}
