package source

// The polynomials with their bits reversed, as hash/crc32 and hash/crc64 have them.
const (
	castagnoliReversed uint32 = 0x82f63b78
	nvmeReversed       uint64 = 0x9a6c9329ac4bc9b5
)

// CombineCRC32C gives the CRC-32C of A followed by B from that of each and the
// length of B in bytes, without reading either.
func CombineCRC32C(a, b uint32, lenB int64) uint32 {
	return combine(a, b, lenB, castagnoliReversed)
}

// CombineCRC64NVME is CombineCRC32C for CRC-64/NVME.
func CombineCRC64NVME(a, b uint64, lenB int64) uint64 {
	return combine(a, b, lenB, nvmeReversed)
}

// combine works for any CRC that is reflected, with a polynomial's bits reversed.
//
// A CRC is linear over GF(2): appending n zero bytes to A multiplies its CRC by
// x^(8n) modulo the polynomial, and B's own is then added.
func combine[T uint32 | uint64](a, b T, lenB int64, poly T) T {
	if lenB <= 0 {
		return a
	}
	return multiply(power(uint64(lenB), poly), a, poly) ^ b
}

// multiply gives a·b modulo the polynomial; the highest bit is x^0.
func multiply[T uint32 | uint64](a, b, poly T) T {
	var p T
	for m := ^(^T(0) >> 1); m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ poly
		} else {
			b >>= 1
		}
	}
	return p
}

// power gives x^(8n) modulo the polynomial by repeated squaring.
func power[T uint32 | uint64](n uint64, poly T) T {
	result := ^(^T(0) >> 1) // x^0
	square := result >> 8   // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square, poly)
		}
		square = multiply(square, square, poly)
	}
	return result
}
