package source

// CombineCRC32C gives the CRC-32C of A followed by B from that of each and the
// length of B in bytes, without reading either.
//
// A CRC is linear over GF(2): appending n zero bytes to A multiplies its CRC by
// x^(8n) modulo the polynomial, and B's own is then added.
func CombineCRC32C(a, b uint32, lenB int64) uint32 {
	if lenB <= 0 {
		return a
	}
	return multiply(power(uint64(lenB)), a) ^ b
}

// castagnoliReversed is the polynomial with its bits reversed, as in hash/crc32.
const castagnoliReversed = 0x82f63b78

// multiply gives a·b modulo the polynomial; the highest bit is x^0.
func multiply(a, b uint32) uint32 {
	var p uint32
	for m := uint32(1) << 31; m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ castagnoliReversed
		} else {
			b >>= 1
		}
	}
	return p
}

// power gives x^(8n) modulo the polynomial by repeated squaring.
func power(n uint64) uint32 {
	result := uint32(1) << 31 // x^0
	square := uint32(1) << 23 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply(result, square)
		}
		square = multiply(square, square)
	}
	return result
}

// CombineCRC64NVME is CombineCRC32C for CRC-64/NVME.
func CombineCRC64NVME(a, b uint64, lenB int64) uint64 {
	if lenB <= 0 {
		return a
	}
	return multiply64(power64(uint64(lenB)), a) ^ b
}

// nvmeReversed is the polynomial of CRC-64/NVME with its bits reversed, as in
// hash/crc64.
const nvmeReversed = 0x9a6c9329ac4bc9b5

// multiply64 is multiply for CRC-64/NVME.
func multiply64(a, b uint64) uint64 {
	var p uint64
	for m := uint64(1) << 63; m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ nvmeReversed
		} else {
			b >>= 1
		}
	}
	return p
}

// power64 is power for CRC-64/NVME.
func power64(n uint64) uint64 {
	result := uint64(1) << 63 // x^0
	square := uint64(1) << 55 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			result = multiply64(result, square)
		}
		square = multiply64(square, square)
	}
	return result
}
