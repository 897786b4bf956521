package manifest

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

var sizeText = regexp.MustCompile(`^([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)$`)

// units are the exact ones; loose are those that a vendor may mean either way.
var (
	units = map[string]uint{"": 0, "b": 0, "kib": 10, "mib": 20, "gib": 30, "tib": 40, "pib": 50}
	loose = map[string]uint{"kb": 10, "mb": 20, "gb": 30, "tb": 40, "pb": 50}
)

// looseness is what becomes of a unit that a vendor may mean either way: 8 GB
// may be 8·10^9 or 8·2^30 bytes.
type looseness int

const (
	refused   looseness = iota // it is an error
	asSmaller                  // of a size below which a file is refused
	asLarger                   // of one above which it is
)

// parseSize reads a size.
func parseSize(s string, l looseness) (int64, error) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as 64MiB", s)
	}
	unit := strings.ToLower(m[2])
	bits, exact := units[unit]
	if !exact {
		var ok bool
		if bits, ok = loose[unit]; !ok {
			return 0, fmt.Errorf("%q is not a size: the units are B, KiB, MiB, GiB, TiB", s)
		}
		if l == refused {
			return 0, fmt.Errorf("%q has two readings: write %ciB or plain bytes", s, unit[0]&^0x20)
		}
	}
	r, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	factor := new(big.Int).Lsh(big.NewInt(1), bits)
	if !exact && l == asSmaller {
		factor.Exp(big.NewInt(10), big.NewInt(int64(bits)/10*3), nil)
	}
	r.Mul(r, new(big.Rat).SetInt(factor))
	if !r.IsInt() || !r.Num().IsInt64() || r.Sign() <= 0 {
		return 0, fmt.Errorf("%q is not a whole number of bytes that makes sense", s)
	}
	return r.Num().Int64(), nil
}
