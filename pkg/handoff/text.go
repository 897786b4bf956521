package handoff

import (
	"encoding/json"
	"unicode/utf8"
)

// text is a name, a path or a receipt: a JSON string, or what it has in base64 in
// an array where it is not UTF-8.
type text string

// MarshalJSON encodes it.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([][]byte{[]byte(t)})
}

// UnmarshalJSON decodes it.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var raw [1][]byte
		err := json.Unmarshal(b, &raw)
		*t = text(raw[0])
		return err
	}
	return json.Unmarshal(b, (*string)(t))
}
