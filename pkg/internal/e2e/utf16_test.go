package e2e

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// What Windows programs write as text is named, wherever a text is read.
func TestUTF16IsNamed(t *testing.T) {
	r := newRig(t, "archetype", 64<<10)
	file := r.file(t, 1000)
	for name, order := range map[string]binary.AppendByteOrder{
		"little": binary.LittleEndian, "big": binary.BigEndian, "little, no mark": binary.LittleEndian, "big, no mark": binary.BigEndian,
	} {
		text := file + "\n.\n"
		if !strings.HasSuffix(name, "no mark") {
			text = "\ufeff" + text
		}
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		path := filepath.Join(r.dir, name+".txt")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		for flag, code := range map[string]int{"--files-from": exitNoInput, "--api-key-file": exitDenied} {
			_, messages, got := r.said(t, "upload", "-p", "archetype", file, flag, path)
			if got != code || !strings.Contains(messages, path+": ") || !strings.Contains(messages, "UTF-16") {
				t.Errorf("%s endian, %s: exit code %d: %s", name, flag, got, messages)
			}
		}
	}
}
