package upload

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
)

// Checksum says how much proof an upload wants.
type Checksum int

// The kinds of proof.
const (
	ChecksumAuto    Checksum = iota // verify by whatever the provider offers
	ChecksumRequire                 // and fail where it offers nothing
	ChecksumOff                     // do not hash for verification
)

// What an upload was verified by, as Report.Verification says it.
const (
	VerifiedCRC32C    = "crc32c"    // the provider compared the CRC-32C of the whole file
	VerifiedMD5       = "md5"       // the provider compared the MD5 of the whole file
	VerifiedSHA1      = "sha1"      // the provider compared the SHA-1 of the whole file
	VerifiedSHA256    = "sha256"    // the provider compared the SHA-256 of the whole file
	VerifiedCRC64NVME = "crc64nvme" // the provider compared the CRC-64/NVME of the whole file
	VerifiedHeader    = "header"    // the provider compared a digest that came with each part
	VerifiedETag      = "etag"      // the ETag of every part is the MD5 of what was sent
	Unverified        = "unverified"
)

// errUnproven: verification was required, and there is nothing to verify by.
var errUnproven = fmt.Errorf("the provider returns no part checksums and takes none of the whole file: %w", ErrUnverified)

// opaqueAfter is how many parts must have ETags that differ from their MD5,
// with none equal, before the store is taken to answer with something else.
const opaqueAfter = 4

// sample is of how many parts the MD5 of one is still computed after that, where the
// ETags look like MD5s.
const sample = 8

// verifier compares receipts with what was sent. A store's ETags are MD5s or
// they are not: the first that is one says that all must be, those before it
// included.
type verifier struct {
	md5    bool         // one ETag was its part's MD5
	others map[int]bool // the parts whose ETag was not
	alike  bool         // one ETag looked like an MD5

	toldMD5, toldOpaque bool // see news
}

type finding int

const (
	open     finding = iota // nothing is known of this store's ETags
	proven                  // the ETag is the MD5
	mismatch                // it is not, and others are
)

// check compares a receipt with what was sent. One whose part was not hashed says
// nothing, unless its ETag cannot be an MD5, nor does one that is still to be confirmed
// and came without an ETag.
func (v *verifier) check(r Receipt) finding {
	like := looksLikeMD5(r)
	v.alike = v.alike || like
	switch {
	case r.MD5 == nil && (like || v.md5), r.Unconfirmed != nil && r.ETag == "":
		return open
	case matches(r):
		v.md5 = true
		delete(v.others, r.Part)
		return proven
	case v.md5:
		return mismatch
	}
	if v.others == nil {
		v.others = make(map[int]bool)
	}
	v.others[r.Part] = true
	return open
}

// settled reports whether a receipt may be handed on for good.
func (v *verifier) settled(r Receipt) bool {
	if r.MD5 == nil {
		return true // not hashed: there is nothing to compare
	}
	if v.md5 {
		return matches(r)
	}
	return len(v.others) >= opaqueAfter || !looksLikeMD5(r)
}

// opaque reports whether this store's ETags are known not to be MD5s.
func (v *verifier) opaque() bool { return !v.md5 && len(v.others) >= opaqueAfter }

// wants reports whether the MD5 of a part is worth computing, one of the last or not.
// Where no ETag looks like an MD5 it is not; where they do and seem not to be MD5s, that
// of a few and of the last ones is, to notice if they are after all.
func (v *verifier) wants(part int, last bool) bool {
	if len(v.others) > 0 && !v.alike {
		return false
	}
	return !v.opaque() || part%sample == 0 || last
}

// news is what was found out about the store, once each.
func (v *verifier) news() (ETagsKnown, bool) {
	switch {
	case v.md5 && !v.toldMD5:
		v.toldMD5 = true
		return ETagsKnown{MD5: true}, true
	case v.opaque() && !v.toldOpaque:
		v.toldOpaque = true
		return ETagsKnown{Parts: len(v.others)}, true
	}
	return ETagsKnown{}, false
}

// etag is what of a receipt could be an ETag: of one that is still to be
// confirmed, and of one that this side made, only what the store said.
func etag(r Receipt) string {
	t := r.ETag
	if t == "" && !r.Own && r.Unconfirmed == nil {
		t = r.Value
	}
	return strings.Trim(strings.TrimPrefix(t, "W/"), `"`)
}

func looksLikeMD5(r Receipt) bool {
	_, ok := digestOf(r)
	return ok
}

func matches(r Receipt) bool {
	sum, ok := digestOf(r)
	return ok && r.MD5 != nil && bytes.Equal(sum[:], r.MD5)
}

// digestOf reads an ETag that could be an MD5.
func digestOf(r Receipt) (sum [16]byte, ok bool) {
	t := etag(r)
	if len(t) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	var digits [32]byte
	copy(digits[:], t)
	_, err := hex.Decode(sum[:], digits[:])
	return sum, err == nil
}
