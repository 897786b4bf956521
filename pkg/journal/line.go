package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/multiput/multiput/pkg/upload"
)

// The lines of parts and receipts. JSON would do, at ten times the time, and
// could not tell a token that is not UTF-8.

// sealParts writes a plan: a line with number, offset and size for each part.
func sealParts(parts []upload.Part) []byte {
	b := make([]byte, sealSize, sealSize+32*len(parts))
	b[sealSize-1] = ' '
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(p.Number), 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Offset, 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Size, 10)
		b = append(b, '\n')
	}
	return signed([]byte(keyParts), b)
}

// openParts reads a plan.
func openParts(value []byte) ([]upload.Part, error) {
	text, err := unseal([]byte(keyParts), value)
	if err != nil || len(text) == 0 {
		return nil, err
	}
	parts := make([]upload.Part, 0, bytes.Count(text, []byte("\n")))
	for len(text) > 0 {
		var v [3]int64
		for i, end := range []byte("  \n") {
			at := bytes.IndexByte(text, end)
			if at < 0 {
				return nil, corruptf("a part that is cut off")
			}
			if v[i], err = strconv.ParseInt(string(text[:at]), 10, 64); err != nil {
				return nil, corruptf("a part: %v", err)
			}
			text = text[at+1:]
		}
		if int64(int(v[0])) != v[0] {
			return nil, corruptf("part number %d", v[0])
		}
		parts = append(parts, upload.Part{Number: int(v[0]), Offset: v[1], Size: v[2]})
	}
	return parts, nil
}

// partKey sorts as part numbers do.
func partKey(n int) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n))
}

// sealReceipt writes a receipt: words like crc32c=0a1b2c3d, token="\"etag\"",
// checkpointed. Its key says which part it is of.
func sealReceipt(r upload.Receipt) pair {
	b := make([]byte, sealSize, 128)
	b[sealSize-1] = ' '
	b = append(b, "crc32c="...)
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, r.CRC32C))
	if r.MD5 != nil {
		b = append(b, " md5="...)
		b = hex.AppendEncode(b, r.MD5)
	}
	b = append(b, " token="...)
	b = strconv.AppendQuote(b, r.Value)
	if r.ETag != "" {
		b = append(b, " etag="...)
		b = strconv.AppendQuote(b, r.ETag)
	}
	if r.Checkpointed {
		b = append(b, " checkpointed"...)
	}
	key := partKey(r.Part)
	return pair{key, signed(key, b)}
}

// openReceipt reads a receipt. Words that it does not know are a later
// version's, and skipped.
func openReceipt(key, value []byte) (r upload.Receipt, err error) {
	text, err := unseal(key, value)
	if err != nil {
		return r, err
	}
	if len(key) != 8 {
		return r, corruptf("a receipt of no part")
	}
	r.Part = int(binary.BigEndian.Uint64(key))
	for line := string(text); line != ""; {
		at := 0
		for at < len(line) && line[at] != '=' && line[at] != ' ' {
			at++
		}
		name, word := line[:at], ""
		line = line[at:]
		if line != "" && line[0] == '=' {
			line = line[1:]
			if word, line, err = cutWord(line); err != nil {
				return r, err
			}
		}
		if line != "" {
			if line[0] != ' ' {
				return r, corruptf("a receipt with a word that does not end")
			}
			line = line[1:]
		}
		switch name {
		case "crc32c":
			sum, err := hex.DecodeString(word)
			if err != nil || len(sum) != 4 {
				return r, corruptf("a receipt with the CRC32C %q", word)
			}
			r.CRC32C = binary.BigEndian.Uint32(sum)
		case "md5":
			if r.MD5, err = hex.DecodeString(word); err != nil {
				return r, corruptf("a receipt with the MD5 %q", word)
			}
		case "token":
			r.Value = word
		case "etag":
			r.ETag = word
		case "checkpointed":
			r.Checkpointed = true
		}
	}
	return r, nil
}

// cutWord takes the value of a word, quoted or not, from the beginning of a
// line.
func cutWord(line string) (word, rest string, err error) {
	if line == "" || line[0] != '"' {
		at := 0
		for at < len(line) && line[at] != ' ' {
			at++
		}
		return line[:at], line[at:], nil
	}
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return "", "", corruptf("a receipt with a word that does not end")
	}
	if word, err = strconv.Unquote(quoted); err != nil {
		return "", "", corruptf("a receipt with the word %s", quoted)
	}
	return word, line[len(quoted):], nil
}
