package text

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Reading is what a unit such as GB, which has two, means. KiB, MiB, GiB, TiB
// and PiB have one.
type Reading int

// The zero Reading is what users of a command line expect.
const (
	Decimal Reading = iota // 8GB is 8·10^9 bytes
	Binary                 // 8GB is 8·2^30 bytes
	Exact                  // 8GB is an error
)

var (
	sizes = Pattern(`^([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)$`)
	exact = map[string]uint{"": 0, "b": 0, "kib": 1, "mib": 2, "gib": 3, "tib": 4, "pib": 5}
	loose = map[string]uint{"k": 1, "kb": 1, "m": 2, "mb": 2, "g": 3, "gb": 3, "t": 4, "tb": 4, "p": 5, "pb": 5}
)

// ParseSize reads a number of bytes as people write it (8MiB, 1.5GB, 500k, plain
// bytes), in upper or lower case, and drops a fraction of a byte. It is between 0 and 2^62; zero is only what is written as zero.
func ParseSize(s string, r Reading) (int64, error) {
	m := sizes().FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is not a size such as 8MiB, 1.5GB or 500k", s)
	}
	unit, base := strings.ToLower(m[2]), int64(1024)
	power, one := exact[unit]
	if !one {
		var two bool
		if power, two = loose[unit]; !two {
			return 0, fmt.Errorf("%q is not a size: the units are B, KiB, MiB, GiB, TiB, PiB", s)
		}
		switch r {
		case Exact:
			return 0, fmt.Errorf("%q has two readings: write %ciB or plain bytes", s, unit[0]&^0x20)
		case Decimal:
			base = 1000
		}
	}
	number, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	number.Mul(number, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(power)), nil)))
	whole := new(big.Int).Quo(number.Num(), number.Denom())
	if !whole.IsInt64() || whole.Int64() > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is too large for a size", s)
	}
	if whole.Sign() == 0 && number.Sign() > 0 {
		return 0, fmt.Errorf("%q is less than a byte", s)
	}
	return whole.Int64(), nil
}
