package text_test

import (
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/text"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		given   string
		reading text.Reading
		want    int64
	}{
		{"0", text.Exact, 0}, {"12", text.Decimal, 12}, {"1000", text.Exact, 1000}, {"1500000", text.Decimal, 1500000},
		{"512 B", text.Exact, 512}, {"8MiB", text.Decimal, 8 << 20}, {"64 MiB", text.Exact, 64 << 20}, {"10mib", text.Binary, 10 << 20},
		{"1.5GiB", text.Binary, 3 << 29}, {"1TiB", text.Decimal, 1 << 40}, {"2PiB", text.Exact, 2 << 50},
		{"500k", text.Decimal, 500_000}, {"64k", text.Decimal, 64_000}, {"1.5M", text.Decimal, 1_500_000}, {"3T", text.Decimal, 3e12}, {"500k", text.Binary, 500 << 10},
		{"1.5MB", text.Decimal, 1_500_000}, {"10MB", text.Decimal, 10_000_000}, {"250gb", text.Binary, 250 << 30}, {"1TB", text.Binary, 1 << 40},
		{"1.3MiB", text.Decimal, 1363148}, // and 8 tenths of a byte
		{"4611686018427387903", text.Decimal, 1<<62 - 1},
	} {
		if got, err := text.ParseSize(c.given, c.reading); err != nil || got != c.want {
			t.Errorf("%q, reading %d: %d, %v; want %d", c.given, c.reading, got, err, c.want)
		}
	}
	for _, c := range []struct {
		given   string
		reading text.Reading
		want    string
	}{
		{"", text.Decimal, "not a size"}, {"-1", text.Decimal, "not a size"}, {"MiB", text.Binary, "not a size"}, {"1e3", text.Binary, "not a size"},
		{"ten", text.Decimal, "not a size"}, {"NaN", text.Decimal, "not a size"}, {"Inf", text.Decimal, "not a size"}, {" 1", text.Decimal, "not a size"}, {"1\n", text.Decimal, "not a size"},
		{"1XB", text.Exact, "the units are"}, {"8 potatoes", text.Decimal, "the units are"}, {"1Ki", text.Decimal, "the units are"},
		{"8GB", text.Exact, "two readings: write GiB or plain bytes"}, {"8k", text.Exact, "two readings: write KiB"},
		{"0.3B", text.Binary, "less than a byte"}, {"0.000001k", text.Decimal, "less than a byte"},
		{"4611686018427387904", text.Decimal, "too large"}, {"99999999999999GB", text.Decimal, "too large"}, {"999999999999999PiB", text.Binary, "too large"},
	} {
		if got, err := text.ParseSize(c.given, c.reading); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, reading %d: %d, %v; want an error with %q", c.given, c.reading, got, err, c.want)
		}
	}
}
