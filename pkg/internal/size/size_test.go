package size_test

import (
	"strings"
	"testing"

	"github.com/multiput/multiput/pkg/internal/size"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text    string
		reading size.Reading
		want    int64
	}{
		{"0", size.Exact, 0}, {"12", size.Decimal, 12}, {"1000", size.Exact, 1000}, {"1500000", size.Decimal, 1500000},
		{"512 B", size.Exact, 512}, {"8MiB", size.Decimal, 8 << 20}, {"64 MiB", size.Exact, 64 << 20}, {"10mib", size.Binary, 10 << 20},
		{"1.5GiB", size.Binary, 3 << 29}, {"1TiB", size.Decimal, 1 << 40}, {"2PiB", size.Exact, 2 << 50},
		{"500k", size.Decimal, 500_000}, {"64k", size.Decimal, 64_000}, {"1.5M", size.Decimal, 1_500_000}, {"3T", size.Decimal, 3e12}, {"500k", size.Binary, 500 << 10},
		{"1.5MB", size.Decimal, 1_500_000}, {"10MB", size.Decimal, 10_000_000}, {"250gb", size.Binary, 250 << 30}, {"1TB", size.Binary, 1 << 40},
		{"1.3MiB", size.Decimal, 1363148}, // and 8 tenths of a byte
		{"4611686018427387903", size.Decimal, 1<<62 - 1},
	} {
		if got, err := size.Parse(c.text, c.reading); err != nil || got != c.want {
			t.Errorf("%q, reading %d: %d, %v; want %d", c.text, c.reading, got, err, c.want)
		}
	}
	for _, c := range []struct {
		text    string
		reading size.Reading
		want    string
	}{
		{"", size.Decimal, "not a size"}, {"-1", size.Decimal, "not a size"}, {"MiB", size.Binary, "not a size"}, {"1e3", size.Binary, "not a size"},
		{"ten", size.Decimal, "not a size"}, {"NaN", size.Decimal, "not a size"}, {"Inf", size.Decimal, "not a size"}, {" 1", size.Decimal, "not a size"}, {"1\n", size.Decimal, "not a size"},
		{"1XB", size.Exact, "the units are"}, {"8 potatoes", size.Decimal, "the units are"}, {"1Ki", size.Decimal, "the units are"},
		{"8GB", size.Exact, "two readings: write GiB or plain bytes"}, {"8k", size.Exact, "two readings: write KiB"},
		{"0.3B", size.Binary, "less than a byte"}, {"0.000001k", size.Decimal, "less than a byte"},
		{"4611686018427387904", size.Decimal, "too large"}, {"99999999999999GB", size.Decimal, "too large"}, {"999999999999999PiB", size.Binary, "too large"},
	} {
		if got, err := size.Parse(c.text, c.reading); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, reading %d: %d, %v; want an error with %q", c.text, c.reading, got, err, c.want)
		}
	}
}
