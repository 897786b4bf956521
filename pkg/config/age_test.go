package config_test

import (
	"testing"
	"time"

	"github.com/multiput/multiput/pkg/config"
)

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"0s": 0, "0": 0, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * day, "0d": 0, "1d12h": 36 * time.Hour, "106751d": 106751 * day,
	} {
		if got, err := config.ParseAge(s); err != nil || got != want {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "7", "d", "-1h", "-1d", "1d-1h", "+1h", "1d+1h", "soon", "1.5d", "1h1d", "1d1d", "106752d", "99999999999999999999d", "106751d24h", "7D"} {
		if got, err := config.ParseAge(s); err == nil {
			t.Errorf("%q is %s", s, got)
		}
	}
}
