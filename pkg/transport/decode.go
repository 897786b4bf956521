package transport

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// mostLayers is how often a body is decoded at most: a server and what stands
// before it encode it once each.
const mostLayers = 3

// decode undoes what was done to the body on its way. Its error is that of a
// success which is longer than it may be.
func (r *Reply) decode(most int64) error {
	said := strings.Split(strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ",")), ",")
	gzips := 0
	for _, name := range slices.Backward(said) {
		switch name = strings.TrimSpace(name); name {
		case "", "identity":
		case "gzip", "x-gzip":
			gzips++
		default:
			// Some name what is no encoding, such as utf-8, or one that is not there.
			if len(r.Body) > 0 && !json.Valid(bytes.TrimPrefix(r.Body, []byte("\ufeff"))) {
				r.Encoding = Clean(strings.TrimSpace(strings.Join(said, ",")))
				return nil
			}
		}
	}
	// Text does not begin as gzip does: what does is gzip, whether it is said or not.
	for layer := 0; layer < mostLayers && (layer < gzips || bytes.HasPrefix(r.Body, []byte("\x1f\x8b\x08"))); layer++ {
		if len(r.Body) == 0 || json.Valid(r.Body) {
			break
		}
		if err := r.gunzip(most); err != nil || r.Encoding != "" {
			return err
		}
	}
	r.Body = fromUTF16(r.Body)
	// UTF-16 without a mark: no text has NULs, and JSON begins with two plain letters.
	if b := r.Body; len(b) > 1 && (b[0] == 0) != (b[1] == 0) && strings.Contains(r.Header.Get("Content-Type"), "json") {
		r.Encoding = "UTF-16"
	}
	return nil
}

// gunzip decodes the body once.
func (r *Reply) gunzip(most int64) error {
	var b []byte
	z, err := gzip.NewReader(bytes.NewReader(r.Body))
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(z, most+1))
	}
	switch long := int64(len(b)) > most; {
	case long && r.Status < 300:
		return &tooLong{most}
	case long:
		b = b[:most]
	case err != nil && r.Status < 300:
		r.Encoding = "broken gzip"
		return nil
	}
	r.Body = b // of a refusal, what can be read is enough
	return nil
}

// fromUTF16 is a text in UTF-8 and without a byte order mark, which says whether it
// was UTF-16.
func fromUTF16(b []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(b, []byte("\ufeff"))
	}
	units := make([]uint16, 0, len(b)/2)
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return []byte(string(utf16.Decode(units)))
}
