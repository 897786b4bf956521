// Package exact reads JSON into the types that gojq knows, without rounding a
// whole number.
package exact

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits is how long a whole number may be before it becomes a float: more
// is neither a size nor an id, and costs more than linear time to read.
const maxDigits = 100

// Decode reads exactly one JSON value into the types that gojq knows, with
// whole numbers exact.
func Decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return nil, errors.New("more follows after the JSON value")
	}
	return normal(v), nil
}

// normal replaces each json.Number in v by an int, a *big.Int or a float64.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		return Number(v.String())
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	}
	return v
}

// Number is the whole number or the float64 that s is.
func Number(s string) any {
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.Atoi(s); err == nil {
			return i
		}
		if len(s) <= maxDigits {
			if i, ok := new(big.Int).SetString(s, 10); ok {
				return i
			}
		}
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range: infinite, which no size accepts
	return f
}
