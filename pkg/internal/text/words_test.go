package text

import (
	"strings"
	"testing"
)

func TestDidYouMean(t *testing.T) {
	names := []string{"purpose", "md5", "expires_after"}
	for s, want := range map[string]string{"purpsoe": "purpose", "Purpose": "purpose", "md": "md5", "expire_after": "expires_after", "color": "", "": "", strings.Repeat("x", 1000): ""} {
		got := DidYouMean(s, names)
		if want != "" && got != `, did you mean "`+want+`"?` || want == "" && got != "" {
			t.Errorf("%.20s: %s", s, got)
		}
	}
}
