package exact

import (
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for _, s := range []string{"", "{", "1 2", "{}{}", "<html>", "nul", strings.Repeat("[", 20000)} {
		if v, err := Decode([]byte(s)); err == nil {
			t.Errorf("%.10q is %v", s, v)
		}
	}
}
